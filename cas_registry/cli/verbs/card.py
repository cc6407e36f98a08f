"""`reg card`: the model card of a version, shown or changed."""

from typing import Any

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session
from cas_registry.errors import InvalidInputError, RegistryError


@verb(
    examples="""
    reg card prod
    reg card main --edit
    reg card main --set license=mit --set tags=fraud,tabular
    reg card v12 -b main --set base_model=      (takes the field away)
    reg card --template > out/README.md
    """
)
@click.argument("revision", metavar="[REV]", default="main")
@click.option("--edit", is_flag=True, help="Open it in $EDITOR; what is saved becomes a new version of the branch.")
@click.option(
    "--set", "fields", metavar="FIELD=VALUE", multiple=True,
    help="Change a field of its front matter, as a new version of the branch. Several values with commas. May be repeated.",
)  # fmt: skip
@click.option("-b", "--branch", metavar="BRANCH", help="The branch that moves, where REV is none; it must stand there.")
@click.option("-m", "--message", default="", help="What was changed.")
@click.option("--template", "as_template", is_flag=True, help="Print a card to fill in, with Hugging Face's fields.")
def card(
    session: Session, revision: str, edit: bool, fields: tuple[str, ...], branch: str | None, message: str, as_template: bool
) -> None:  # fmt: skip
    """Show the model card of a version (by default main): its MODEL_CARD.md or README.md, with Hugging Face's front matter.

    A changed card is a new version in which nothing else differs; no file is read or written but the card.
    """
    if as_template:
        from cas_registry.cli.views.card import TEMPLATE
        from cas_registry.operations.card import template

        bound = session.bound.model if session.bound else None
        session.out.show(TEMPLATE, template(session.asked_model or bound or "Model"))
        return
    if edit and fields:
        raise InvalidInputError("--edit or --set, not both")
    model = session.model(revision)
    if not edit and not fields:
        from cas_registry.cli.views.card import CARD, ShownCard

        version = model.resolve(revision)
        session.out.show(CARD, ShownCard(version, model.card(version.commit.hex)))
        return
    changes: dict[str, Any] = _changes(fields)
    text: str | None = None
    if edit:
        path, source = model.card_source(revision)
        text = click.edit(source, extension=".md", require_save=True)
        if text is None or text == source:
            session.out.note(f"{path} was not changed; no version was made")
            return
    from cas_registry.cli.verbs.commit import load_line
    from cas_registry.cli.views.commit import COMMIT, Committed

    try:
        report = model.set_card(revision, changes, text=text, branch=branch, message=message)
    except RegistryError:
        if text is not None:
            session.out.note(f"your text is kept in {_keep(text)}")
        raise
    session.out.show(COMMIT, Committed(report, session.registry.url, load_line(session, report)))


def _keep(text: str) -> str:
    """A file with what somebody has written, where it could not be committed."""
    import tempfile

    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".md", prefix="card-", delete=False) as file:
        file.write(text)
    return file.name


def _changes(fields: tuple[str, ...]) -> dict[str, Any]:
    from cas_registry.operations.card import field_value

    changes: dict[str, Any] = {}
    for given in fields:
        name, separator, text = given.partition("=")
        if not separator or not name:
            raise InvalidInputError(f"write --set FIELD=VALUE, not {given!r}")
        changes[name] = field_value(name, text)
    return changes
