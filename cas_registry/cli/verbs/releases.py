"""`reg release` and `reg releases`: versions of several models that move together."""

from pathlib import Path

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session


@verb(
    examples="""
    reg release prod fraud@v17 ranker@v4 -m "November"
    reg release prod fraud@v18                 (ranker stays)
    reg release prod --drop ranker
    reg release prod fraud@v18 --expect 3      (only if nobody moved it meanwhile)
    reg release prod
    reg release prod --history
    reg release prod --rollback -m "worse on Fridays"
    """
)
@click.argument("name", metavar="NAME")
@click.argument("revisions", metavar="[MODEL@REV]...", nargs=-1)
@click.option("-m", "--message", "reason", default="", metavar="REASON", help="Why it moves; kept in its history.")
@click.option("--only", is_flag=True, help="Leave out all models that are not named here.")
@click.option("--drop", multiple=True, metavar="MODEL", help="Leave out a model.")
@click.option(
    "--expect", type=click.IntRange(min=0), metavar="N", help="Move it only if its last entry is N (0: it does not exist)."
)
@click.option("--rollback", is_flag=True, help="Name again what it named before it moved last.")
@click.option("--history", is_flag=True, help="Show what it has named: who, when, why.")
@click.option("--sign", is_flag=True, help="Sign the log entry, by ssh-keygen.")
@click.option("--key", type=click.Path(path_type=Path), metavar="FILE", help="The key for --sign.  [env: REG_SIGNING_KEY]")
def release(
    session: Session,
    name: str,
    revisions: tuple[str, ...],
    reason: str,
    only: bool,
    drop: tuple[str, ...],
    expect: int | None,
    rollback: bool,
    history: bool,
    sign: bool,
    key: Path | None,
) -> None:
    """Let the release NAME name these versions, of all their models at once or of none; models that are not named keep theirs. Without versions, show it.

    release:NAME/MODEL is then a revision. What a release names is not retired.
    """
    from cas_registry.cli.views.releases import HISTORY, MOVED, RELEASE, History

    moves = bool(revisions or drop or only)
    if rollback + history + moves > 1:
        raise click.UsageError("--rollback and --history go with the name alone", click.get_current_context())
    if (sign and not (moves or rollback)) or (key and not sign):
        raise click.UsageError("--sign signs a move; --key is for --sign", click.get_current_context())
    registry = session.registry
    if rollback:
        session.out.show(MOVED, registry.rollback_release(name, reason=reason, expect=expect, sign=sign, key=key))
    elif history:
        session.out.show(HISTORY, History(name, registry.release_history(name)))
    elif moves:
        versions = _by_model(revisions)
        report = registry.release(name, versions, reason=reason, only=only, drop=drop, expect=expect, sign=sign, key=key)
        session.out.show(MOVED, report)
    else:
        session.out.show(RELEASE, registry.show_release(name))


@verb(
    examples="""
    reg releases
    reg releases --json
    """
)
def releases(session: Session) -> None:
    """List the releases with what they name."""
    from cas_registry.cli.views.releases import RELEASES

    session.out.show(RELEASES, session.registry.releases())


def _by_model(revisions: tuple[str, ...]) -> dict[str, str]:
    """The revisions by model; each names its own."""
    from cas_registry.model.revision import parse_revision

    versions: dict[str, str] = {}
    for revision in revisions:
        model = parse_revision(revision).model
        if model is None:
            raise click.UsageError(f"{revision!r}: of which model? Write MODEL@{revision}", click.get_current_context())
        if model in versions:
            raise click.UsageError(f"two versions of {model}: {versions[model]} and {revision}", click.get_current_context())
        versions[model] = revision
    return versions
