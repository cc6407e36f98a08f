"""`reg lock`: versions written down by id."""

from pathlib import Path

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session


@verb(
    examples="""
    reg lock fraud@prod
    reg lock fraud@prod ranker@v4 -o deploy/reg.lock
    reg lock release:prod                      (all models of a release)
    """
)
@click.argument("revisions", metavar="REV...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("reg.lock"),
    show_default=True,
    metavar="FILE",
    help="Where to.",
)
def lock(session: Session, revisions: tuple[str, ...], output: Path) -> None:
    """Write a lock file: what each REV is now, by commit, tree and files.

    reg checkout --locked takes these very versions again, and reg verify proves with it, without any registry, that a folder holds one.
    """
    from cas_registry.cli.views.lock import LOCK, Locked
    from cas_registry.model.names import RELEASE
    from cas_registry.model.revision import parse_revision

    whole = [
        revision if revision.startswith(RELEASE) or parse_revision(revision).model else f"{session.model().name}@{revision}"
        for revision in revisions
    ]
    session.out.show(LOCK, Locked(output, session.registry.lock(whole, path=output)))
