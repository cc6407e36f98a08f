"""Maps: where the chunks of a version's files lie.

    header      48 bytes  magic, 16 random bytes, six counts
    packs       40 bytes  name, length
    placements  56 bytes  chunk id, pack, offset, stored, raw, codec, element, base
    files       48 bytes  file id, size, first chunk, chunk count; sorted by id
    chunks       4 bytes  placement numbers, file after file
    trees       32 bytes  every tree of the version (roots only); sorted
    references  80 bytes  which other map holds a big file or a folder's small files; sorted

A version's *root* map holds rows of its own for what is small and names other maps for the rest, so that a version that
changes one file writes one map, or two. Referenced maps are followed one step, never further. See docs/format.md, "Maps".
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import pairwise

from cas_registry.errors import FormatError, LimitError
from cas_registry.model.canonical import MAX_INTEGER, MAX_METADATA_BYTES
from cas_registry.model.ids import ID_BYTES, ChunkId, FileId, MapName, PackName, TreeId
from cas_registry.model.placement import Codec, Placement, check_placement
from cas_registry.model.registry_format import MAX_PACK_BYTES

MAGIC = b"CASMAPS\x01"
NO_BASE = 0xFFFFFFFF
_HEADER = struct.Struct("<8s16s6I")
_PACK = struct.Struct("<32sQ")
_PLACEMENT = struct.Struct("<32sIIIIBBHI")
_FILE = struct.Struct("<32sQII")
_REFERENCE = struct.Struct("<B7x32s32sQ")
PLACEMENT_BYTES = _PLACEMENT.size
FILE_BYTES = _FILE.size
CHUNK_REF_BYTES = 4


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
    """Another map and its exact length in bytes."""

    name: MapName
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Located:
    """A chunk's placement together with the pack that it lies in."""

    pack: PackInfo
    placement: Placement


@dataclass(frozen=True, slots=True)
class ChunkMap:
    """A decoded map. Rows are checked when it is decoded and turned into values when they are asked for."""

    packs: tuple[PackInfo, ...]
    rows: memoryview  # the placement table's bytes
    files: Mapping[bytes, tuple[int, int, int]]  # file digest -> size, first chunk, chunk count
    chunks: array[int]
    trees: frozenset[bytes]
    references: Mapping[tuple[Covers, bytes], Reference]

    def __len__(self) -> int:
        """The number of placements."""
        return len(self.rows) // PLACEMENT_BYTES

    def located(self, number: int) -> Located:
        """Placement `number` with its pack."""
        chunk, pack, offset, stored, raw, codec, element, _, _ = _PLACEMENT.unpack_from(self.rows, number * PLACEMENT_BYTES)
        return Located(self.packs[pack], Placement(ChunkId(chunk), offset, stored, raw, Codec(codec), element))

    def chunk_digests(self) -> Iterator[bytes]:
        """The id of every placement, in order."""
        for start in range(0, len(self.rows), PLACEMENT_BYTES):
            yield bytes(self.rows[start : start + ID_BYTES])

    def file(self, digest: bytes) -> tuple[Located, ...] | None:
        """The chunks of a file in order, or None when this map has no row for it."""
        row = self.files.get(digest)
        if row is None:
            return None
        _, first, count = row
        return tuple(self.located(number) for number in self.chunks[first : first + count])


@dataclass(slots=True)
class MapBuilder:
    """Collects the rows of one map; equal placements are stored once."""

    packs: dict[PackInfo, int] = field(default_factory=dict)
    placements: dict[Located, int] = field(default_factory=dict)
    files: dict[bytes, tuple[int, tuple[int, ...]]] = field(default_factory=dict)
    trees: set[bytes] = field(default_factory=set)
    references: dict[tuple[Covers, bytes], Reference] = field(default_factory=dict)

    def add_file(self, file: FileId, size_bytes: int, chunks: Iterable[Located]) -> None:
        """Add the row of one file."""
        if file.digest not in self.files:
            self.files[file.digest] = (size_bytes, tuple(self._number(located) for located in chunks))

    def refer(self, covers: Covers, key: FileId | TreeId, reference: Reference) -> None:
        """Name the map that holds a big file, or a folder's small files."""
        self.references[covers, key.digest] = reference

    def _number(self, located: Located) -> int:
        self.packs.setdefault(located.pack, len(self.packs))
        return self.placements.setdefault(located, len(self.placements))

    def encode(self, nonce: bytes) -> bytes:
        """The map's bytes, named by their `MapName`. Raises LimitError over 64 MiB (a file of some 10^6 chunks)."""
        files = sorted(self.files.items())
        counts = (
            len(self.packs), len(self.placements), len(files), sum(len(numbers) for _, (_, numbers) in files),
            len(self.trees), len(self.references),
        )  # fmt: skip
        parts = [_HEADER.pack(MAGIC, nonce, *counts)]
        parts += [_PACK.pack(pack.name.digest, pack.size_bytes) for pack in self.packs]
        parts += [self._placement_row(located) for located in self.placements]
        first = 0
        for digest, (size_bytes, numbers) in files:
            parts.append(_FILE.pack(digest, size_bytes, first, len(numbers)))
            first += len(numbers)
        parts += [struct.pack(f"<{len(numbers)}I", *numbers) for _, (_, numbers) in files]
        parts += sorted(self.trees)
        parts += [
            _REFERENCE.pack(covers, key, reference.name.digest, reference.size_bytes)
            for (covers, key), reference in sorted(self.references.items())
        ]
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
            placement.codec, placement.element, 0, NO_BASE,
        )  # fmt: skip


def decode_map(data: bytes) -> ChunkMap:
    """The map in `data`, every number checked before it is used. Raises FormatError."""
    if not _HEADER.size <= len(data) <= MAX_METADATA_BYTES or not data.startswith(MAGIC):
        raise FormatError("not a map, or one over the size limit")
    _, _, pack_count, row_count, file_count, chunk_count, tree_count, reference_count = _HEADER.unpack_from(data)
    sizes = (
        pack_count * _PACK.size, row_count * _PLACEMENT.size, file_count * _FILE.size, chunk_count * CHUNK_REF_BYTES,
        tree_count * ID_BYTES, reference_count * _REFERENCE.size,
    )  # fmt: skip
    if _HEADER.size + sum(sizes) != len(data):
        raise FormatError("a map whose length does not match its counts")
    view = memoryview(data)
    tables: list[memoryview] = []
    position = _HEADER.size
    for size in sizes:
        tables.append(view[position : position + size])
        position += size
    pack_table, rows, file_table, chunk_table, tree_table, reference_table = tables
    packs = tuple(_decode_pack_row(name, size) for name, size in _PACK.iter_unpack(pack_table))
    raw_sizes = [_check_row(row, packs) for row in _PLACEMENT.iter_unpack(rows)]
    chunks = array("I", struct.unpack(f"<{chunk_count}I", chunk_table))
    if chunks and max(chunks) >= row_count:
        raise FormatError("a map whose files point beyond its placements")
    return ChunkMap(
        packs=packs,
        rows=rows,
        files=_decode_files(file_table, chunks, raw_sizes),
        chunks=chunks,
        trees=_decode_trees(tree_table),
        references=_decode_references(reference_table),
    )


def _decode_pack_row(name: bytes, size_bytes: int) -> PackInfo:
    if not 0 < size_bytes <= MAX_PACK_BYTES:
        raise FormatError(f"a map with a pack of {size_bytes:,} bytes; the limit is {MAX_PACK_BYTES:,}")
    return PackInfo(PackName(name), size_bytes)


def _check_row(row: tuple[bytes, int, int, int, int, int, int, int, int], packs: tuple[PackInfo, ...]) -> int:
    _, pack, offset, stored, raw, codec, _, reserved, base = row
    check_placement(offset, stored, raw, codec)
    if pack >= len(packs) or offset + stored > packs[pack].size_bytes:
        raise FormatError("a map with a chunk beyond the end of its pack")
    if reserved or base != NO_BASE:
        raise FormatError("a map with a base for a codec that has none")
    return raw


def _decode_files(table: memoryview, chunks: array[int], raw_sizes: list[int]) -> dict[bytes, tuple[int, int, int]]:
    files: dict[bytes, tuple[int, int, int]] = {}
    previous = b""
    expected_first = 0
    for digest, size_bytes, first, count in _FILE.iter_unpack(table):
        if digest <= previous and previous:
            raise FormatError("a map whose files are not sorted and unique")
        if first != expected_first or first + count > len(chunks) or size_bytes > MAX_INTEGER:
            raise FormatError("a map whose files point beyond its chunks")
        if sum(raw_sizes[number] for number in chunks[first : first + count]) != size_bytes:
            raise FormatError("a map with a file whose chunks do not add up to its size")
        files[digest] = (size_bytes, first, count)
        previous = digest
        expected_first = first + count
    if expected_first != len(chunks):
        raise FormatError("a map with chunks that belong to no file")
    return files


def _decode_trees(table: memoryview) -> frozenset[bytes]:
    digests = [bytes(table[start : start + ID_BYTES]) for start in range(0, len(table), ID_BYTES)]
    if any(left >= right for left, right in pairwise(digests)):
        raise FormatError("a map whose trees are not sorted and unique")
    return frozenset(digests)


def _decode_references(table: memoryview) -> dict[tuple[Covers, bytes], Reference]:
    references: dict[tuple[Covers, bytes], Reference] = {}
    previous: tuple[int, bytes] = (0, b"")
    for covers, key, name, size_bytes in _REFERENCE.iter_unpack(table):
        if covers not in _COVERS or (covers, key) <= previous:
            raise FormatError("a map whose references are unknown, or not sorted and unique")
        if not _HEADER.size <= size_bytes <= MAX_METADATA_BYTES:
            raise FormatError("a map that refers to another of impossible size")
        references[Covers(covers), key] = Reference(MapName(name), size_bytes)
        previous = (covers, key)
    return references


_COVERS = frozenset(int(covers) for covers in Covers)
