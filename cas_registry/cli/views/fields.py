"""Fields and cells that several views share."""

from collections.abc import Iterator, Mapping

from cas_registry.cli import text
from cas_registry.cli.output import Cell, Line, Styled
from cas_registry.model.canonical import Scalar
from cas_registry.model.ids import CommitId
from cas_registry.model.inputs import Input


def time_fields(name: str, time_ms: int | None) -> dict[str, object]:
    """`name` as ISO 8601 in UTC (null beyond the year 9999) and `name_ms` as milliseconds since 1970."""
    return {name: None if time_ms is None else text.iso(time_ms), f"{name}_ms": time_ms}


def name_of(model: str, number: int, commit: CommitId) -> list[Cell]:
    """`fraud v3  8f3a91c2d4e5`."""
    return [Styled(f"{model} v{number}", "bold"), "  ", Styled(commit.short, "yellow")]


def names_of(branches: tuple[str, ...], tags: tuple[str, ...]) -> Iterator[Cell]:
    """` (main, tag: prod)`, or nothing."""
    names: list[Cell] = [Styled(name, "green") for name in branches]
    names += [Styled(f"tag: {name}", "yellow") for name in tags]
    for position, name in enumerate(names):
        yield ", " if position else " ("
        yield name
    if names:
        yield ")"


def first_line(message: str) -> str:
    """The subject of a message."""
    return message.strip().partition("\n")[0]


def scalars(values: Mapping[str, Scalar]) -> str:
    """`auc 0.93, loss 0.1`."""
    return ", ".join(f"{name} {text.value(found)}" for name, found in values.items())


def paths_line(mark: str, path: str, style: str) -> Line:
    """`  A path`."""
    return ["  ", Styled(mark, style), f" {path}"]


def input_fields(item: Input) -> dict[str, object]:
    """What a version was made from: a URI with its digest, or a model's version."""
    commit = item.commit.hex if item.commit else None
    return {"name": item.name, "uri": item.uri, "digest": item.digest, "model": item.model, "commit": commit}


def input_text(item: Input) -> str:
    """`train = s3://data/2025-11 (blake3:…)`, `base = bert@8f3a91c2d4e5`."""
    if item.commit:
        return f"{item.name} = {item.model}@{item.commit.short}"
    return f"{item.name} = {item.uri}" + (f" ({item.digest})" if item.digest else "")
