"""Content-defined cuts: the same whatever the buffers, within bounds, and the same as ever."""

import itertools
import random
from collections.abc import Iterable, Iterator

import blake3
import pyfastcdc.py
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.chunking.fastcdc import ContentDefinedChunker
from cas_registry.model.registry_format import DEFAULT_CHUNK_BYTES, ChunkingParameters, chunking_around

SMALL = ChunkingParameters(64, 256, 1024)
DEFAULT = chunking_around(DEFAULT_CHUNK_BYTES)


def _noise(length: int, seed: bytes = b"cas_registry") -> bytes:
    """The same incompressible bytes on every machine."""
    return blake3.blake3(seed).digest(length=length)


def _pieces(buffers: Iterable[bytes], parameters: ChunkingParameters = SMALL) -> list[memoryview]:
    return [piece for batch in ContentDefinedChunker(parameters).cut(buffers) for piece in batch]


def _cut(buffers: Iterable[bytes], parameters: ChunkingParameters = SMALL) -> list[bytes]:
    return [bytes(piece) for piece in _pieces(buffers, parameters)]


def _split(data: bytes, sizes: Iterator[int]) -> list[bytes]:
    buffers = []
    start = 0
    while start < len(data):
        size = next(sizes)
        buffers.append(data[start : start + size])
        start += size
    return buffers


KINDS = {
    "noise": _noise(40_000),
    "zeros": bytes(40_000),
    "repeats": b"0123456789abcdef" * 2_500,
    "text": b"".join(b"line %d of a text\n" % number for number in range(2_000)),
    "noise between zeros": b"".join(_noise(700, bytes([n])) + bytes(900) for n in range(25)),
    "shorter than a chunk": b"x" * 63,
    "one byte": b"x",
    "exactly the maximum": _noise(1024),
}


@pytest.mark.parametrize("data", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("size", [1, 63, 64, 255, 256, 1_000, 1_023, 1_024, 1_025, 4_096, 39_999])
def test_buffers_of_any_size_are_cut_as_one(data: bytes, size: int) -> None:
    assert _cut(_split(data, itertools.repeat(size))) == _cut([data])


@given(
    data=st.sampled_from(list(KINDS.values())) | st.binary(max_size=5_000),
    sizes=st.lists(st.integers(0, 3_000), min_size=1, max_size=20),
)
def test_buffers_of_mixed_sizes_empty_ones_included_are_cut_as_one(data: bytes, sizes: list[int]) -> None:
    assert _cut(_split(data, itertools.cycle([*sizes, 1_500]))) == _cut([data])


def test_default_parameters_cut_large_buffers_as_one() -> None:
    data = _noise(3 * 1024 * 1024)
    whole = _cut([data], DEFAULT)
    rng = random.Random(1)
    assert _cut(_split(data, itertools.repeat(1024 * 1024)), DEFAULT) == whole
    assert _cut(_split(data, iter(lambda: rng.randrange(1, 400_000), 0)), DEFAULT) == whole


@pytest.mark.parametrize("data", KINDS.values(), ids=KINDS)
def test_pieces_join_to_the_input_and_keep_within_the_bounds(data: bytes) -> None:
    pieces = _cut([data])
    assert b"".join(pieces) == data
    assert all(SMALL.min_bytes <= len(piece) <= SMALL.max_bytes for piece in pieces[:-1])
    assert 1 <= len(pieces[-1]) <= SMALL.max_bytes


def test_pieces_of_noise_are_near_the_average() -> None:
    pieces = _cut([_noise(8 * 1024 * 1024)], DEFAULT)
    assert DEFAULT.avg_bytes / 1.5 < 8 * 1024 * 1024 / len(pieces) < DEFAULT.avg_bytes * 1.5


@pytest.mark.parametrize("buffers", [[], [b""], [b"", b"", b""]], ids=["no buffer", "an empty one", "empty ones"])
def test_an_empty_file_has_no_pieces(buffers: list[bytes]) -> None:
    assert list(ContentDefinedChunker(SMALL).cut(buffers)) == []


def test_no_batch_and_no_piece_is_empty() -> None:
    batches = list(ContentDefinedChunker(SMALL).cut(_split(_noise(5_000), itertools.repeat(10))))
    assert all(batches)
    assert all(len(piece) for batch in batches for piece in batch)


def test_pieces_come_before_the_next_buffer_is_read() -> None:
    reads: list[int] = []

    def buffers() -> Iterator[bytes]:
        for number in range(10):
            reads.append(number)
            yield _noise(10_000, bytes([number]))

    next(ContentDefinedChunker(SMALL).cut(buffers()))
    assert reads == [0]


def test_a_chunker_cuts_file_after_file_without_remembering_the_last() -> None:
    chunker = ContentDefinedChunker(SMALL)
    first, second = _noise(5_000, b"1"), _noise(5_000, b"2")
    fresh = [bytes(piece) for batch in chunker.cut([second]) for piece in batch]
    list(chunker.cut([first]))
    assert [bytes(piece) for batch in chunker.cut([second]) for piece in batch] == fresh


@pytest.mark.parametrize("inserted", [1, 7, 64, 1_000])
def test_bytes_inserted_at_the_front_change_few_chunks(inserted: int) -> None:
    data = _noise(200_000)
    before, after = _cut([data]), _cut([_noise(inserted, b"new") + data])
    assert len(before) > 400
    assert len(set(after) - set(before)) <= 12


def test_a_change_in_the_middle_changes_few_chunks() -> None:
    data = _noise(200_000)
    before, after = _cut([data]), _cut([data[:100_000] + b"changed" + data[100_001:]])
    assert len(set(after) - set(before)) <= 12


def test_bytes_appended_change_only_the_last_chunk() -> None:
    data = _noise(50_000)
    before = _cut([data])
    assert _cut([data + b"more"])[: len(before) - 1] == before[:-1]


# Another version of the library that cuts elsewhere would still read and write, and share nothing with what is stored.
GOLDEN_SMALL = [
    425, 603, 303, 535, 98, 329, 261, 148, 261, 95, 439, 79, 156, 77, 190, 281, 381, 539, 284, 361, 111, 258, 389, 176, 304, 114, 509, 243, 243,
]  # fmt: skip
GOLDEN_DEFAULT = [
    68836,
    145376,
    88209,
    29844,
    33785,
    23356,
    78051,
    73348,
    38443,
    70126,
    28723,
    70002,
    96932,
    92139,
    101500,
    9906,
]


def test_cuts_with_the_smallest_parameters_are_where_they_were() -> None:
    assert [len(piece) for piece in _cut([_noise(8 * 1024)])] == GOLDEN_SMALL


def test_cuts_with_the_default_parameters_are_where_they_were() -> None:
    assert [len(piece) for piece in _cut([_noise(1024 * 1024)], DEFAULT)] == GOLDEN_DEFAULT


def test_the_extension_and_the_library_in_plain_python_agree() -> None:
    plain = pyfastcdc.py.FastCDC(
        SMALL.avg_bytes, min_size=SMALL.min_bytes, max_size=SMALL.max_bytes, normalized_chunking=1, seed=0
    )
    assert [chunk.length for chunk in plain.cut_buf(_noise(8 * 1024))] == GOLDEN_SMALL


def test_constant_data_is_cut_at_the_maximum() -> None:
    assert {len(piece) for piece in _cut([bytes(10 * DEFAULT.max_bytes)], DEFAULT)} == {DEFAULT.max_bytes}
