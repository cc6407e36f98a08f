"""Packs: what the builder writes, the decoder reads; whole, or by the footer alone."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.errors import FormatError, UnsupportedFormatError
from cas_registry.model.ids import ChunkId, FileId, PackName
from cas_registry.model.packs import (
    HEADER_BYTES,
    MAGIC,
    NONCE_BYTES,
    TRAILER_BYTES,
    PackBuilder,
    Recipe,
    decode_footer,
    decode_pack,
    footer_bytes,
)
from cas_registry.model.placement import Codec, Placement
from cas_registry.model.registry_format import MAX_PACK_BYTES
from cas_registry.model.tensors import ElementType
from tests.support import strategies as make

NONCE = bytes(range(NONCE_BYTES))


@given(
    chunks=st.lists(
        st.tuples(st.binary(min_size=1, max_size=50), st.sampled_from(Codec), st.sampled_from(ElementType)), max_size=5
    ),
    recipes=st.lists(make.recipes(), max_size=3),
)
def test_a_pack_describes_the_chunks_and_recipes_that_were_put_into_it(
    chunks: list[tuple[bytes, Codec, ElementType]], recipes: list[Recipe]
) -> None:
    builder = PackBuilder(NONCE)
    expected = []
    for stored, codec, element in chunks:
        raw_bytes = len(stored) if codec is Codec.RAW else len(stored) * 7
        chunk = ChunkId.of(stored)
        base = ChunkId.of(stored[:1]) if codec is Codec.DELTA else None
        offset = builder.add(
            chunk.digest,
            memoryview(stored),
            raw_bytes=raw_bytes,
            codec=codec,
            element=element,
            base=base.digest if base else None,
        )
        expected.append(Placement(chunk, offset, len(stored), raw_bytes, codec, element, base))
    for recipe in recipes:
        builder.add_recipe(recipe)
    announced = builder.size_bytes
    assert builder.is_empty == (not chunks and not recipes)

    name, data = builder.finish()

    assert len(data) == announced
    assert name == PackName.of(data)
    footer = decode_pack(bytes(data))
    assert footer.placements == tuple(expected)
    assert footer.recipes == tuple(recipes)
    for (stored, _, _), placement in zip(chunks, footer.placements, strict=True):
        assert data[placement.offset : placement.offset + placement.stored_bytes] == stored


def test_the_size_announced_grows_with_every_chunk_and_recipe() -> None:
    builder = PackBuilder(NONCE)
    sizes = [builder.size_bytes]
    assert builder.is_empty
    builder.add(bytes(32), b"x" * 10, raw_bytes=10, codec=Codec.RAW)
    sizes.append(builder.size_bytes)
    builder.add_recipe(Recipe(FileId.of(b""), 0, 0, 0, ()))
    sizes.append(builder.size_bytes)
    builder.add_recipe(Recipe(FileId.of(b"x"), 10, 1, 0, (bytes(32),)))
    sizes.append(builder.size_bytes)
    assert sizes == [88, 88 + 10 + 52, 88 + 62 + 52, 88 + 62 + 52 + 52 + 32]
    assert len(builder.finish()[1]) == sizes[-1]
    assert not builder.is_empty


def test_the_footer_is_read_from_its_own_bytes_and_the_trailer() -> None:
    data = make.example_pack()
    trailer = data[-TRAILER_BYTES:]
    length = footer_bytes(trailer, pack_bytes=len(data))
    footer = data[len(data) - TRAILER_BYTES - length : len(data) - TRAILER_BYTES]
    assert decode_footer(footer, trailer, pack_bytes=len(data)) == decode_pack(data)
    assert len(decode_pack(data).placements) == 4


def test_a_recipe_in_parts_joins_to_the_whole() -> None:
    digests = tuple(ChunkId.of(bytes([number])).digest for number in range(10))
    builder = PackBuilder(NONCE)
    for first in range(0, 10, 4):
        builder.add_recipe(Recipe(FileId.of(b"big"), 1_000, 10, first, digests[first : first + 4]))
    parts = decode_pack(bytes(builder.finish()[1])).recipes
    assert [(part.first, len(part.chunks), part.total) for part in parts] == [(0, 4, 10), (4, 4, 10), (8, 2, 10)]
    assert sum((tuple(part.chunks) for part in parts), ()) == digests


def test_packs_of_the_same_chunks_have_different_names() -> None:
    assert PackBuilder(b"a" * NONCE_BYTES).finish()[0] != PackBuilder(b"b" * NONCE_BYTES).finish()[0]


def test_the_layout_of_a_pack() -> None:
    builder = PackBuilder(NONCE)
    builder.add(b"c" * 32, b"stored", raw_bytes=600, codec=Codec.ZSTD, element=9)
    builder.add_recipe(Recipe(FileId(b"f" * 32), 1_200, 2, 0, (b"c" * 32, b"c" * 32)))
    data = bytes(builder.finish()[1])
    row = b"c" * 32 + struct.pack("<IIIBBHI", 32, 6, 600, 1, 9, 0, 0xFFFFFFFF)
    recipe = b"f" * 32 + struct.pack("<QIII", 1_200, 2, 0, 2) + b"c" * 64
    assert data[:32] == MAGIC + NONCE + bytes(8)
    assert data[32:38] == b"stored"
    assert data[38:] == row + recipe + make.sealed_trailer(row + recipe, 1, 1)


def _repacked(footer: bytes, rows: int, recipe_rows: int, *, head: bytes = b"") -> bytes:
    """A pack of these parts whose footer hash is right."""
    return (head or make.split_pack(make.example_pack())[0]) + footer + make.sealed_trailer(footer, rows, recipe_rows)


def _row(
    offset: int, stored: int, raw: int, codec: int = 0, element: int = 0, reserved: int = 0, base: int = 2**32 - 1
) -> bytes:
    return bytes(32) + struct.pack("<IIIBBHI", offset, stored, raw, codec, element, reserved, base)


def _recipe(total: int, first: int, held: int, size_bytes: int = 1) -> bytes:
    return bytes(32) + struct.pack("<QIII", size_bytes, total, first, held)


def test_a_row_within_the_chunks_is_accepted() -> None:
    assert len(decode_pack(_repacked(_row(32, 100, 100), 1, 0)).placements) == 1


REFUSED_ROWS = {
    "in the header": _row(0, 10, 10),
    "across the header's end": _row(31, 10, 10),
    "longer than the chunks": _row(32, 101, 101),
    "across the end": _row(131, 2, 2),
    "at the end": _row(132, 1, 1),
    "far away": _row(2**32 - 1, 1, 1),
    "4 GiB stored": _row(32, 2**32 - 1, 1, 1),
    "nothing stored": _row(32, 0, 1, 1),
    "nothing raw": _row(32, 10, 0, 1),
    "raw of two lengths": _row(32, 10, 11),
    "a bomb": _row(32, 10, 10_001, 1),
    "a chunk over the limit": _row(32, 60, 16 * 1024 * 1024 + 1, 1),
    "reserved bits": _row(32, 10, 10, 0, 0, 1),
    "a base": _row(32, 10, 10, 0, 0, 0, 0),
    "a delta without a base": _row(32, 10, 10, 3),
    "a delta to a base that is not there": _row(32, 10, 10, 3, 13, 0, 0),
}


@pytest.mark.parametrize("row", REFUSED_ROWS.values(), ids=REFUSED_ROWS)
def test_a_row_that_leads_outside_the_chunks_or_beyond_the_limits_is_refused(row: bytes) -> None:
    with pytest.raises(FormatError):
        decode_pack(_repacked(row, 1, 0))


def test_a_row_in_the_codec_of_a_newer_version_is_told_from_damage() -> None:
    with pytest.raises(UnsupportedFormatError, match="upgrade"):
        decode_pack(_repacked(_row(32, 10, 10, 4), 1, 0))


REFUSED_FOOTERS = {
    "a row and no bytes": (b"", 1, 0),
    "two rows announced": (_row(32, 1, 1), 2, 0),
    "bytes of no row": (_row(32, 1, 1), 0, 0),
    "a row taken for a recipe": (_row(32, 1, 1), 0, 1),
    "a recipe without its chunk": (_recipe(1, 0, 1), 0, 1),
    "a chunk cut short": (_recipe(1, 0, 1) + bytes(31), 0, 1),
    "a byte more": (_recipe(1, 0, 1) + bytes(33), 0, 1),
    "a part beyond its file": (_recipe(1, 1, 1) + bytes(32), 0, 1),
    "a part of an empty file": (_recipe(0, 0, 1) + bytes(32), 0, 1),
    "numbers that overflow": (_recipe(2**32 - 1, 2**32 - 1, 1) + bytes(32), 0, 1),
    "two recipes announced": (_recipe(0, 0, 0), 0, 2),
    "bytes of no recipe": (_recipe(0, 0, 0), 0, 0),
    "one byte": (b"x", 0, 0),
}


@pytest.mark.parametrize(("footer", "rows", "recipe_rows"), REFUSED_FOOTERS.values(), ids=REFUSED_FOOTERS)
def test_a_footer_that_does_not_add_up_is_refused(footer: bytes, rows: int, recipe_rows: int) -> None:
    with pytest.raises(FormatError):
        decode_pack(_repacked(footer, rows, recipe_rows))


def test_a_damaged_footer_is_refused_by_its_hash() -> None:
    data = bytearray(make.example_pack())
    start = len(make.split_pack(bytes(data))[0])
    for position in range(start, len(data) - TRAILER_BYTES):
        data[position] ^= 1
        with pytest.raises(FormatError, match="does not match its hash"):
            decode_pack(bytes(data))
        data[position] ^= 1
    decode_pack(bytes(data))


@pytest.mark.parametrize(
    "data",
    [b"", MAGIC, MAGIC + bytes(79), MAGIC + bytes(80), bytes(200), b"PK\x03\x04" + bytes(200)],
    ids=["nothing", "magic", "a byte short", "no trailer", "zeros", "a zip"],
)
def test_what_is_no_pack_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        decode_pack(data)


@pytest.mark.parametrize("length", [0, TRAILER_BYTES - 1, TRAILER_BYTES + 1])
def test_a_trailer_of_another_length_is_refused(length: int) -> None:
    trailer = (make.example_pack()[-TRAILER_BYTES:] + b"x")[:length]
    with pytest.raises(FormatError, match="trailer"):
        footer_bytes(trailer, pack_bytes=1_000)


@pytest.mark.parametrize("pack_bytes", [-1, 0, HEADER_BYTES + TRAILER_BYTES, MAX_PACK_BYTES + 1, 2**64])
def test_a_pack_of_impossible_length_is_refused(pack_bytes: int) -> None:
    with pytest.raises(FormatError):
        footer_bytes(make.example_pack()[-TRAILER_BYTES:], pack_bytes=pack_bytes)


@pytest.mark.parametrize("change", [b"", b"x", bytes(52)], ids=["a byte less", "a byte more", "a row more"])
def test_a_footer_of_another_length_than_announced_is_refused(change: bytes) -> None:
    head, footer, trailer = make.split_pack(make.example_pack())
    other: Any = footer + change if change else footer[:-1]
    with pytest.raises(FormatError, match="another length"):
        decode_footer(other, trailer, pack_bytes=len(head) + len(footer) + len(trailer))
