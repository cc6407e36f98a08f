"""Placements: where a chunk's stored form lies, and how it is decoded."""

from dataclasses import dataclass
from enum import IntEnum

from cas_registry.errors import FormatError, UnsupportedFormatError
from cas_registry.model.ids import ChunkId
from cas_registry.model.registry_format import MAX_CHUNK_BYTES, MAX_PACK_BYTES
from cas_registry.model.tensors import ElementType

MAX_EXPANSION = 1000  # raw bytes per stored byte; zstd's best on constant input, and the bound on a bomb


class Codec(IntEnum):
    """A chunk's stored form."""

    RAW = 0
    ZSTD = 1
    PLANES = 2
    DELTA = 3


_CODECS = frozenset(int(codec) for codec in Codec)
_ELEMENTS = frozenset(int(element) for element in ElementType)


@dataclass(frozen=True, slots=True)
class Placement:
    """One chunk in one pack: `stored_bytes` at `offset` decode by `codec` to `raw_bytes` whose BLAKE3 is `chunk`.

    `element` is the element type of the tensor that the chunk was cut from. `base` is set for a delta: the chunk that it is a
    difference to, which is never a delta itself.
    """

    chunk: ChunkId
    offset: int
    stored_bytes: int
    raw_bytes: int
    codec: Codec
    element: ElementType = ElementType.NONE
    base: ChunkId | None = None


def check_placement(offset: int, stored_bytes: int, raw_bytes: int, codec: int, element: int) -> tuple[Codec, ElementType]:
    """The codec and the element type of a placement whose numbers are within the limits.

    Raises FormatError, or UnsupportedFormatError for a newer codec or element type.
    """
    if codec not in _CODECS:
        raise UnsupportedFormatError(f"a chunk in codec {codec}, which this version does not know; upgrade to read it")
    if element not in _ELEMENTS:
        raise UnsupportedFormatError(f"a chunk of element type {element}, which this version does not know; upgrade to read it")
    if not 1 <= raw_bytes <= MAX_CHUNK_BYTES:
        raise FormatError(f"a chunk of {raw_bytes:,} bytes; the limit is {MAX_CHUNK_BYTES:,}")
    if stored_bytes < 1 or offset + stored_bytes > MAX_PACK_BYTES:
        raise FormatError("a chunk that lies outside its pack")
    if raw_bytes > stored_bytes * MAX_EXPANSION:
        raise FormatError(f"a chunk that expands more than {MAX_EXPANSION} times")
    if codec == Codec.RAW and raw_bytes != stored_bytes:
        raise FormatError("a raw chunk whose two lengths differ")
    return Codec(codec), ElementType(element)
