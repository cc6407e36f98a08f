"""`reg branch` and `reg tag`: names for versions."""

from pathlib import Path

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session


@verb(
    examples="""
    reg branch
    reg branch experiment prod
    reg branch -f experiment main              (move it)
    reg branch -d experiment
    """
)
@click.argument("name", required=False)
@click.argument("revision", metavar="[REV]", required=False)
@click.option("-d", "--delete", "deleted", metavar="NAME", help="Delete the branch; its history stays.")
@click.option("-f", "--force", is_flag=True, help="Move the branch if it exists.")
def branch(session: Session, name: str | None, revision: str | None, deleted: str | None, force: bool) -> None:
    """List the branches, or create branch NAME at REV (by default main)."""
    from cas_registry.cli.views.refs import MOVE, REFS, Refs
    from cas_registry.model.entry import RefKind

    _refuse_both(name, deleted, "--delete")
    model = session.model(*([revision] if revision else []))
    if deleted:
        session.out.show(MOVE, model.delete_branch(deleted))
    elif name:
        session.out.show(MOVE, model.branch(name, revision or "main", force=force))
    else:
        session.out.show(REFS, Refs(model.name, RefKind.BRANCH, model.branches() or session.none_of(model)))


@verb(
    examples="""
    reg tag
    reg tag prod main -m "beats v12 on the holdout"
    reg tag prod main --expect prod            (only if nobody moved it meanwhile)
    reg tag prod main --sign --key ~/.ssh/id_ed25519
    reg tag --history prod
    reg tag -d candidate
    """
)
@click.argument("name", required=False)
@click.argument("revision", metavar="[REV]", required=False)
@click.option("-m", "--message", "reason", default="", metavar="REASON", help="Why it moves; kept in its history.")
@click.option("-d", "--delete", "deleted", metavar="NAME", help="Delete the tag; its history stays.")
@click.option("--history", metavar="NAME", help="Show every move of the tag: who, when, why.")
@click.option("--expect", metavar="REV", help="Move it only if it stands at REV.")
@click.option("--sign", is_flag=True, help="Sign the log entry, by ssh-keygen.")
@click.option("--key", type=click.Path(path_type=Path), metavar="FILE", help="The key for --sign.  [env: REG_SIGNING_KEY]")
def tag(
    session: Session,
    name: str | None,
    revision: str | None,
    reason: str,
    deleted: str | None,
    history: str | None,
    expect: str | None,
    sign: bool,
    key: Path | None,
) -> None:
    """List the tags, or put tag NAME at REV (by default main), wherever it stood before."""
    from cas_registry.cli.views.refs import HISTORY, MOVE, REFS, RefHistory, Refs
    from cas_registry.model.entry import RefKind

    _refuse_both(name, deleted, "--delete")
    _refuse_both(name or deleted, history, "--history")
    if (sign and not name) or (key and not sign):
        raise click.UsageError("--sign signs a move, so name the tag; --key is for --sign", click.get_current_context())
    model = session.model(*([revision] if revision else []))
    if deleted:
        session.out.show(MOVE, model.delete_tag(deleted, reason=reason))
    elif history:
        session.out.show(HISTORY, RefHistory(model.name, RefKind.TAG, history, model.history(RefKind.TAG, history)))
    elif name:
        session.out.show(MOVE, model.tag(name, revision or "main", reason=reason, expect=expect, sign=sign, key=key))
    else:
        session.out.show(REFS, Refs(model.name, RefKind.TAG, model.tags() or session.none_of(model)))


def _refuse_both(name: str | None, other: str | None, option: str) -> None:
    if name and other:
        raise click.UsageError(f"{option} takes the name itself; leave out {name!r}", click.get_current_context())
