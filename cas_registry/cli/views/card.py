"""`reg card`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cas_registry.cli.output import Cell, Document, Line, Markdown, Paper, Styled, Table, View
from cas_registry.cli.views.fields import name_of
from cas_registry.operations.card import Card
from cas_registry.registry import Version


@dataclass(frozen=True, slots=True)
class ShownCard:
    """A card and the version that it is of."""

    version: Version
    card: Card


def card_fields(card: Card) -> dict[str, object]:
    """A card without its prose."""
    return {"path": card.path, "title": card.title, "metadata": _plain(card.metadata), "problem": card.problem}


def field_text(value: object) -> str:
    """A field of the front matter in one line."""
    match value:
        case None:
            return "-"
        case bool():
            return str(value).lower()
        case list():
            return ", ".join(field_text(item) for item in value)
        case dict():
            return "; ".join(f"{name}: {field_text(item)}" for name, item in value.items())
        case _:
            return str(value)


def _document(shown: ShownCard) -> Document:
    version = shown.version
    return {
        "model": version.model,
        "commit": version.commit.hex,
        "number": version.number,
        **card_fields(shown.card),
        "text": shown.card.text,
    }


def _human(shown: ShownCard, _: Paper) -> Iterator[Line | Table | Markdown]:
    version, card = shown.version, shown.card
    yield [*name_of(version.model, version.number, version.commit), f"  {card.path}"]
    if card.problem:
        yield [Styled(f"Its front matter cannot be read: {card.problem}", "red")]
    if card.metadata:
        rows: list[list[Cell]] = [[str(name), field_text(value)] for name, value in card.metadata.items()]
        yield Table(["field", "value"], rows)
    if card.text.strip():
        yield [""]
        yield Markdown(card.text.strip("\n"))


def _plain(value: Any) -> Any:
    """Plain data with text for every key, as JSON wants it."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _template_lines(text: str, _: Paper) -> Iterator[Line]:
    return ([line] for line in text.splitlines())


CARD = View(_document, _human, lambda shown: [shown.card.path])
TEMPLATE = View(lambda text: {"text": text}, _template_lines, str.splitlines)
