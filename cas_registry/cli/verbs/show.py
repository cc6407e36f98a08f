"""`reg show`: one version in full."""

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session


@verb(
    examples="""
    reg show prod
    reg show fraud@8f3a91c2 --json
    """
)
@click.argument("revision", metavar="[REV]", default="main")
def show(session: Session, revision: str) -> None:
    """Show a version (by default main): who, when, message, params, metrics, files and what it cost."""
    from cas_registry.cli.views.show import SHOW, Shown

    model = session.model(revision)
    info = model.show(revision)
    session.out.show(SHOW, Shown(info, model.files(revision)))
