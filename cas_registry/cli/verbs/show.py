"""`reg show`: one version in full."""

from typing import TYPE_CHECKING

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session
from cas_registry.errors import RegistryError

if TYPE_CHECKING:
    from cas_registry.registry import Card, FileInfo, Manifest, Model


@verb(
    examples="""
    reg show prod
    reg show v17 --packages
    reg show fraud@8f3a91c2 --json
    """
)
@click.argument("revision", metavar="[REV]", default="main")
@click.option("--packages", is_flag=True, help="List the installed packages.")
@click.option("--code-diff", is_flag=True, help="Print what was not in git's commit, where it was kept.")
def show(session: Session, revision: str, packages: bool, code_diff: bool) -> None:
    """Show a version (by default main): who, when, message, params, metrics, what it was made from and where, its card, what was
    said of it later, files and what it cost.
    """
    from cas_registry.cli.views.show import SHOW, Shown

    model = session.model(revision)
    info = model.show(revision)
    files = model.files(revision)
    commit = info.version.commit.hex
    notes = session.registry.model(info.version.model).notes(commit)
    shown = Shown(
        info, files, _card(model, commit, files), notes, _manifest(model, commit, files), packages=packages, code_diff=code_diff
    )
    session.out.show(SHOW, shown)


def _card(model: "Model", revision: str, files: "list[FileInfo]") -> "Card | None":
    """The version's card; one that is damaged does not keep the rest from being shown."""
    from cas_registry.operations.card import CARD_NAMES, Card

    path = next((name for name in CARD_NAMES if any(file.path == name for file in files)), None)
    if path is None:
        return None
    try:
        return model.card(revision)
    except RegistryError as error:
        return Card({}, "", path, error.message)


def _manifest(model: "Model", revision: str, files: "list[FileInfo]") -> "Manifest | None":
    """What was saved into the version as objects; a manifest that is damaged does not keep the rest from being shown."""
    from cas_registry.model.manifest import MANIFEST

    if not any(file.path == MANIFEST for file in files):
        return None
    try:
        return model.manifest(revision)
    except RegistryError:
        return None
