"""`reg promote` and `reg rollback`: tags that move by rules."""

from pathlib import Path

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session


@verb(
    examples="""
    reg promote v17 prod --reason "two points better on the holdout"
    reg promote v17 prod --dry-run             (what its rules ask for)
    reg promote fraud@main prod --reason "weekly" --expect prod --sign
    """
)
@click.argument("revision", metavar="[MODEL@]REV")
@click.argument("tag", metavar="TAG")
@click.option("-m", "--reason", "--message", "reason", default="", metavar="REASON", help="Why; kept in the tag's history.")
@click.option("--expect", metavar="REV", help="Move it only if it stands at REV.")
@click.option("--dry-run", is_flag=True, help="Say what the rules of TAG ask for, and whether it is met; move nothing.")
@click.option("--sign", is_flag=True, help="Sign the log entry, by ssh-keygen.")
@click.option("--key", type=click.Path(path_type=Path), metavar="FILE", help="The key for --sign.  [env: REG_SIGNING_KEY]")
def promote(
    session: Session, revision: str, tag: str, reason: str, expect: str | None, dry_run: bool, sign: bool, key: Path | None
) -> int:
    """Move TAG to the version REV, once the rules of TAG are met, and say why. Exits with 8 and what is wanting if they are not; with
    --dry-run, which moves nothing, with 1.
    """
    model = session.registry.model(session.model_of(revision))
    if dry_run:
        from cas_registry.cli.views.promotion import ASSESSMENT

        found = model.assess(revision, tag, sign=sign)
        session.out.show(ASSESSMENT, found)
        return 0 if found.passed else 1
    from cas_registry.cli.views.refs import MOVE

    if not reason:
        raise click.UsageError('say why: --reason "…"', click.get_current_context())
    session.out.show(MOVE, model.promote(revision, tag, reason=reason, expect=expect, sign=sign, key=key))
    return 0


@verb(
    examples="""
    reg rollback prod --reason "p99 latency doubled"
    reg rollback prod --steps 2 --reason "both were trained on the wrong split"
    reg rollback prod --to v15 --reason "the last one without the leak"
    """
)
@click.argument("tag", metavar="TAG")
@click.option("-m", "--reason", "--message", "reason", default="", metavar="REASON", help="Why; kept in the tag's history.")
@click.option("--steps", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="How many versions back.")
@click.option("--to", "revision", metavar="REV", help="Back to this version, at which it must have stood.")
@click.option("--sign", is_flag=True, help="Sign the log entry, by ssh-keygen.")
@click.option("--key", type=click.Path(path_type=Path), metavar="FILE", help="The key for --sign.  [env: REG_SIGNING_KEY]")
def rollback(session: Session, tag: str, reason: str, steps: int, revision: str | None, sign: bool, key: Path | None) -> None:
    """Move TAG back to the version at which it stood before. Rolling back twice goes further back, never to what the first time went away
    from. Of the rules of TAG only who may move it is asked.
    """
    from cas_registry.cli.views.refs import MOVE

    context = click.get_current_context()
    if not reason:
        raise click.UsageError('say why: --reason "…"', context)
    if revision and context.get_parameter_source("steps") is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("either --to or --steps", context)
    model = session.registry.model(session.model_of(revision)) if revision else session.model()
    session.out.show(MOVE, model.rollback(tag, reason=reason, steps=steps, to=revision, sign=sign, key=key))
