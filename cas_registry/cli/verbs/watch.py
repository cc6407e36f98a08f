"""`reg watch`: what a name stands for, told as it changes."""

from pathlib import Path

import click

from cas_registry.cli.options import deploying, parse_span, timeout, verb
from cas_registry.cli.session import Session


@verb(
    examples="""
    reg watch prod
    reg watch fraud@prod --exec 'curl -fsS -X POST localhost:8000/reload'
    reg watch prod --folder serve/ --exec 'systemctl reload fraud' --interval 10s
    reg watch prod --folder serve/ --once        (from cron)
    reg watch main --json                        (a line of JSON for each change)
    """
)
@click.argument("revision", metavar="REV")
@click.option("--exec", "command", metavar="CMD", help="Run by the shell for each version, the first one too.")
@click.option(
    "--folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Deploy each version there before CMD is run, as by reg deploy.",
)
@click.option(
    "--interval", "interval_s", metavar="SPAN", default="5s", callback=parse_span, show_default=True, help="How often to look."
)
@click.option("--once", is_flag=True, help="Look once, do what there is to do, and end.")
@timeout
@click.option(
    "--give-up",
    "give_up_s",
    metavar="SPAN",
    callback=lambda *call: None if call[2] is None else parse_span(*call),
    help="End when errors have lasted for so long; else never.",
)
@deploying
@click.option("--safe-only", is_flag=True, help="Deploy nothing of which a file runs code on loading, or was not looked at.")
def watch(
    session: Session, revision: str, command: str | None, folder: Path | None, interval_s: float, once: bool, timeout_s: float,
    give_up_s: float | None, keep: int, cache: bool, link: bool, verify: bool | None, safe_only: bool,
) -> int:  # fmt: skip
    """Tell where the branch or tag REV stands, and each time that it stands elsewhere or is gone; one request a look while nothing is new.

    CMD is run for each version that is to be served, with REG_MODEL, REG_REVISION, REG_COMMIT, REG_NUMBER, REG_FOLDER and REG_PREVIOUS. With --folder
    a version for which it fails is taken back and not tried again until REV moves. Errors of the store are told and waited out.
    """
    from cas_registry.cli.hook import Hook
    from cas_registry.cli.views.checkout import announce
    from cas_registry.cli.views.watch import CHANGE
    from cas_registry.registry import What

    model = session.model(revision)
    hook = Hook(command, revision, timeout_s) if command else None
    bad = False
    changes = model.changes(
        revision, interval_s=interval_s, once=once, give_up_s=0 if once and give_up_s is None else give_up_s, folder=folder, keep=keep,
        hook=hook, cache=cache, link=link, verify=verify, safe_only=safe_only, foresee=announce(session.out),
    )  # fmt: skip
    for change in changes:
        session.out.tell(CHANGE, change)
        bad = change.commit is None or change.what is What.ROLLED_BACK or bool(change.failure)
    return 1 if bad else 0
