"""`reg search`."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cas_registry.cli import text
from cas_registry.cli.output import Cell, Document, Line, Paper, Styled, Table, View
from cas_registry.cli.views.fields import first_line, names_of, time_fields
from cas_registry.query.condition import Fact
from cas_registry.query.fields import Field, Kind, parse_field
from cas_registry.registry import Found, SearchResult

SHOWN = 100  # rows that somebody may still read, who did not say how many
_SHORT_ID = 12
_SEEN_ANYWAY = frozenset({"model", "number", "tag", "branch", "age", "time", "author", "message"})


@dataclass(frozen=True, slots=True)
class Search:
    """What was found, in which model (None: in all), which columns to show, whether the registry was not asked, and how much of it to show."""

    found: SearchResult
    model: str | None
    columns: Sequence[Field] | None = None
    offline: bool = False
    shown: int | None = None  # so many rows for people, though more were found


def parse_columns(names: str) -> tuple[Field, ...]:
    """The fields of `metrics.auc,params.lr`. InvalidInputError for one that there is not."""
    return tuple(parse_field(name.strip()) for name in names.split(",") if name.strip())


def csv_text(found: SearchResult, columns: Sequence[Field] | None, *, tame: bool) -> str:
    """The lines of a CSV file; `tame` for a terminal, which must not act upon what they hold."""
    file = io.StringIO()
    found.to_csv(file, columns)
    lines = file.getvalue()
    return "\n".join(map(text.plain, lines.split("\n"))) if tame else lines


def version_fields(found: Found) -> dict[str, object]:
    """A version that was found."""
    return {
        "model": found.model,
        "number": found.number,
        "commit": found.commit.hex,
        "entry": found.at,
        "tree": found.tree.hex,
        "author": found.author,
        **time_fields("time", found.time_ms),
        "message": found.message,
        "params": dict(found.params),
        "metrics": dict(found.metrics),
        "labels": dict(found.labels),
        "framework": dict(found.framework),
        "packages": dict(found.packages),
        "environment": dict(found.environment),
        "code": dict(found.code),
        "inputs": list(found.inputs),
        "branches": list(found.branches),
        "tags": list(found.tags),
        "retired": found.retired,
        "files": found.files,
        "raw_bytes": found.size_bytes,
        "new_bytes": found.new_bytes,
        "stored_bytes": found.stored_bytes,
    }


def _document(search: Search) -> Document:
    found = search.found
    return {
        "condition": str(found.condition) if found.condition else None,
        "model": search.model,
        "offline": search.offline,
        **time_fields("synced", found.synced_ms),
        "count": len(found),
        "versions": [version_fields(row) for row in found],
    }


def _human(search: Search, paper: Paper) -> Iterator[Line | Table]:
    found = search.found
    if not found:
        yield ["No version matches" if found.condition else "There are no versions"]
        return
    shown = found[: search.shown]
    if search.columns is not None:
        fields = list(search.columns)
        rows = [[_cell(field, row.value(field, now_ms=paper.now_ms), paper) for field in fields] for row in shown]
        yield Table([field.key for field in fields], rows, _right(fields))
    else:
        fields = [field for field in found.asked_for() if field.key not in _SEEN_ANYWAY]
        headers = ["version", "commit", *(field.key for field in fields), "age", "author", "message"]
        yield Table(headers, [_row(search, row, fields, paper) for row in shown], _right(fields))
    if len(found) > len(shown):
        yield ["and more; --top N shows as many as you like, --csv and --json all"]


def _row(search: Search, row: Found, fields: Sequence[Field], paper: Paper) -> list[Cell]:
    names = "".join(cell if isinstance(cell, str) else cell.text for cell in names_of(row.branches, row.tags))
    retired = " (retired)" if row.retired else ""
    return [
        Styled(f"v{row.number}{names}{retired}" if search.model else f"{row.model} v{row.number}{names}{retired}", "bold"),
        Styled(row.commit.short, "yellow"),
        *(_cell(field, row.value(field, now_ms=paper.now_ms), paper) for field in fields),
        text.age(row.time_ms, paper.now_ms),
        row.author,
        first_line(row.message),
    ]


def _cell(field: Field, value: Fact, paper: Paper) -> str:
    if isinstance(value, int) and field.group is None and field.name in _WRITTEN:
        return _WRITTEN[field.name](value, paper)
    if value is None or isinstance(value, bool | int | float):
        return "-" if value is None else text.value(value)
    if not isinstance(value, str):
        return ", ".join(value)
    if field.group is not None:
        return value
    return value[:_SHORT_ID] if field.kind is Kind.COMMIT else first_line(value)


_WRITTEN: Mapping[str, Callable[[int, Paper], str]] = {
    "time": lambda time_ms, _: text.moment(time_ms),
    "age": lambda age_ms, paper: text.age(paper.now_ms - age_ms, paper.now_ms),
    "size": lambda size_bytes, _: text.size(size_bytes),
    "stored": lambda size_bytes, _: text.size(size_bytes),
}


def _right(fields: Sequence[Field]) -> frozenset[str]:
    return frozenset(field.key for field in fields if field.group == "metrics" or field.kind is Kind.NUMBER)


SEARCH = View(_document, _human, lambda search: (row.commit.hex for row in search.found))
