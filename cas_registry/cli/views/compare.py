"""`reg compare`."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cas_registry.cli import text
from cas_registry.cli.output import Cell, Document, Line, Paper, Styled, Table, View
from cas_registry.cli.views.fields import first_line, time_fields
from cas_registry.model.canonical import Scalar
from cas_registry.registry import ComparedRow, Comparison, FileValue, Section, TensorValue

_SHOWN = 30  # rows of a section
_UNKNOWN = "?"
Value = Scalar | FileValue | TensorValue


@dataclass(frozen=True, slots=True)
class Compared:
    """Versions compared, as they were named."""

    names: Sequence[str]
    comparison: Comparison
    everything: bool = False


def _document(compared: Compared) -> Document:
    found = compared.comparison
    return {
        "versions": [
            {
                "revision": name,
                "model": version.model,
                "commit": version.commit.hex,
                "number": version.number,
                "author": commit.author,
                **time_fields("time", commit.time_ms),
                "message": commit.message,
            }
            for name, version, commit in zip(compared.names, found.versions, found.commits, strict=True)
        ],
        "sections": {
            part.section.value: [
                {"name": row.name, "same": row.same, "values": [_field(value) for value in row.values]} for row in part.rows
            ]
            for part in found.parts
        },
    }


def _field(value: Value) -> object:
    match value:
        case FileValue():
            return {"id": value.id.hex, "size_bytes": value.size_bytes, "executable": value.executable}
        case TensorValue():
            return {
                "path": value.path,
                "dtype": value.dtype,
                "shape": list(value.shape),
                "size_bytes": value.size_bytes,
                "content": value.content,
            }
        case _:
            return value


def _human(compared: Compared, paper: Paper) -> Iterator[Line | Table]:
    found = compared.comparison
    heads = [f"{version.model} v{version.number}" for version in found.versions]
    about: list[list[Cell]] = [
        ["id", *(Styled(version.commit.short, "yellow") for version in found.versions)],
        ["when", *(text.age(commit.time_ms, paper.now_ms) for commit in found.commits)],
        ["author", *(commit.author for commit in found.commits)],
        ["message", *(first_line(commit.message) for commit in found.commits)],
    ]
    yield Table(["", *heads], about)
    same: list[str] = []
    for part in found.parts:
        different = list(part.differences)
        equal = [row for row in part.rows if row.same]
        rows = [*different, *equal] if compared.everything else different[:_SHOWN]
        if rows:
            yield [""]
            numbers = part.section in {Section.METRICS, Section.PARAMS, Section.FILES}
            yield Table(
                [part.section.value, *heads],
                [[row.name, *_cells(row, deltas=part.section is Section.METRICS)] for row in rows],
                frozenset(heads if numbers else ()),
            )
            if len(rows) < len(different):
                yield [f"and {len(different) - len(rows):,} more that differ (--all)"]
        if equal and not compared.everything:
            same.append(f"{len(equal):,} of {part.section.value}")
    if same:
        yield [""]
        yield [f"The same everywhere: {', '.join(same)} (--all)"]


def _cells(row: ComparedRow, *, deltas: bool) -> Iterator[Cell]:
    first = row.values[0]
    for place, value in enumerate(row.values):
        shown = _shown(value)
        if value is None:
            yield Styled("-", "dim")
        elif place == 0:
            yield shown
        elif isinstance(value, TensorValue) and isinstance(first, TensorValue):
            yield _beside(value, shown, first)
        elif isinstance(value, FileValue):
            yield Styled("=", "dim") if value == first else f"{shown} (changed)" if first else shown
        elif deltas and (moved := _delta(first, value)):
            yield f"{shown} ({moved})"
        else:
            yield shown


def _beside(value: TensorValue, shown: str, first: TensorValue) -> Cell:
    if value.content == 0:
        return Styled("=", "dim")
    if (value.dtype, value.shape) == (first.dtype, first.shape):
        return _UNKNOWN if value.content is None else "changed"
    return shown


def _shown(value: Value) -> str:
    match value:
        case FileValue():
            return f"{text.size(value.size_bytes)}{' x' if value.executable else ''}"
        case TensorValue():
            return f"{value.dtype} {'x'.join(map(str, value.shape)) or 'scalar'}"
        case _:
            return text.value(value)


def _delta(first: Value, value: Value) -> str:
    numbers = [found for found in (first, value) if isinstance(found, int | float) and not isinstance(found, bool)]
    return f"{numbers[1] - numbers[0]:+.6g}" if len(numbers) == len((first, value)) and numbers[0] != numbers[1] else ""


def _lines(compared: Compared) -> Iterator[str]:
    """Comma-separated values, the versions as columns."""
    yield _csv(["section", "name", "same", *compared.names])
    for part in compared.comparison.parts:
        for row in part.rows:
            same = _UNKNOWN if row.same is None else str(row.same).lower()
            yield _csv([part.section.value, row.name, same, *(_plain(value) for value in row.values)])


def _csv(cells: Sequence[str]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="").writerow([text.plain(cell) for cell in cells])
    return stream.getvalue()


def _plain(value: Value) -> str:
    match value:
        case None:
            return ""
        case FileValue():
            return value.id.hex
        case TensorValue():
            content = _UNKNOWN if value.content is None else str(value.content)
            return f"{value.dtype} {'x'.join(map(str, value.shape)) or 'scalar'} #{content}"
        case bool() | str():
            return text.value(value)
        case _:
            return repr(value)


COMPARE = View(
    _document,
    _human,
    lambda compared: (f"{part.section.value}.{row.name}" for part in compared.comparison.parts for row in part.differences),
)
CSV = View(_document, lambda compared, _: ([line] for line in _lines(compared)), _lines)
