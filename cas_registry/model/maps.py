"""Maps: where the chunks of a version's files lie.

    header      56 bytes  magic, 16 random bytes, eight counts
    packs       40 bytes  name, length
    placements  60 bytes  chunk id, pack, offset, stored, raw, codec, element, age, base, spent
    files       52 bytes  file id, size, first chunk, chunk count, what it does on loading; sorted by id
    chunks       4 bytes  placement numbers, file after file
    trees       36 bytes  every tree of the version (roots only), and how many of its bytes stand below; sorted
    references  80 bytes  which other map holds a big file or a folder's small files; sorted
    indexes     36 bytes  files of tensors, and how long their index is; sorted by id
    attached              the bytes of trees and of tensor indexes, in the order of their rows

A version's *root* map holds rows of its own for what is small and names other maps for the rest, so that a version that
changes one file writes one map, or two. Referenced maps are followed one step, never further. A delta's base has a
placement in the same map, so that every map decodes by itself. See docs/format.md, "Maps".
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from cas_registry.errors import FormatError, LimitError, UnsupportedFormatError
from cas_registry.model.canonical import MAX_INTEGER, MAX_METADATA_BYTES
from cas_registry.model.ids import ID_BYTES, ChunkId, FileId, MapName, PackName, TreeId
from cas_registry.model.on_load import OnLoad
from cas_registry.model.placement import Codec, Placement, check_placement
from cas_registry.model.registry_format import MAX_PACK_BYTES
from cas_registry.model.tensors import ElementType

MAGIC = b"CASMAPS\x01"
NO_BASE = 0xFFFFFFFF
_HEADER = struct.Struct("<8s16s8I")
_PACK = struct.Struct("<32sQ")
_PLACEMENT = struct.Struct("<32sIIIIBBHII")
_FILE = struct.Struct("<32sQIIB3x")
_ATTACHED = struct.Struct("<32sI")
_REFERENCE = struct.Struct("<BB6x32s32sQ")
PLACEMENT_BYTES = _PLACEMENT.size
FILE_BYTES = _FILE.size
CHUNK_REF_BYTES = 4
_CODEC_OFFSET = 48
_MAX_AGE = 0xFFFF
_MAX_SPENT = 0xFFFFFFFF


class Covers(IntEnum):
    """What a reference stands for: one big file (by file id), or the small files right in a folder (by tree id)."""

    FILE = 1
    FOLDER = 2


@dataclass(frozen=True, slots=True)
class PackInfo:
    """A pack and its exact length in bytes."""

    name: PackName
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Reference:
    """Another map and its exact length in bytes.

    `on_load` is the mark that all the files have which it stands for; NOT_LOOKED_AT where the map has to be asked.
    """

    name: MapName
    size_bytes: int
    on_load: OnLoad = field(
        default=OnLoad.NOT_LOOKED_AT, compare=False
    )  # says something of the map, and does not make another of it


@dataclass(frozen=True, slots=True)
class Located:
    """A chunk's placement together with the pack that it lies in; for a delta, with its base's.

    `age` and `spent` are the writer's bookkeeping of a delta: how many deltas in a row, this one included, were made to its base,
    and what those and the base take together in bytes. Readers do not look at them.
    """

    pack: PackInfo
    placement: Placement
    base: Located | None = None
    age: int = 0
    spent: int = 0


@dataclass(frozen=True, slots=True)
class ChunkMap:
    """A decoded map. Rows are checked when it is decoded and turned into values when they are asked for."""

    packs: tuple[PackInfo, ...]
    rows: memoryview  # the placement table's bytes
    files: Mapping[bytes, tuple[int, int, int, OnLoad]]  # file digest -> size, first chunk, chunk count, mark
    chunks: array[int]
    trees: Mapping[bytes, memoryview]  # tree digest -> its bytes where they are attached, else nothing
    references: Mapping[tuple[Covers, bytes], Reference]
    indexes: Mapping[bytes, memoryview]  # file digest -> encoded tensor index

    def __len__(self) -> int:
        """The number of placements."""
        return len(self.rows) // PLACEMENT_BYTES

    def located(self, number: int) -> Located:
        """Placement `number` with its pack and its base."""
        chunk, pack, offset, stored, raw, codec, element, age, base, spent = _PLACEMENT.unpack_from(
            self.rows, number * PLACEMENT_BYTES
        )
        under = self.located(base) if base != NO_BASE else None
        placement = Placement(
            ChunkId(chunk), offset, stored, raw, Codec(codec), ElementType(element), under.placement.chunk if under else None
        )
        return Located(self.packs[pack], placement, under, age, spent)

    def chunk_digests(self) -> Iterator[bytes]:
        """The id of every placement, in order."""
        for start in range(0, len(self.rows), PLACEMENT_BYTES):
            yield bytes(self.rows[start : start + ID_BYTES])

    def file(self, digest: bytes) -> tuple[Located, ...] | None:
        """The chunks of a file in order, or None when this map has no row for it."""
        row = self.files.get(digest)
        if row is None:
            return None
        _, first, count, _ = row
        return tuple(self.located(number) for number in self.chunks[first : first + count])

    def places(self, digest: bytes) -> Iterator[tuple[PackInfo, int, int]]:
        """Pack, offset and stored bytes of every chunk of a file, and of the base of each that is a delta."""
        _, first, count, _ = self.files.get(digest, (0, 0, 0, None))
        for number in self.chunks[first : first + count]:
            _, pack, offset, stored, _, _, _, _, base, _ = _PLACEMENT.unpack_from(self.rows, number * PLACEMENT_BYTES)
            yield self.packs[pack], offset, stored
            if base != NO_BASE:
                _, pack, offset, stored, *_ = _PLACEMENT.unpack_from(self.rows, base * PLACEMENT_BYTES)
                yield self.packs[pack], offset, stored

    def on_load(self, digest: bytes) -> OnLoad:
        """The mark of a file; NOT_LOOKED_AT when this map has no row for it."""
        row = self.files.get(digest)
        return row[3] if row else OnLoad.NOT_LOOKED_AT


@dataclass(slots=True)
class MapBuilder:
    """Collects the rows of one map; equal placements are stored once."""

    packs: dict[PackInfo, int] = field(default_factory=dict)
    placements: dict[Located, int] = field(default_factory=dict)
    files: dict[bytes, tuple[int, tuple[int, ...], OnLoad]] = field(default_factory=dict)
    trees: dict[bytes, bytes] = field(default_factory=dict)
    references: dict[tuple[Covers, bytes], Reference] = field(default_factory=dict)
    indexes: dict[bytes, bytes] = field(default_factory=dict)

    def add_file(
        self, file: FileId, size_bytes: int, chunks: Iterable[Located], *, on_load: OnLoad = OnLoad.NOT_LOOKED_AT
    ) -> None:
        """Add the row of one file."""
        if file.digest not in self.files:
            self.files[file.digest] = (size_bytes, tuple(self._number(located) for located in chunks), on_load)

    def add_index(self, file: FileId, index: bytes | memoryview) -> None:
        """Attach the encoded tensor index of a file that has a row here."""
        self.indexes[file.digest] = bytes(index)

    def refer(self, covers: Covers, key: FileId | TreeId, reference: Reference) -> None:
        """Name the map that holds a big file, or a folder's small files."""
        self.references[covers, key.digest] = reference

    def _number(self, located: Located) -> int:
        if located.base is not None:
            self._number(located.base)
        self.packs.setdefault(located.pack, len(self.packs))
        return self.placements.setdefault(located, len(self.placements))

    def encode(self, nonce: bytes) -> bytes:
        """The map's bytes, named by their `MapName`. Raises LimitError over 64 MiB (a file of some 10^6 chunks)."""
        files = sorted(self.files.items())
        counts = (
            len(self.packs), len(self.placements), len(files), sum(len(numbers) for _, (_, numbers, _) in files),
            len(self.trees), len(self.references), len(self.indexes), sum(map(len, (*self.trees.values(), *self.indexes.values()))),
        )  # fmt: skip
        parts = [_HEADER.pack(MAGIC, nonce, *counts)]
        parts += [_PACK.pack(pack.name.digest, pack.size_bytes) for pack in self.packs]
        parts += [self._placement_row(located) for located in self.placements]
        first = 0
        for digest, (size_bytes, numbers, on_load) in files:
            parts.append(_FILE.pack(digest, size_bytes, first, len(numbers), on_load))
            first += len(numbers)
        parts += [struct.pack(f"<{len(numbers)}I", *numbers) for _, (_, numbers, _) in files]
        trees, indexes = sorted(self.trees.items()), sorted(self.indexes.items())
        parts += [_ATTACHED.pack(digest, len(data)) for digest, data in trees]
        parts += [
            _REFERENCE.pack(covers, reference.on_load, key, reference.name.digest, reference.size_bytes)
            for (covers, key), reference in sorted(self.references.items())
        ]
        parts += [_ATTACHED.pack(digest, len(data)) for digest, data in indexes]
        parts += [data for _, data in (*trees, *indexes)]
        data = b"".join(parts)
        if len(data) > MAX_METADATA_BYTES:
            raise LimitError(
                f"the map of this version takes {len(data):,} bytes; the limit is {MAX_METADATA_BYTES:,}. "
                "Split the file, or create the registry with larger chunks"
            )
        return data

    def _placement_row(self, located: Located) -> bytes:
        placement = located.placement
        return _PLACEMENT.pack(
            placement.chunk.digest, self.packs[located.pack], placement.offset, placement.stored_bytes, placement.raw_bytes,
            placement.codec, placement.element, min(located.age, _MAX_AGE),
            self.placements[located.base] if located.base else NO_BASE, min(located.spent, _MAX_SPENT),
        )  # fmt: skip


def decode_map(data: bytes) -> ChunkMap:
    """The map in `data`, every number checked before it is used. Raises FormatError."""
    if not _HEADER.size <= len(data) <= MAX_METADATA_BYTES or not data.startswith(MAGIC):
        raise FormatError("not a map, or one over the size limit")
    _, _, pack_count, row_count, file_count, chunk_count, tree_count, reference_count, index_count, attached = (
        _HEADER.unpack_from(data)
    )
    sizes = (
        pack_count * _PACK.size, row_count * _PLACEMENT.size, file_count * _FILE.size, chunk_count * CHUNK_REF_BYTES,
        tree_count * _ATTACHED.size, reference_count * _REFERENCE.size, index_count * _ATTACHED.size, attached,
    )  # fmt: skip
    if _HEADER.size + sum(sizes) != len(data):
        raise FormatError("a map whose length does not match its counts")
    view = memoryview(data)
    tables: list[memoryview] = []
    position = _HEADER.size
    for size in sizes:
        tables.append(view[position : position + size])
        position += size
    pack_table, rows, file_table, chunk_table, tree_table, reference_table, index_table, attachments = tables
    packs = tuple(_decode_pack_row(name, size) for name, size in _PACK.iter_unpack(pack_table))
    raw_sizes = _check_rows(rows, packs)
    chunks = array("I", chunk_table.tobytes())
    if sys.byteorder == "big":
        chunks.byteswap()
    if chunks and max(chunks) >= row_count:
        raise FormatError("a map whose files point beyond its placements")
    trees, used = _decode_attached(tree_table, attachments, 0, what="trees")
    files = _decode_files(file_table, chunks, raw_sizes)
    indexes, used = _decode_attached(index_table, attachments, used, what="tensor indexes")
    if used != attached or not indexes.keys() <= files.keys():
        raise FormatError("a map with attached bytes that belong to nothing")
    return ChunkMap(
        packs=packs,
        rows=rows,
        files=files,
        chunks=chunks,
        trees=trees,
        references=_decode_references(reference_table),
        indexes=indexes,
    )


def _decode_pack_row(name: bytes, size_bytes: int) -> PackInfo:
    if not 0 < size_bytes <= MAX_PACK_BYTES:
        raise FormatError(f"a map with a pack of {size_bytes:,} bytes; the limit is {MAX_PACK_BYTES:,}")
    return PackInfo(PackName(name), size_bytes)


def _check_rows(rows: memoryview, packs: tuple[PackInfo, ...]) -> list[int]:
    """Check every placement; returns their raw sizes."""
    raw_sizes: list[int] = []
    deltas: list[int] = []
    for _, pack, offset, stored, raw, codec, element, _, base, _ in _PLACEMENT.iter_unpack(rows):
        kind, _ = check_placement(offset, stored, raw, codec, element)
        if pack >= len(packs) or offset + stored > packs[pack].size_bytes:
            raise FormatError("a map with a chunk beyond the end of its pack")
        if (kind is Codec.DELTA) != (base != NO_BASE):
            raise FormatError("a map with a delta without a base, or a base for something else")
        raw_sizes.append(raw)
        if kind is Codec.DELTA:
            deltas.append(base)
    for base in deltas:
        if base >= len(raw_sizes) or rows[base * PLACEMENT_BYTES + _CODEC_OFFSET] == Codec.DELTA:
            raise FormatError("a map with a delta whose base is a delta, or is not there")
    return raw_sizes


def _decode_files(table: memoryview, chunks: array[int], raw_sizes: list[int]) -> dict[bytes, tuple[int, int, int, OnLoad]]:
    files: dict[bytes, tuple[int, int, int, OnLoad]] = {}
    previous = b""
    expected_first = 0
    for digest, size_bytes, first, count, on_load in _FILE.iter_unpack(table):
        if digest <= previous and previous:
            raise FormatError("a map whose files are not sorted and unique")
        if first != expected_first or first + count > len(chunks) or size_bytes > MAX_INTEGER:
            raise FormatError("a map whose files point beyond its chunks")
        if sum(raw_sizes[number] for number in chunks[first : first + count]) != size_bytes:
            raise FormatError("a map with a file whose chunks do not add up to its size")
        files[digest] = (size_bytes, first, count, _decode_mark(on_load))
        previous = digest
        expected_first = first + count
    if expected_first != len(chunks):
        raise FormatError("a map with chunks that belong to no file")
    return files


def _decode_mark(value: int) -> OnLoad:
    if value not in _MARKS:
        raise UnsupportedFormatError(f"a map with mark {value}, which this version does not know; upgrade to read it")
    return _MARKS[value]


def _decode_attached(
    table: memoryview, attachments: memoryview, position: int, *, what: str
) -> tuple[dict[bytes, memoryview], int]:
    found: dict[bytes, memoryview] = {}
    previous = b""
    for digest, length in _ATTACHED.iter_unpack(table):
        if digest <= previous and previous:
            raise FormatError(f"a map whose {what} are not sorted and unique")
        if position + length > len(attachments):
            raise FormatError(f"a map whose {what} are cut short")
        found[digest] = attachments[position : position + length]
        position += length
        previous = digest
    return found, position


def _decode_references(table: memoryview) -> dict[tuple[Covers, bytes], Reference]:
    references: dict[tuple[Covers, bytes], Reference] = {}
    previous: tuple[int, bytes] = (0, b"")
    for covers, on_load, key, name, size_bytes in _REFERENCE.iter_unpack(table):
        if covers not in _COVERS or (covers, key) <= previous:
            raise FormatError("a map whose references are unknown, or not sorted and unique")
        if not _HEADER.size <= size_bytes <= MAX_METADATA_BYTES:
            raise FormatError("a map that refers to another of impossible size")
        references[Covers(covers), key] = Reference(MapName(name), size_bytes, _decode_mark(on_load))
        previous = (covers, key)
    return references


_COVERS = frozenset(int(covers) for covers in Covers)
_MARKS = {int(mark): mark for mark in OnLoad}
