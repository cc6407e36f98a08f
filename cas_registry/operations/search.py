"""Searching: the versions that a condition finds, as rows that go into tables, files and frames."""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TextIO, overload

from cas_registry.operations.indexing.rows import Found
from cas_registry.query.condition import Condition, Fact
from cas_registry.query.fields import GROUPS, Field, Kind, parse_field
from cas_registry.query.order import Order

if TYPE_CHECKING:
    import pandas as pd

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ALWAYS = ("model", "number", "commit", "time", "author", "message", "tag", "branch", "size", "stored", "files", "input")
_LEFT_OUT = frozenset({"packages", "environment"})  # hundreds of columns; they are there for whoever names one


@dataclass(frozen=True, slots=True)
class SearchResult(Sequence[Found]):
    """The versions found, in the order that was asked for; `now_ms` is when, and `synced_ms` when the index was last brought up to date."""

    rows: tuple[Found, ...]
    condition: Condition | None
    order: Order | None
    now_ms: int
    synced_ms: int | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, position: int) -> Found: ...
    @overload
    def __getitem__(self, position: slice) -> tuple[Found, ...]: ...
    def __getitem__(self, position: int | slice) -> Found | tuple[Found, ...]:
        return self.rows[position]

    def __iter__(self) -> Iterator[Found]:
        return iter(self.rows)

    def asked_for(self) -> tuple[Field, ...]:
        """What the condition and the order ask for, each once."""
        fields = [*(self.condition.fields() if self.condition else ()), *([self.order.field] if self.order else [])]
        return tuple(dict.fromkeys(fields))

    def columns(self) -> tuple[Field, ...]:
        """What there is to show of these versions: what each has, then every value of theirs, packages and environment left out."""
        groups = [
            Field(name, group)
            for group in GROUPS
            if group not in _LEFT_OUT
            for name in sorted({name for found in self.rows for name in found.group(group)})
        ]
        asked = [field for field in self.asked_for() if field.group in _LEFT_OUT]
        return (*(Field(name) for name in _ALWAYS), *groups, *asked)

    def table(self, columns: Iterable[str | Field] | None = None) -> tuple[tuple[Field, ...], list[list[Fact]]]:
        """These columns (None: all of `columns`) of every version. InvalidInputError for a field that there is not."""
        fields = (
            self.columns()
            if columns is None
            else tuple(column if isinstance(column, Field) else parse_field(column) for column in columns)
        )
        return fields, [[found.value(field, now_ms=self.now_ms) for field in fields] for found in self.rows]

    def to_csv(self, file: TextIO, columns: Iterable[str | Field] | None = None) -> None:
        """Write a line of names and a line a version: times in ISO 8601, ages in seconds, several tags with a space between them."""
        fields, rows = self.table(columns)
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.key for field in fields])
        writer.writerows([_cell(field, value) for field, value in zip(fields, row, strict=True)] for row in rows)

    def to_pandas(self, columns: Iterable[str | Field] | None = None) -> "pd.DataFrame":
        """A frame with a row a version: times as timestamps, ages as timedeltas, tags, branches and inputs as tuples.

        Needs pandas: pip install 'cas-registry[pandas]'.
        """
        import pandas as pd  # noqa: PLC0415 - half a second, for whoever wants a frame

        fields, rows = self.table(columns)
        frame = pd.DataFrame(rows, columns=[field.key for field in fields])
        for field in fields:
            if field.kind is Kind.TIME:
                frame[field.key] = pd.to_datetime(frame[field.key], unit="ms", utc=True)
            elif field.kind is Kind.AGE:
                frame[field.key] = pd.to_timedelta(frame[field.key], unit="ms")
        return frame


def _cell(field: Field, value: Fact) -> Any:
    match value:
        case None:
            return ""
        case bool():
            return json.dumps(value)
        case int() if field.kind is Kind.TIME:
            return _iso(value)
        case int() if field.kind is Kind.AGE:
            return value // 1000
        case str() | int() | float():
            return value
        case _:
            return " ".join(value)


def _iso(time_ms: int) -> str:
    try:
        return (_EPOCH + timedelta(milliseconds=time_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except OverflowError:  # beyond the year 9999
        return str(time_ms)
