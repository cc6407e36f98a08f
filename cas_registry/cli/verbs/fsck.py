"""`reg fsck`: is everything there and whole?"""

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session


@verb(
    examples="""
    reg fsck
    reg fsck --read-data
    """
)
@click.option("--read-data", is_flag=True, help="Read and hash every byte of every pack.")
def fsck(session: Session, read_data: bool) -> int:
    """Check that everything that a log names is there and whole. Changes nothing.

    Exits with 0 if so, 1 if what is damaged can be rebuilt from what is there, 5 if data is lost.
    """
    from cas_registry.cli.views.checks import FSCK, Fsck
    from cas_registry.registry import check

    with session.progress() as progress:
        report = check(session.url, storage_options=session.storage_options, read_data=read_data, progress=progress)
    session.out.show(FSCK, Fsck(session.url, report, read_data))
    return report.exit_code
