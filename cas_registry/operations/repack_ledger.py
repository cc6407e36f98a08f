"""The ledger of a repack: every chunk of the versions at hand, where it lies, how it is to be stored, and where it then lies.

A private database in a temporary file that the system removes (SQLite keeps little of it in memory): what a repack must know of each
chunk would not fit into memory for a large registry. It is no cache: it begins empty and ends with the repack. Not thread-safe.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cas_registry.codecs import Buffer
from cas_registry.model.ids import ChunkId, FileId, MapName, PackName, TreeId
from cas_registry.model.maps import Covers, Located, PackInfo, Reference
from cas_registry.model.on_load import OnLoad
from cas_registry.model.placement import Codec, Placement
from cas_registry.model.tensors import ElementType
from cas_registry.operations.lineages import Form, Member

_CACHE_KIB = 64 * 1024
_PAGE = 4096  # rows read at a time, so that the table may be written to meanwhile
_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE pack (number INTEGER PRIMARY KEY, name BLOB UNIQUE, size INTEGER, stays INTEGER DEFAULT 0);
CREATE TABLE chunk (
    number INTEGER PRIMARY KEY, id BLOB UNIQUE, raw INTEGER, element INTEGER,
    seen INTEGER, line INTEGER,
    pack INTEGER, offset INTEGER, stored INTEGER, codec INTEGER, base INTEGER, age INTEGER, spent INTEGER,
    kept INTEGER DEFAULT 1, form_base INTEGER, form_stored INTEGER, form_age INTEGER, form_spent INTEGER,
    moves INTEGER DEFAULT 0, to_pack INTEGER, to_offset INTEGER, to_stored INTEGER, to_codec INTEGER
);
CREATE INDEX by_line ON chunk (line, seen);
CREATE INDEX by_seen ON chunk (seen);
CREATE TABLE file (number INTEGER PRIMARY KEY, id BLOB UNIQUE, size INTEGER, row BLOB, indexed BLOB, on_load INTEGER, moves INTEGER DEFAULT 0);
CREATE TABLE recipe (file INTEGER, pack INTEGER, PRIMARY KEY (file, pack)) WITHOUT ROWID;
CREATE TABLE group_map (covers INTEGER, key BLOB, name BLOB, size INTEGER, PRIMARY KEY (covers, key)) WITHOUT ROWID;
CREATE TABLE hint (file BLOB PRIMARY KEY, name BLOB, size INTEGER) WITHOUT ROWID;
BEGIN;
"""
_NOW = "pack, offset, stored, raw, codec, element, id, base, age, spent"


@dataclass(frozen=True, slots=True)
class Filed:
    """A file with its chunks by number, its tensor index as maps have it, and its mark."""

    number: int
    file: FileId
    size_bytes: int
    row: Sequence[int]
    index: bytes | None
    on_load: OnLoad


@dataclass(frozen=True, slots=True)
class Move:
    """A chunk to write anew: as it is (`kept`), or whole, or as a delta to `base`, which `base_at` leads to."""

    number: int
    located: Located
    kept: bool
    base: int | None
    base_id: bytes | None
    base_at: Located | None
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class Moved:
    """Where a chunk came to lie in the pack that was just filled."""

    number: int
    offset: int
    stored_bytes: int
    codec: Codec


class Ledger:
    """See above. Chunks and files have numbers from 1 on."""

    def __init__(self) -> None:
        import sqlite3

        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._db.executescript(_SCHEMA)
        self._packs: dict[int, PackInfo] = {}
        self._seen = 0
        self._lines = 0

    def close(self) -> None:
        self._db.close()

    # What there is

    def add_pack(self, pack: PackInfo) -> int:
        """The number of a pack."""
        self._db.execute("INSERT OR IGNORE INTO pack (name, size) VALUES (?, ?)", (pack.name.digest, pack.size_bytes))
        (number,) = self._db.execute("SELECT number FROM pack WHERE name = ?", (pack.name.digest,)).fetchone()
        return int(number)

    def add_chunk(self, located: Located, line: int | None) -> int:
        """A chunk of a version, in the order of versions. `line` is the lineage of what it resembles; a delta joins its base's."""
        base = self._file_base(located.base) if located.base else None
        number = self._file_chunk(located, base)
        (seen, known) = self._db.execute("SELECT seen, line FROM chunk WHERE number = ?", (number,)).fetchone()
        if seen is None:
            self._seen += 1
            self._db.execute("UPDATE chunk SET seen = ? WHERE number = ?", (self._seen, number))
        if known is None and (base is not None or located.placement.element is not ElementType.NONE):
            if base is not None:
                (line,) = self._db.execute("SELECT line FROM chunk WHERE number = ?", (base,)).fetchone()
            if line is None:
                self._lines += 1
                line = self._lines
            self._db.execute("UPDATE chunk SET line = ? WHERE number IN (?, ?)", (line, number, base))
        return number

    def line_of(self, chunk: ChunkId) -> int | None:
        """The lineage of a chunk, if it has one."""
        found = self._db.execute("SELECT line FROM chunk WHERE id = ?", (chunk.digest,)).fetchone()
        return found[0] if found else None

    def has_file(self, file: FileId) -> bool:
        return self._db.execute("SELECT 1 FROM file WHERE id = ?", (file.digest,)).fetchone() is not None

    def add_file(self, file: FileId, size_bytes: int, row: Iterable[int], index: Buffer | None, on_load: OnLoad) -> None:
        """A file, all of whose chunks were added."""
        values = (file.digest, size_bytes, array("Q", row).tobytes(), None if index is None else bytes(index), int(on_load))
        self._db.execute("INSERT INTO file (id, size, row, indexed, on_load) VALUES (?, ?, ?, ?, ?)", values)

    def lineages(self) -> Iterator[list[Member]]:
        """The chunks of each lineage in the order of versions, the fixed ones first."""
        for line in range(1, self._lines + 1):
            rows = self._db.execute(f"SELECT number, seen, {_NOW} FROM chunk WHERE line = ? ORDER BY seen, number", (line,))
            yield [Member(number, self._located(now), now[7], seen is None) for number, seen, *now in rows.fetchall()]

    def plain(self) -> Iterator[Member]:
        """The compressed chunks of no tensor, in the order of versions. What zstd at its lowest level left raw no other makes small."""
        for _, number, *now in self._pages(f"number, {_NOW}", f"line IS NULL AND codec != {Codec.RAW:d}"):
            yield Member(number, self._located(now), None)

    def count(self) -> tuple[int, int]:
        """How many chunks the versions have, and their raw bytes."""
        found = self._db.execute("SELECT COUNT(*), COALESCE(SUM(raw), 0) FROM chunk WHERE seen IS NOT NULL").fetchone()
        return int(found[0]), int(found[1])

    # What is to be

    def set_forms(self, forms: Iterable[Form]) -> None:
        """How chunks are to be stored."""
        self._db.executemany(
            "UPDATE chunk SET kept = ?, form_base = ?, form_stored = ?, form_age = ?, form_spent = ? WHERE number = ?",
            ((form.kept, form.base, form.stored_bytes, form.age, form.spent, form.number) for form in forms),
        )

    def decide_moves(self, worth_keeping: float, full_bytes: float, elsewhere: Iterable[PackInfo]) -> int:
        """Which chunks are written anew: those of every pack that does not stay. Returns how many.

        A pack stays if it is of this size at least and what it holds would take more than this share of it again, or if others need it
        anyway. Its chunks then stay as they are, and with each one that was to change its whole lineage: half of a new choice of
        bases may take more than the old one. By that other packs may come to stay.
        """
        self._db.executemany("UPDATE pack SET stays = 1 WHERE name = ?", ((pack.name.digest,) for pack in elsewhere))
        reverted = -1
        while reverted:
            self._db.execute(
                "UPDATE pack SET stays = 1 WHERE size >= ? AND number IN (SELECT pack FROM chunk WHERE seen IS NOT NULL "
                "GROUP BY pack HAVING SUM(form_stored) >= ? * (SELECT size FROM pack WHERE number = chunk.pack))",
                (full_bytes, worth_keeping),
            )
            stuck = "FROM chunk WHERE NOT kept AND pack IN (SELECT number FROM pack WHERE stays)"
            reverted = self._db.execute(
                "UPDATE chunk SET kept = 1, form_base = base, form_stored = stored, form_age = age, form_spent = spent "
                f"WHERE NOT kept AND (line IN (SELECT line {stuck}) OR number IN (SELECT number {stuck} AND line IS NULL))"
            ).rowcount
        self._db.execute(
            "UPDATE chunk SET moves = 1 WHERE seen IS NOT NULL AND pack IN (SELECT number FROM pack WHERE NOT stays)"
        )
        moving = self._moving()
        for filed in self.files():
            if any(moving[chunk] for chunk in filed.row):
                self._db.execute("UPDATE file SET moves = 1 WHERE number = ?", (filed.number,))
        return int(self._db.execute("SELECT COUNT(*) FROM chunk WHERE moves").fetchone()[0])

    def stays(self, pack: PackInfo) -> bool:
        """Whether versions may go on naming a pack."""
        return self._db.execute("SELECT 1 FROM pack WHERE name = ? AND stays", (pack.name.digest,)).fetchone() is not None

    def moves(self) -> Iterator[Move]:
        """The chunks to write anew, in the order of versions."""
        for _, number, kept, form_base, form_stored, *now in self._pages(
            f"number, kept, form_base, form_stored, {_NOW}", "moves"
        ):
            base_id, base_at = None, None
            if form_base is not None:
                base_at = self._now(form_base)
                base_id = base_at.placement.chunk.digest
            yield Move(number, self._located(now), bool(kept), form_base, base_id, base_at, form_stored)

    def count_reencoded(self) -> int:
        """How many chunks take another form."""
        return int(self._db.execute("SELECT COUNT(*) FROM chunk WHERE NOT kept").fetchone()[0])

    def moving_bytes(self) -> int:
        """The raw bytes of the chunks to write anew."""
        return int(self._db.execute("SELECT COALESCE(SUM(raw), 0) FROM chunk WHERE moves").fetchone()[0])

    def place(self, pack: PackInfo, chunks: Iterable[Moved], files: Iterable[int]) -> None:
        """Note what a filled pack holds: chunks, and (parts of) the recipes of files."""
        number = self.add_pack(pack)
        self._db.executemany(
            "UPDATE chunk SET to_pack = ?, to_offset = ?, to_stored = ?, to_codec = ? WHERE number = ?",
            ((number, moved.offset, moved.stored_bytes, moved.codec, moved.number) for moved in chunks),
        )
        self._db.executemany("INSERT OR IGNORE INTO recipe VALUES (?, ?)", ((file, number) for file in files))

    def forget_places(self) -> None:
        """Forget where things would have come to lie: it was a measurement."""
        self._db.execute("UPDATE chunk SET to_pack = NULL")
        self._db.execute("DELETE FROM recipe")
        self._db.execute("DELETE FROM group_map")
        self._db.execute("DELETE FROM hint")

    # What is then

    def files(self) -> Iterator[Filed]:
        """All files, in the order of versions."""
        last = 0
        while rows := self._db.execute(
            "SELECT number, id, size, row, indexed, on_load FROM file WHERE number > ? ORDER BY number LIMIT 16", (last,)
        ).fetchall():
            yield from map(_filed, rows)
            last = rows[-1][0]

    def file(self, file: FileId) -> Filed:
        """One file that was added."""
        return _filed(
            self._db.execute("SELECT number, id, size, row, indexed, on_load FROM file WHERE id = ?", (file.digest,)).fetchone()
        )

    def file_moves(self, file: FileId) -> bool:
        """Whether a chunk of the file, or what one is a delta to, is written anew."""
        return bool(self._db.execute("SELECT moves FROM file WHERE id = ?", (file.digest,)).fetchone()[0])

    def digests(self, row: Iterable[int]) -> list[bytes]:
        """The ids of chunks by number."""
        return [self._db.execute("SELECT id FROM chunk WHERE number = ?", (number,)).fetchone()[0] for number in row]

    def recipe_packs(self, file: int) -> list[PackInfo]:
        """The packs that hold the recipe of a file."""
        rows = self._db.execute("SELECT pack FROM recipe WHERE file = ? ORDER BY pack", (file,)).fetchall()
        return [self._pack(number) for (number,) in rows]

    def final(self, number: int) -> Located:
        """Where a chunk lies after the repack."""
        found = self._db.execute(
            "SELECT id, raw, element, moves, to_pack, to_offset, to_stored, to_codec, form_base, form_age, form_spent, "
            "pack, offset, stored, codec, base, age, spent FROM chunk WHERE number = ?",
            (number,),
        ).fetchone()
        chunk, raw, element, moves, *places = found
        pack, offset, stored, codec, base, age, spent = places[:7] if moves else places[7:]
        under = self.final(base) if codec == Codec.DELTA else None
        placement = Placement(
            ChunkId(chunk), offset, stored, raw, Codec(codec), ElementType(element), under.placement.chunk if under else None
        )
        return Located(self._pack(pack), placement, under, age if under else 0, spent if under else 0)

    def group_map(self, covers: Covers, key: FileId | TreeId) -> Reference | None:
        """The map that was written for a group of files."""
        values = (covers, key.digest)
        found = self._db.execute("SELECT name, size FROM group_map WHERE covers = ? AND key = ?", values).fetchone()
        return Reference(MapName(found[0]), found[1]) if found else None

    def set_group_map(self, covers: Covers, key: FileId | TreeId, reference: Reference) -> None:
        """Note the map that was written for a group of files."""
        values = (covers, key.digest, reference.name.digest, reference.size_bytes)
        self._db.execute("INSERT INTO group_map VALUES (?, ?, ?, ?)", values)

    def add_hint(self, file: FileId, reference: Reference) -> None:
        """Note which map a big file is in now."""
        self._db.execute(
            "INSERT OR REPLACE INTO hint VALUES (?, ?, ?)", (file.digest, reference.name.digest, reference.size_bytes)
        )

    def hints(self) -> Iterator[tuple[FileId, Reference]]:
        """The big files with the maps that they are in."""
        for file, name, size in self._db.execute("SELECT file, name, size FROM hint"):
            yield FileId(file), Reference(MapName(name), size)

    def _file_base(self, located: Located) -> int:
        """A base lies whole where its delta's map says, also if it was met as a delta before, in a pack of another commit."""
        number = self._file_chunk(located, None)
        placement = located.placement
        self._db.execute(
            "UPDATE chunk SET pack = ?, offset = ?, stored = ?, codec = ?, base = NULL, age = 0, spent = 0, form_base = NULL, form_stored = ? "
            "WHERE number = ? AND base IS NOT NULL",
            (
                self.add_pack(located.pack), placement.offset, placement.stored_bytes, placement.codec, placement.stored_bytes, number,
            ),
        )  # fmt: skip
        return number

    def _file_chunk(self, located: Located, base: int | None) -> int:
        found = self._db.execute("SELECT number FROM chunk WHERE id = ?", (located.placement.chunk.digest,)).fetchone()
        if found:
            return int(found[0])
        placement = located.placement
        values = (
            placement.chunk.digest, placement.raw_bytes, placement.element, self.add_pack(located.pack), placement.offset,
            placement.stored_bytes, placement.codec, base, located.age, located.spent, base, placement.stored_bytes, located.age,
            located.spent,
        )  # fmt: skip
        cursor = self._db.execute(
            "INSERT INTO chunk (id, raw, element, pack, offset, stored, codec, base, age, spent, form_base, form_stored, form_age, "
            f"form_spent) VALUES ({', '.join('?' * len(values))})",
            values,
        )
        return int(cursor.lastrowid or 0)

    def _pages(self, columns: str, where: str) -> Iterator[tuple[int, ...]]:
        last = 0
        while rows := self._db.execute(
            f"SELECT seen, {columns} FROM chunk WHERE seen > ? AND {where} ORDER BY seen LIMIT {_PAGE}", (last,)
        ).fetchall():
            yield from rows
            last = rows[-1][0]

    def _moving(self) -> bytearray:
        (top,) = self._db.execute("SELECT COALESCE(MAX(number), 0) FROM chunk").fetchone()
        moving = bytearray(top + 1)
        for (number,) in self._db.execute(
            "SELECT number FROM chunk WHERE moves OR form_base IN (SELECT number FROM chunk WHERE moves)"
        ):
            moving[number] = 1
        return moving

    def _now(self, number: int) -> Located:
        return self._located(self._db.execute(f"SELECT {_NOW} FROM chunk WHERE number = ?", (number,)).fetchone())

    def _located(self, now: Sequence[Any]) -> Located:
        pack, offset, stored, raw, codec, element, chunk, base, age, spent = now
        under = self._now(base) if base is not None else None
        placement = Placement(
            ChunkId(chunk), offset, stored, raw, Codec(codec), ElementType(element), under.placement.chunk if under else None
        )
        return Located(self._pack(pack), placement, under, age, spent)

    def _pack(self, number: int) -> PackInfo:
        if number not in self._packs:
            name, size = self._db.execute("SELECT name, size FROM pack WHERE number = ?", (number,)).fetchone()
            self._packs[number] = PackInfo(PackName(name), size)
        return self._packs[number]


def _filed(row: tuple[int, bytes, int, bytes, bytes | None, int]) -> Filed:
    number, digest, size, chunks, index, on_load = row
    return Filed(number, FileId(digest), size, array("Q", chunks), index, OnLoad(on_load))
