"""`reg deploy`: a version becomes the one that is served."""

from pathlib import Path

import click

from cas_registry.cli.options import deploying, timeout, verb
from cas_registry.cli.session import Session


@verb(
    examples="""
    reg deploy prod serve/
    reg deploy prod serve/ --exec 'systemctl reload fraud' --timeout 2m
    reg deploy fraud@main~1 serve/ --keep 5
    """
)
@click.argument("revision", metavar="REV")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--exec",
    "command",
    metavar="CMD",
    help="Run by the shell in the new folder, once DIR/current names it; where it fails, current goes back.",
)
@timeout
@deploying
@click.option("--safe-only", is_flag=True, help="Refuse if a file runs code on loading, or was not looked at.")
def deploy(
    session: Session, revision: str, folder: Path, command: str | None, timeout_s: float, keep: int, cache: bool, link: bool,
    verify: bool | None, safe_only: bool,
) -> int:  # fmt: skip
    """Put the version REV into a folder of its own in DIR, whole and verified, and let the link DIR/current name it.

    What the version before has in common with it is copied from there. CMD has REG_MODEL, REG_REVISION, REG_COMMIT, REG_NUMBER, REG_FOLDER and
    REG_PREVIOUS. If it fails, current names the version before again, CMD is run once more for that (with REG_ROLLED_BACK=1), and the status is 1.
    """
    from cas_registry.cli.hook import Hook
    from cas_registry.cli.views.checkout import announce
    from cas_registry.cli.views.deploy import DEPLOYMENT
    from cas_registry.registry import Outcome, Reload

    model = session.model(revision)
    with session.progress() as progress:

        def hook(reload: Reload) -> None:
            progress.stop()  # what the command prints comes now
            if command:
                Hook(command, revision, timeout_s)(reload)

        report = model.deploy(
            revision, folder, keep=keep, hook=hook, cache=cache, link=link, verify=verify, safe_only=safe_only,
            foresee=announce(session.out), progress=progress,
        )  # fmt: skip
    session.out.show(DEPLOYMENT, report)
    return 0 if report.outcome in (Outcome.DEPLOYED, Outcome.UNCHANGED) else 1
