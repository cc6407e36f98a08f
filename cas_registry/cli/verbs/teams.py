"""`reg fork` and `reg merge`: lines of work, apart and together."""

from pathlib import Path

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session


@verb(
    examples="""
    reg fork fraud fraud-eu
    reg fork fraud@v17 fraud-eu -m "for the European data"
    reg fork release:prod/fraud fraud-next
    """
)
@click.argument("origin", metavar="MODEL[@REV]")
@click.argument("name", metavar="NAME")
@click.option("--branch", default="main", show_default=True, metavar="BRANCH", help="The branch that it begins with.")
@click.option("-m", "--message", "reason", default="", metavar="REASON", help="Why; kept in the log.")
def fork(session: Session, origin: str, name: str, branch: str, reason: str) -> None:
    """Make a model NAME whose first version is this one of another model (by default its main).

    No bytes are copied, and the history goes on behind it. What either model commits later is its own; reg merge brings it together.
    """
    from cas_registry.cli.views.fork import FORK
    from cas_registry.model.revision import parse_revision

    if parse_revision(origin).model:
        model, revision = session.registry.model(session.model_of(origin)), origin
    else:
        model, revision = session.registry.model(origin), "main"
    session.out.show(FORK, model.fork(name, revision, branch=branch, reason=reason))


@verb(
    examples="""
    reg merge dev                              (into main)
    reg merge fraud-eu@main --into dev         (a fork comes back)
    reg merge dev --take theirs:config.json --take ours
    reg merge dev --no-ff -m "the new tokenizer"
    """
)
@click.argument("revision", metavar="REV")
@click.option("--into", default="main", show_default=True, metavar="BRANCH", help="The branch to merge into.")
@click.option("-m", "--message", default="", metavar="TEXT", help="The message of the merge.")
@click.option(
    "--take",
    "take",
    multiple=True,
    metavar="SIDE[:PATH]",
    help="Whose version to have in a conflict: ours or theirs, of PATH or of all.",
)
@click.option("--no-ff", is_flag=True, help="Make a commit even if BRANCH could simply move on to REV.")
@click.option("--unrelated", is_flag=True, help="Merge versions that share no history.")
@click.option("--sign", is_flag=True, help="Sign the log entry, by ssh-keygen.")
@click.option("--key", type=click.Path(path_type=Path), metavar="FILE", help="The key for --sign.  [env: REG_SIGNING_KEY]")
def merge(
    session: Session,
    revision: str,
    into: str,
    message: str,
    take: tuple[str, ...],
    no_ff: bool,
    unrelated: bool,
    sign: bool,
    key: Path | None,
) -> None:
    """Merge the version REV into a branch: what each side changed since their common ancestor, file by file. No file is read, stored or fetched.

    Where both changed the same file differently, nothing is merged and both sides are listed (exit status 4), unless --take decides.
    """
    from cas_registry.cli.views.merge import MERGE

    if key and not sign:
        raise click.UsageError("--key is for --sign", click.get_current_context())
    report = session.model(revision).merge(
        revision,
        into=into,
        message=message,
        take=take,
        fast_forward=not no_ff,
        unrelated=unrelated,
        sign=sign,
        key=key,
    )
    session.out.show(MERGE, report)
