"""Remap tables: what has become of versions since their entries: repacked ones have another map, retired ones none.

A log entry names the map that a version was written with, and never changes. Where a version was encoded anew, the table that the
head of the log names says which map it has instead; where it was retired, that it has none. Every later entry carries the table on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cas_registry.errors import FormatError, LimitError
from cas_registry.model import canonical
from cas_registry.model.entry import MAX_ENTRY_NUMBER
from cas_registry.model.ids import MapName

MAX_REMAPPED = 500_000  # rows of some 80 bytes: within the limit of all metadata
_COLUMNS = 2


@dataclass(frozen=True, slots=True)
class RemapTable:
    """Number of the entry that introduced a version -> the root map that it has now, or None once it is retired."""

    maps: Mapping[int, MapName | None] = field(default_factory=dict)

    def of(self, at: int, introduced: MapName) -> MapName | None:
        """The root map of the version that entry `at` introduced with the map `introduced`. None: it is retired."""
        return self.maps.get(at, introduced)


def encode_remap_table(table: RemapTable) -> bytes:
    """The canonical bytes of a table; their `RemapId` is its name. Raises LimitError."""
    if len(table.maps) > MAX_REMAPPED:
        raise LimitError(f"more than {MAX_REMAPPED:,} repacked and retired versions in one log")
    rows: canonical.Json = [[at, name.hex if name else None] for at, name in sorted(table.maps.items())]
    return canonical.encode({"v": 1, "kind": "remap", "maps": rows})


def decode_remap_table(data: bytes) -> RemapTable:
    """The table in `data`. Raises FormatError."""
    (rows,) = canonical.fields(canonical.decode(data, kind="remap"), "maps", what="remap table")
    if not isinstance(rows, list) or not 0 < len(rows) <= MAX_REMAPPED:
        raise FormatError(f"a remap table without rows, or of more than {MAX_REMAPPED:,}")
    maps: dict[int, MapName | None] = {}
    previous = 0
    for row in rows:
        if not isinstance(row, list) or len(row) != _COLUMNS:
            raise FormatError("a row of a remap table that is not [at, map]")
        at = canonical.integer(row[0], what="at", maximum=MAX_ENTRY_NUMBER)
        if at <= previous:
            raise FormatError("a remap table whose rows are not sorted and unique")
        maps[at] = None if row[1] is None else MapName.parse(row[1])
        previous = at
    return RemapTable(maps)
