"""Zstandard frames from a hostile pack: FormatError, and no more memory than the chunk may take."""

import random
import struct
import tracemalloc

import pytest
import zstandard

from cas_registry.codecs import zstd
from cas_registry.codecs.zstd import decode
from cas_registry.errors import FormatError
from cas_registry.model.registry_format import MAX_CHUNK_BYTES

DATA = b"abc" * 1_000
FRAME = zstd.encode(DATA)
MAGIC = b"\x28\xb5\x2f\xfd"
BLOCKS = FRAME[7:]  # after magic, descriptor and a content size of two bytes
SKIPPABLE = struct.pack("<II", 0x184D2A50, 4) + b"abcd"


def _run(length: int, *, last: bool = False) -> bytes:
    """A block that stands for `length` zeros."""
    return (length << 3 | 1 << 1 | last).to_bytes(3, "little") + b"\x00"


def _single_segment(size: int, blocks: bytes) -> bytes:
    """A frame that announces `size` bytes of content, which is its window as well."""
    return MAGIC + b"\xe0" + struct.pack("<Q", size) + blocks


def _windowed(window: int, blocks: bytes, *, content: bytes = struct.pack("<H", 3_000 - 256), flags: int = 0x40) -> bytes:
    return MAGIC + bytes([flags, window]) + content + blocks


def test_frames_are_built_as_the_library_builds_them() -> None:
    assert FRAME[:7] == MAGIC + b"\x60" + struct.pack("<H", 3_000 - 256)
    assert decode(_single_segment(3_000, BLOCKS), 3_000) == DATA
    assert decode(_windowed(0x50, BLOCKS), 3_000) == DATA
    assert decode(_single_segment(5, _run(5, last=True)), 5) == bytes(5)


def test_a_frame_carries_its_content_size_and_no_checksum() -> None:
    parameters = zstandard.get_frame_parameters(FRAME)
    assert parameters.content_size == len(DATA)
    assert not parameters.has_checksum
    assert parameters.dict_id == 0


REFUSED = {
    "nothing": (b"", 10),
    "no frame": (b"not zstd at all", 10),
    "only the magic": (MAGIC, 10),
    "only the header": (FRAME[:7], 3_000),
    "one byte short": (FRAME[:-1], 3_000),
    "one byte too many": (FRAME + b"x", 3_000),
    "two frames": (FRAME + FRAME, 6_000),
    "two frames, one announced": (FRAME + FRAME, 3_000),
    "a skippable frame before": (SKIPPABLE + FRAME, 3_000),
    "a skippable frame after": (FRAME + SKIPPABLE, 3_000),
    "a skippable frame alone": (SKIPPABLE, 4),
    "no content size": (zstandard.ZstdCompressor(write_content_size=False).compress(DATA), 3_000),
    "a checksum that does not hold": (
        zstandard.ZstdCompressor(write_checksum=True).compress(DATA)[:-1] + b"\x00",
        3_000,
    ),
    "a dictionary": (
        zstandard.ZstdCompressor(dict_data=zstandard.ZstdCompressionDict(DATA)).compress(DATA),
        3_000,
    ),
    "less announced than wanted": (FRAME, 3_001),
    "more announced than wanted": (FRAME, 2_999),
    "less content than announced": (_single_segment(3_001, BLOCKS), 3_001),
    "more content than announced": (_single_segment(2_999, BLOCKS), 2_999),
    "10 GiB announced": (_single_segment(10 * 1024**3, BLOCKS), 1_024),
    "2^62 bytes announced": (_single_segment(2**62, BLOCKS), 3_000),
    "2^64 - 1 bytes announced": (_single_segment(2**64 - 1, BLOCKS), 3_000),
    "2^64 - 2 bytes announced": (_single_segment(2**64 - 2, BLOCKS), 3_000),
    "10 GiB in 1 KiB announced": (_single_segment(1_024, _run(131_072) * 80_000 + _run(1, last=True)), 1_024),
    "16 MiB in 1 KiB announced": (_single_segment(1_024, _run(131_072) * 127 + _run(131_072, last=True)), 1_024),
    "a window of 3.75 TiB": (_windowed(0xFF, BLOCKS), 3_000),
    "a huge window and no content size": (_windowed(0xA8, BLOCKS, content=b"", flags=0), 3_000),
    "reserved bits": (MAGIC + bytes([FRAME[4] | 0x08]) + FRAME[5:], 3_000),
    "another format": (b"\x1f\x8b\x08" + FRAME, 3_000),
}


@pytest.mark.parametrize(("stored", "raw_bytes"), REFUSED.values(), ids=REFUSED)
def test_hostile_frames_are_refused_within_the_memory_of_the_chunk(stored: bytes, raw_bytes: int) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(FormatError):
            decode(stored, raw_bytes)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < raw_bytes + 64 * 1024


def test_a_bomb_of_the_largest_chunk_size_takes_the_memory_of_one_chunk() -> None:
    bomb = _single_segment(MAX_CHUNK_BYTES, _run(131_072) * 127 + _run(131_072, last=True))
    assert len(bomb) < 600
    tracemalloc.start()
    try:
        assert len(decode(bomb, MAX_CHUNK_BYTES)) == MAX_CHUNK_BYTES
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert MAX_CHUNK_BYTES <= peak < MAX_CHUNK_BYTES + 64 * 1024


def test_damaged_frames_decode_to_the_announced_length_or_are_refused() -> None:
    seeds = [FRAME, zstd.encode(random.Random(0).randbytes(300) + bytes(200)), zstd.encode(bytes(range(256)) * 4)]
    refused = 0
    for number in range(20_000):
        rng = random.Random(number)
        stored = bytearray(rng.choice(seeds))
        for _ in range(rng.choice((1, 1, 2, 4))):
            match rng.randrange(4):
                case 0:
                    stored[rng.randrange(len(stored))] ^= 1 << rng.randrange(8)
                case 1:
                    del stored[rng.randrange(len(stored)) + 1 :]
                case 2:
                    stored += rng.randbytes(rng.randrange(1, 5))
                case _:
                    at = rng.randrange(len(stored))
                    stored[at : at + 2] = rng.randbytes(2)
        raw_bytes = rng.choice((3_000, 500, 1_024))
        try:
            assert len(decode(bytes(stored), raw_bytes)) == raw_bytes
        except FormatError:
            refused += 1
    assert 15_000 < refused < 20_000
