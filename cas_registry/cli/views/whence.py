"""`reg whence`."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from cas_registry.cli import text
from cas_registry.cli.output import Document, Line, Paper, Styled, View
from cas_registry.cli.views.fields import name_of, time_fields
from cas_registry.model.entry import RefKind
from cas_registry.registry import Holding, Stay


@dataclass(frozen=True, slots=True)
class Whence:
    """What was asked for, and the versions that hold it."""

    asked: str
    holdings: list[Holding]


def _document(whence: Whence) -> Document:
    return {
        "asked": whence.asked,
        "ids": list(dict.fromkeys(holding.id.hex for holding in whence.holdings)),
        "versions": [
            {
                "model": holding.model,
                "number": holding.number,
                "commit": holding.commit.hex,
                "id": holding.id.hex,
                "path": holding.path,
                "author": holding.author,
                **time_fields("time", holding.time_ms),
                "retired": holding.retired,
                "stays": [_stay_fields(stay) for stay in holding.stays],
            }
            for holding in whence.holdings
        ],
    }


def _stay_fields(stay: Stay) -> dict[str, object]:
    return {
        "kind": stay.kind.value,
        "name": stay.name,
        **time_fields("since", stay.since_ms),
        **time_fields("until", stay.until_ms),
        "who": stay.who,
        "why": stay.why,
    }


def _human(whence: Whence, paper: Paper) -> Iterator[Line]:
    if not whence.holdings:
        yield [f"No version holds {whence.asked}"]
        return
    for _, group in groupby(whence.holdings, key=lambda holding: (holding.model, holding.number)):
        same = list(group)
        first = same[0]
        retired = [Styled(" (retired)", "red")] if first.retired else []
        age = Styled(f"  {text.age(first.time_ms, paper.now_ms)} by {first.author}", "dim")
        yield [*name_of(first.model, first.number, first.commit), *retired, age]
        for holding in same:
            yield [f"    {holding.path or '(all of it)'}"]
        for stay in first.stays:
            if stay.kind is RefKind.TAG:
                yield ["    ", Styled(_told(stay), "green" if stay.until_ms is None else "yellow")]


def _told(stay: Stay) -> str:
    since = text.moment(stay.since_ms)
    if stay.until_ms is None:
        return f"is {stay.name} since {since}"
    return f"was {stay.name} from {since} to {text.moment(stay.until_ms)}"


WHENCE = View(
    _document,
    _human,
    lambda whence: dict.fromkeys(f"{holding.model}@{holding.commit.hex}:{holding.path}" for holding in whence.holdings),
)
