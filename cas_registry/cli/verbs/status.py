"""`reg status`: how a folder differs from a version."""

from pathlib import Path

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session
from cas_registry.errors import InvalidInputError, NotFoundError


@verb(
    examples="""
    reg status                                 (the folder last committed or checked out here)
    reg status serve/
    reg status out/ --rev prod
    """
)
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--rev", "revision", metavar="REV", help="Compare with REV; by default with the version that DIR last held, else main."
)
def status(session: Session, folder: Path | None, revision: str | None) -> int:
    """Show what a commit of DIR would add (A), change (M) and remove (D). Exits with 1 if anything differs."""
    from cas_registry.cli.views.status import STATUS, Compared

    if folder:
        session.look_in(folder, first=True)
    held = session.workspace.held(folder)
    target = folder or (held.folder if held else None)
    if target is None:
        raise InvalidInputError(
            "which folder? reg status DIR; without DIR it compares the folder last committed or checked out here"
        )
    wanted = revision or (f"{held.model}@{held.commit}" if held else "main")
    model = session.model(wanted)
    version = model.resolve(wanted)
    with session.progress() as progress:
        report = model.status(target, wanted, progress=progress)
    branch = None if revision or not held else held.branch
    branch_commit = None
    if branch:
        try:
            branch_commit = model.resolve(f"{version.model}@{branch}").commit.hex
        except (NotFoundError, InvalidInputError):
            branch = None
    session.out.show(STATUS, Compared(report, version, branch, branch_commit))
    return 0 if report.is_clean else 1
