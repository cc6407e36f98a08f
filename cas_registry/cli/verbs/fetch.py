"""`reg fetch`: a version comes to this machine, to be used while its store cannot be reached."""

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session


@verb(
    examples="""
    reg fetch prod
    reg fetch prod staging fraud@v12
    reg fetch prod:encoder                     (a folder or a file of it)
    """
)
@click.argument("revisions", metavar="REV...", nargs=-1, required=True)
def fetch(session: Session, revisions: tuple[str, ...]) -> None:
    """Bring all of the versions REV to the cache of this machine: files, folders, maps and history.

    From then on they can be checked out, looked at and compared with --offline: reg checkout prod serve/ --offline. For registries in a bucket; one in a folder needs none of
    this. What is there already is verified and not fetched again; a file for which the cache has no room (REG_CACHE_BYTES) is named.
    """
    from cas_registry.cli.views.fetch import FETCH
    from cas_registry.model.revision import parse_revision

    model = session.model(*revisions)
    reports = []
    for revision in revisions:
        inside = parse_revision(revision).path
        with session.progress() as progress:
            reports.append(model.fetch(revision, paths=(inside,) if inside else (), progress=progress))
    session.out.show(FETCH, reports)
