"""In which order versions are listed: `metrics.auc`, `-metrics.auc`, `metrics.loss:min`."""

from dataclasses import dataclass

from cas_registry.errors import InvalidInputError
from cas_registry.query.fields import Field, Kind, parse_field

_NAMES = frozenset({Kind.TEXT, Kind.COMMIT})


@dataclass(frozen=True, slots=True)
class Order:
    """By which field, and whether the highest comes first. Versions without a value follow those that have one, either way."""

    field: Field
    highest_first: bool


def parse_order(text: str) -> Order:
    """The order in `text`: what is measured comes highest first, names from A to Z; `-` in front turns that round, `:min` and `:max` say
    which comes first. InvalidInputError for a field that there is not, or of which a version has several."""
    name, colon, first = text.removeprefix("-").partition(":")
    if colon and first not in {"min", "max"}:
        name, colon, first = text.removeprefix("-"), "", ""
    field = parse_field(name)
    if field.kind is Kind.MANY:
        raise InvalidInputError(f"a version has any number of {field.name}s: it cannot be sorted by them", field=name)
    if colon and text.startswith("-"):
        raise InvalidInputError(f"{text!r}: either - in front or :{first} behind", field=name)
    highest = first == "max" if colon else (field.kind not in _NAMES) is not text.startswith("-")
    return Order(field, highest)
