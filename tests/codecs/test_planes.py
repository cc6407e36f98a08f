"""Byte planes: whatever goes in comes out, within the expansion that readers allow, and hostile planes are a FormatError."""

import contextlib
import struct
import tracemalloc

import blake3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.codecs import zstd
from cas_registry.codecs.planes import WORDS, decode, encode
from cas_registry.errors import FormatError
from cas_registry.model.placement import MAX_EXPANSION
from cas_registry.model.registry_format import MAX_CHUNK_BYTES

WIDTHS = sorted(WORDS)
COUNT = 1_000


def noise(length: int, key: bytes = b"noise") -> bytes:
    return blake3.blake3(key).digest(length=length)


def interleave(*planes: bytes) -> bytes:
    """Elements whose k-th bytes are the k-th plane."""
    return bytes(byte for element in zip(*planes, strict=True) for byte in element)


def lengths(stored: bytes, width: int) -> tuple[int, ...]:
    return struct.unpack_from(f"<{width}I", stored)


def chunks() -> st.SearchStrategy[bytes]:
    """Bytes of any length: arbitrary, repeated, and with planes of zeros, of one byte and of noise."""
    plane = st.sampled_from([bytes(300), b"\x3d" * 300, noise(300), noise(20) * 15])
    return st.one_of(
        st.binary(max_size=300),
        st.builds(lambda data, times: data * times, st.binary(max_size=20), st.integers(1, 400)),
        st.builds(
            lambda planes, tail: interleave(*planes) + tail, st.lists(plane, min_size=8, max_size=8), st.binary(max_size=7)
        ),
    )


@given(data=chunks(), width=st.sampled_from(WIDTHS))
def test_any_bytes_come_back_at_any_width_from_any_buffer(data: bytes, width: int) -> None:
    stored = encode(data, width)
    assert decode(stored, len(data), width) == data
    assert len(data) <= len(stored) * MAX_EXPANSION
    assert encode(memoryview(b"-" + data + b"-")[1:-1], width) == stored
    assert decode(memoryview(b"-" + stored + b"-")[1:-1], len(data), width) == data


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("length", [0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 4_099])
def test_what_is_no_whole_element_is_kept_as_it_is(width: int, length: int) -> None:
    data = noise(length)
    stored = encode(data, width)
    assert decode(stored, length, width) == data
    tail = length % width
    assert stored[len(stored) - tail :] == data[length - tail :]
    assert len(stored) == 4 * width + length


def test_each_plane_has_the_form_that_suits_it() -> None:
    data = interleave(noise(COUNT), bytes(COUNT), b"\x3d" * COUNT, noise(COUNT, b"more")) + b"xyz"
    stored = encode(data, 4)
    raw, zeros, constant, more = lengths(stored, 4)
    assert (raw, zeros, more) == (COUNT, 0, COUNT)
    assert 0 < constant < 64
    assert stored[16 : 16 + COUNT] == noise(COUNT)
    assert stored.endswith(noise(COUNT, b"more") + b"xyz")
    assert decode(stored, len(data), 4) == data


@pytest.mark.parametrize("width", WIDTHS)
def test_a_plane_is_zeros_only_where_all_of_it_is(width: int) -> None:
    for at in (0, COUNT - 1):
        data = bytearray(width * COUNT)
        data[at * width] = 1
        assert [length > 0 for length in lengths(encode(bytes(data), width), width)] == [True] + [False] * (width - 1)
        assert decode(encode(bytes(data), width), len(data), width) == data


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("length", [1, 31_999, 32_000, 32_001, 1_000_003, MAX_CHUNK_BYTES])
def test_zeros_are_padded_to_the_expansion_that_readers_allow(width: int, length: int) -> None:
    stored = encode(bytes(length), width)
    assert len(stored) == max(4 * width + length % width, -(-length // MAX_EXPANSION))
    assert decode(stored, length, width) == bytes(length)
    assert len(stored) < 2 * 4 * width or length <= len(stored) * MAX_EXPANSION < length + MAX_EXPANSION
    for other in (stored[:-1], stored + b"\x00"):
        with pytest.raises(FormatError):
            decode(other, length, width)


@given(
    data=chunks().filter(len), width=st.sampled_from(WIDTHS), cut=st.integers(0, 10_000), more=st.binary(min_size=1, max_size=9)
)
def test_planes_cut_short_or_extended_are_refused(data: bytes, width: int, cut: int, more: bytes) -> None:
    stored = encode(data, width)
    for other in (stored[: cut % len(stored)], stored + more):
        with pytest.raises(FormatError):
            decode(other, len(data), width)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("change", [-1_000, -8, -1, 1, 8, 1_000, 10**9])
def test_another_length_than_announced_is_refused(width: int, change: int) -> None:
    for data in (noise(8 * COUNT), b"\x3d" * 8 * COUNT):
        with pytest.raises(FormatError):
            decode(encode(data, width), len(data) + change, width)


@given(stored=st.binary(max_size=400), raw_bytes=st.integers(1, 5_000), width=st.sampled_from(WIDTHS))
def test_garbage_is_refused_or_decodes_to_the_announced_length(stored: bytes, raw_bytes: int, width: int) -> None:
    with contextlib.suppress(FormatError):
        assert len(decode(stored, raw_bytes, width)) == raw_bytes


@given(
    data=chunks().filter(len),
    width=st.sampled_from(WIDTHS),
    flips=st.lists(st.tuples(st.integers(0), st.integers(1, 255)), max_size=4),
)
def test_damaged_planes_are_refused_or_decode_to_the_announced_length(
    data: bytes, width: int, flips: list[tuple[int, int]]
) -> None:  # fmt: skip
    stored = bytearray(encode(data, width))
    for at, bits in flips:
        stored[at % len(stored)] ^= bits
    with contextlib.suppress(FormatError):
        assert len(decode(bytes(stored), len(data), width)) == len(data)


def test_a_plane_that_announces_more_than_its_elements_takes_no_memory() -> None:
    bomb = zstd.encode(bytes(MAX_CHUNK_BYTES))
    stored = struct.pack("<2I", len(bomb), 0) + bomb
    for raw_bytes in (2 * len(bomb) - 2, 2 * len(bomb) + 2, 4_000):
        tracemalloc.start()
        try:
            with pytest.raises(FormatError):
                decode(stored, raw_bytes, 2)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 256 * 1024


def test_a_plane_that_takes_more_than_its_elements_is_refused() -> None:
    """What a frame does not make smaller is stored as it is: there is one way to write what gains nothing."""
    frame = zstd.encode(noise(COUNT))
    assert len(frame) > COUNT
    assert decode(struct.pack("<I", COUNT) + noise(COUNT), COUNT, 1) == noise(COUNT)
    with pytest.raises(FormatError):
        decode(struct.pack("<I", len(frame)) + frame, COUNT, 1)
