"""`reg retire`: versions and models taken away."""

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session
from cas_registry.errors import InvalidInputError, NotFoundError


@verb(
    examples="""
    reg retire fraud@main~3 -m "trained on the wrong split"
    reg retire 8f3a91c2 9b1d00aa
    reg retire --undo 8f3a91c2
    reg retire --whole old-model -m "replaced by fraud"
    """
)
@click.argument("revisions", metavar="REV|MODEL...", nargs=-1, required=True)
@click.option("--whole", is_flag=True, help="The names are those of models: all of each goes.")
@click.option("--undo", is_flag=True, help="Take it back, as long as no collection deletes what the version needs.")
@click.option("-f", "--force", is_flag=True, help="Delete branches and tags that stand at what goes, and break what needs it.")
@click.option("-m", "--message", "reason", default="", metavar="REASON", help="Why; kept in the log.")
def retire(session: Session, revisions: tuple[str, ...], whole: bool, undo: bool, force: bool, reason: str) -> None:
    """Take versions away, or with --whole models: nobody finds them any more, and reg gc deletes what only they needed. Their ids and numbers stay
    in the history. Where a branch or tag stands at one, a release names it, or a later version was made from it, nothing happens unless --force.
    """
    from cas_registry.cli.views.retire import RETIRED

    if whole:
        if undo:
            raise InvalidInputError("--undo is for versions: name their ids")
        for name in revisions:
            session.out.show(RETIRED, session.registry.retire(name, reason=reason, force=force))
        return
    names = sorted({session.model_of(revision) for revision in revisions})
    if len(names) > 1:
        raise InvalidInputError(f"one model at a time; these are versions of {', '.join(names)}")
    model = session.registry.model(names[0])
    if undo:
        for revision in revisions:
            session.out.show(RETIRED, model.restore(revision, reason=reason))
        return
    try:
        report = model.retire(*revisions, reason=reason, force=force)
    except NotFoundError as error:
        if len(revisions) == 1 and revisions[0] in session.registry.model_names():
            raise InvalidInputError(
                f"{revisions[0]!r} is a model; to take all of it away: reg retire --whole {revisions[0]}"
            ) from error
        raise
    session.out.show(RETIRED, report)
