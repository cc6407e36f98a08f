"""`reg fsck`: is everything there and whole? And if not: what can be done about it."""

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session
from cas_registry.errors import InvalidInputError


@verb(
    examples="""
    reg fsck
    reg fsck --read-data                       (every byte)
    reg fsck --read-data=5                     (another 5 % every night)
    reg fsck --repair --dry-run
    reg fsck --repair --read-data --from out/ --from s3://backup/registry
    """
)
@click.option(
    "--read-data",
    type=click.FloatRange(0, 100, min_open=True),
    is_flag=False,
    flag_value=100.0,
    metavar="[PERCENT]",
    help="Read and hash every byte of every pack, or of so many percent of them, drawn at random.",
)
@click.option("--repair", is_flag=True, help="Write again what can be had.")
@click.option(
    "--from",
    "sources",
    metavar="PLACE",
    multiple=True,
    help="For --repair: a folder or a registry that may have it. Repeatable.",
)
@click.option("--dry-run", is_flag=True, help="For --repair: say what would be done, and write nothing.")
def fsck(session: Session, read_data: float | None, repair: bool, sources: tuple[str, ...], dry_run: bool) -> int:
    """Check that everything that a log names is there and whole.

    Exits with 0 if so, 1 if what is damaged can be rebuilt from what is there, 5 if data is lost. Changes nothing but with --repair: then format,
    trees and other metadata, maps and chunks are written again from what is there and from what --from names, and the status is that of
    a check after it. A repair deletes nothing; what it cannot get stays as it is.
    """
    from cas_registry.cli.views.checks import FSCK, REPAIR, Fsck, Repaired
    from cas_registry.registry import check
    from cas_registry.registry import repair as repair_registry

    session.require_store()
    share = (read_data or 0) / 100
    if not repair:
        if sources or dry_run:
            raise InvalidInputError("--from and --dry-run go with --repair")
        with session.progress() as progress:
            report = check(session.url, storage_options=session.storage_options, read_data=share, progress=progress)
        session.out.show(FSCK, Fsck(session.url, report, share))
        return report.exit_code
    with session.progress() as progress:
        repaired = repair_registry(
            session.url,
            session.world,
            sources,
            storage_options=session.storage_options,
            source_options=session.given_storage_options,
            read_data=share,
            dry_run=dry_run,
            progress=progress,
        )
    session.out.show(REPAIR, Repaired(Fsck(session.url, repaired.check, share), repaired))
    return repaired.exit_code
