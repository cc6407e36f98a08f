"""`reg repack`: versions encoded anew."""

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session
from cas_registry.errors import InvalidInputError


@verb(
    examples="""
    reg repack --dry-run
    reg repack fraud
    reg repack --all --level 19
    """
)
@click.argument("name", metavar="[MODEL]", required=False)
@click.option("--all", "every", is_flag=True, help="All models of the registry together: what they share stays shared.")
@click.option("--level", type=int, metavar="N", help="zstd's level for what lies in no tensor, 1 to 19.  [default: 9]")
@click.option("--dry-run", is_flag=True, help="Say what would be gained, and write nothing.")
def repack(session: Session, name: str | None, every: bool, level: int | None, dry_run: bool) -> None:
    """Encode the versions of a model anew: every tensor as a difference to the best of all versions, the rest compressed harder, small packs
    joined. No commit, tag or id changes, and whoever reads meanwhile goes on.

    Everything is read and tried first; where less than 1 % and 1 MiB would be gained, nothing is written. Old packs and maps stay in the bucket.
    """
    from cas_registry.cli.views.repack import REPACK, Repacked

    if every and name:
        raise InvalidInputError("name a model or give --all, not both")
    with session.progress() as progress:
        if every:
            report = session.registry.repack(level=level, dry_run=dry_run, progress=progress)
        else:
            model = session.registry.model(name) if name else session.model()
            report = model.repack(level=level, dry_run=dry_run, progress=progress)
    session.out.show(REPACK, Repacked(session.registry.url, report))
