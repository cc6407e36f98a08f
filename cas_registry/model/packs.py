"""Packs: about 32 MiB of stored chunks in one object that describes itself.

    header   32 bytes   magic, 16 random bytes, reserved
    chunks              stored forms, one after another
    footer              chunk rows, then base ids, then recipes
    trailer  56 bytes   BLAKE3 of the footer, counts, magic

The footer repeats what maps say, so that maps can be rebuilt from packs alone: a chunk row is a placement (a delta's names its
base by a row of the base ids), a recipe the sequence of chunk ids of a file that was new in the commit that wrote the pack. See docs/format.md, "Packs".
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import blake3

from cas_registry.errors import FormatError
from cas_registry.model.ids import ID_BYTES, ChunkId, FileId, PackName
from cas_registry.model.placement import Codec, Placement, check_placement
from cas_registry.model.registry_format import MAX_PACK_BYTES

MAGIC = b"CASPACK\x01"
END_MAGIC = b"KCAPSAC\x01"
NONCE_BYTES = 16
_FIRST_BYTES = 64 * 1024
RECIPE_CHUNKS = 262_144  # chunk ids in one recipe part: 8 MiB
_HEADER = struct.Struct("<8s16s8x")
_CHUNK = struct.Struct("<32sIIIBBHI")  # id, offset, stored, raw, codec, element, reserved, base
_RECIPE = struct.Struct("<32sQIII")  # file id, size, chunks of the file, first chunk of this part, chunks in this part
_TRAILER = struct.Struct("<32sIIII8s")  # footer hash, footer bytes, chunks, recipes, bases, magic
HEADER_BYTES = _HEADER.size
TRAILER_BYTES = _TRAILER.size
CHUNK_ROW_BYTES = _CHUNK.size
RECIPE_BYTES = _RECIPE.size  # without its chunk ids
NO_BASE = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Recipe:
    """Which chunks, in order, make up a file; `chunks` holds 32-byte digests from position `first` of `total` on."""

    file: FileId
    size_bytes: int
    total: int
    first: int
    chunks: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class PackFooter:
    """What a pack says of itself."""

    placements: tuple[Placement, ...]
    recipes: tuple[Recipe, ...]


class PackBuilder:
    """Collects stored chunks in memory until the pack is full. Not thread-safe.

    They are put into `buffer`, or into one of the builder's own where that is too small.
    """

    def __init__(self, nonce: bytes, *, buffer: memoryview | None = None) -> None:
        self._data = memoryview(bytearray(_FIRST_BYTES)) if buffer is None else buffer
        self._end = 0
        self._rows: list[bytes] = []
        self._bases: dict[bytes, int] = {}
        self._recipes: list[Recipe] = []
        self._recipe_bytes = 0
        self._append(_HEADER.pack(MAGIC, nonce))

    @property
    def size_bytes(self) -> int:
        """The size that `finish` will give."""
        return self._end + len(self._rows) * _CHUNK.size + len(self._bases) * ID_BYTES + self._recipe_bytes + TRAILER_BYTES

    @property
    def is_empty(self) -> bool:
        return not self._rows and not self._recipes

    def add(
        self,
        chunk: bytes,
        stored: bytes | memoryview,
        *,
        raw_bytes: int,
        codec: Codec,
        element: int = 0,
        base: bytes | None = None,
    ) -> int:
        """Append one stored chunk; returns its offset. A delta comes with the id of its base."""
        offset = self._end
        self._append(stored)
        number = NO_BASE if base is None else self._bases.setdefault(base, len(self._bases))
        self._rows.append(_CHUNK.pack(chunk, offset, len(stored), raw_bytes, codec, element, 0, number))
        return offset

    def add_recipe(self, recipe: Recipe) -> None:
        """Append (a part of) a file's recipe."""
        self._recipes.append(recipe)
        self._recipe_bytes += _RECIPE.size + len(recipe.chunks) * ID_BYTES

    def finish(self) -> tuple[PackName, memoryview]:
        """The pack's name and bytes. The builder is spent."""
        footer = bytearray().join((*self._rows, *self._bases))
        for recipe in self._recipes:
            footer += _RECIPE.pack(recipe.file.digest, recipe.size_bytes, recipe.total, recipe.first, len(recipe.chunks))
            footer += b"".join(recipe.chunks)
        self._append(footer)
        counts = (len(self._rows), len(self._recipes), len(self._bases))
        self._append(_TRAILER.pack(blake3.blake3(footer).digest(), len(footer), *counts, END_MAGIC))
        data = self._data[: self._end]
        return PackName.of(data), data

    def _append(self, data: bytes | bytearray | memoryview) -> None:
        end = self._end + len(data)
        if end > len(self._data):
            larger = memoryview(bytearray(max(end, 2 * len(self._data))))
            larger[: self._end] = self._data[: self._end]
            self._data = larger
        self._data[self._end : end] = data
        self._end = end


def footer_bytes(trailer: bytes, *, pack_bytes: int) -> int:
    """The length of the footer that `trailer` (the last 56 bytes of a pack) announces. Raises FormatError."""
    if len(trailer) != TRAILER_BYTES:
        raise FormatError("a pack shorter than its trailer")
    _, length, _, _, _, magic = _TRAILER.unpack(trailer)
    if magic != END_MAGIC or pack_bytes > MAX_PACK_BYTES or length > pack_bytes - HEADER_BYTES - TRAILER_BYTES:
        raise FormatError("a pack whose trailer is damaged")
    return int(length)


def decode_footer(footer: bytes, trailer: bytes, *, pack_bytes: int) -> PackFooter:
    """The rows of a pack's footer, checked against the trailer's hash. Raises FormatError."""
    if footer_bytes(trailer, pack_bytes=pack_bytes) != len(footer):
        raise FormatError("a pack whose footer has another length than its trailer says")
    digest, _, chunk_count, recipe_count, base_count, _ = _TRAILER.unpack(trailer)
    if blake3.blake3(footer).digest() != digest:
        raise FormatError("a pack whose footer does not match its hash")
    rows_end = chunk_count * _CHUNK.size
    bases_end = rows_end + base_count * ID_BYTES
    if bases_end > len(footer):
        raise FormatError("a pack whose footer announces more chunks than it holds")
    data_end = pack_bytes - TRAILER_BYTES - len(footer)
    bases = [ChunkId(footer[start : start + ID_BYTES]) for start in range(rows_end, bases_end, ID_BYTES)]
    placements = tuple(_decode_row(row, bases, data_end) for row in _CHUNK.iter_unpack(footer[:rows_end]))
    return PackFooter(placements, _decode_recipes(footer, bases_end, recipe_count))


def decode_pack(data: bytes) -> PackFooter:
    """The footer of a whole pack in memory. Raises FormatError."""
    if len(data) < HEADER_BYTES + TRAILER_BYTES or not data.startswith(MAGIC):
        raise FormatError("not a pack")
    trailer = bytes(data[-TRAILER_BYTES:])
    length = footer_bytes(trailer, pack_bytes=len(data))
    end = len(data) - TRAILER_BYTES
    return decode_footer(bytes(data[end - length : end]), trailer, pack_bytes=len(data))


def _decode_row(row: tuple[bytes, int, int, int, int, int, int, int], bases: Sequence[ChunkId], data_end: int) -> Placement:
    chunk, offset, stored, raw, codec, element, reserved, base = row
    kind, element_type = check_placement(offset, stored, raw, codec, element)
    if offset < HEADER_BYTES or offset + stored > data_end or reserved:
        raise FormatError("a pack whose footer points outside its chunks")
    if (kind is Codec.DELTA) != (base != NO_BASE) or (kind is Codec.DELTA and base >= len(bases)):
        raise FormatError("a pack with a delta without a base, or a base for something else")
    return Placement(ChunkId(chunk), offset, stored, raw, kind, element_type, None if base == NO_BASE else bases[base])


def _decode_recipes(footer: bytes, position: int, count: int) -> tuple[Recipe, ...]:
    recipes: list[Recipe] = []
    for _ in range(count):
        if position + _RECIPE.size > len(footer):
            raise FormatError("a pack whose recipes are cut short")
        file, size, total, first, held = _RECIPE.unpack_from(footer, position)
        position += _RECIPE.size
        end = position + held * ID_BYTES
        if end > len(footer) or first + held > total:
            raise FormatError("a pack whose recipes are cut short")
        chunks = tuple(footer[start : start + ID_BYTES] for start in range(position, end, ID_BYTES))
        recipes.append(Recipe(FileId(file), size, total, first, chunks))
        position = end
    if position != len(footer):
        raise FormatError("a pack with bytes after its recipes")
    return tuple(recipes)
