"""`reg du`: what versions and models take."""

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session
from cas_registry.errors import InvalidInputError


@verb(
    examples="""
    reg du
    reg du prod main~3
    reg du --retiring v3 v4
    reg du --models
    reg du --families
    """
)
@click.argument("revisions", metavar="[REV]...", nargs=-1)
@click.option("--retiring", is_flag=True, help="Say in a sentence what retiring these versions, all of them, would free.")
@click.option("--models", is_flag=True, help="Show models instead, the largest first.")
@click.option("--families", is_flag=True, help="Show which models share chunks, and how much.")
def du(session: Session, revisions: tuple[str, ...], retiring: bool, models: bool, families: bool) -> None:
    """Show what versions (by default all of the model) take.

    Raw bytes; stored ones, in packs; those of them that no other version of any model needs; and what reg gc would delete if just these were retired,
    which is less where a pack holds something that is needed. Reads all maps of the registry.
    """
    from cas_registry.cli.views.du import FAMILIES, MODELS, RETIRING, VERSIONS, Families, Models

    if (models or families) and (revisions or retiring or (models and families)):
        raise InvalidInputError("--models and --families are of the whole registry, one at a time; leave out the versions")
    if retiring and not revisions:
        raise InvalidInputError("name the versions that would be retired: reg du --retiring REV...")
    with session.progress() as progress:
        if models:
            session.out.show(MODELS, Models(session.registry.url, session.registry.du(progress=progress)))
        elif families:
            session.out.show(FAMILIES, Families(session.registry.url, session.registry.families(progress=progress)))
        else:
            report = session.model(*revisions).du(*revisions, progress=progress)
            session.out.show(RETIRING if retiring else VERSIONS, report)
