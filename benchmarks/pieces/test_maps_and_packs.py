"""Building and reading the two binary objects of a commit. A map's rate is in its own bytes."""

from collections.abc import Callable
from typing import Any

from cas_registry.model.ids import ChunkId, FileId, PackName
from cas_registry.model.maps import Located, MapBuilder, PackInfo, decode_map
from cas_registry.model.packs import PackBuilder, decode_pack
from cas_registry.model.placement import Codec, Placement
from cas_registry.model.registry_format import DEFAULT_CHUNK_BYTES, DEFAULT_PACK_BYTES
from cas_registry.model.tensors import ElementType

ROWS = 20_000
NONCE = bytes(16)


def test_map_encode(speed: Callable[..., Any]) -> None:
    builder = _builder()
    size = len(builder.encode(NONCE))
    speed(size, builder.encode, NONCE)


def test_map_decode(speed: Callable[..., Any]) -> None:
    data = _builder().encode(NONCE)
    assert len(speed(len(data), decode_map, data)) == ROWS


def test_pack_build(speed: Callable[..., Any], weights: Callable[..., Any]) -> None:
    chunks = _chunks(weights)
    speed(DEFAULT_PACK_BYTES, _build, chunks)


def test_pack_read_footer(speed: Callable[..., Any], weights: Callable[..., Any]) -> None:
    chunks = _chunks(weights)
    data = bytes(_build(chunks)[1])
    assert len(speed(len(data), decode_pack, data).placements) == len(chunks)


def _builder() -> MapBuilder:
    builder = MapBuilder()
    pack = PackInfo(PackName.of(b"pack"), 2 * ROWS)
    rows = [
        Located(pack, Placement(ChunkId.of(number.to_bytes(4, "big")), 32 + number, 1, 1, Codec.RAW)) for number in range(ROWS)
    ]
    builder.add_file(FileId.of(b"file"), ROWS, rows)
    return builder


def _chunks(weights: Callable[..., Any]) -> list[tuple[bytes, bytes]]:
    data = weights(DEFAULT_PACK_BYTES // 4, ElementType.F32).data
    pieces = [data[start : start + DEFAULT_CHUNK_BYTES] for start in range(0, len(data), DEFAULT_CHUNK_BYTES)]
    return [(ChunkId.of(piece).digest, piece) for piece in pieces]


def _build(chunks: list[tuple[bytes, bytes]]) -> Any:
    builder = PackBuilder(NONCE, buffer=memoryview(bytearray(DEFAULT_PACK_BYTES)))
    for digest, piece in chunks:
        builder.add(digest, piece, raw_bytes=len(piece), codec=Codec.RAW)
    return builder.finish()
