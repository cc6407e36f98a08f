"""`reg whence`: which versions hold some bytes."""

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session


@verb(
    examples="""
    reg whence model.safetensors               (a file on this machine)
    reg whence 8f3a91c2d4e5                    (the id of a file or folder, as reg ls prints it)
    reg whence weights.bin --json
    """
)
@click.argument("what", metavar="FILE|ID", type=click.Path())
def whence(session: Session, what: str) -> int:
    """Show which versions of which models hold the bytes of FILE, or what has that ID, under which path, and which tags stood there when.

    Retired versions are named too. Exits with 1 if no version holds them. The folders of all versions are read the first time, and then
    those of new ones only.
    """
    from cas_registry.cli.views.whence import WHENCE, Whence

    with session.progress() as progress:
        holdings = session.indexed.whence(what, progress=progress)
    session.out.show(WHENCE, Whence(what, holdings))
    return 0 if holdings else 1
