"""What is compressed is unpacked as far as asked, and no further."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.formats.unpacking import method_of_member, method_of_stream, unpack
from tests.formats.files import Source

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "zstd": zstandard.compress,
}
DATA = bytes(range(256)) * 400


@pytest.mark.parametrize("method", PACKERS)
@pytest.mark.parametrize("data", [b"", b"x", DATA])
def test_all_of_it_or_as_much_as_asked(method: str, data: bytes) -> None:
    packed = PACKERS[method](data)
    assert method_of_stream(packed) == method
    assert unpack(method, Source(packed), 1 << 20) == (data, True, False)
    assert unpack(method, Source(packed), max(1, len(data) // 2)).data == data[: max(1, len(data) // 2)]
    assert unpack(method, Source(packed), 1000).is_whole == (len(data) < 1000)


@pytest.mark.parametrize("method", ["gzip", "bzip2", "xz", "zstd"])
def test_one_stream_behind_another_is_one(method: str) -> None:
    packed = PACKERS[method](b"") + PACKERS[method](b"one") + PACKERS[method](b"two")
    assert unpack(method, Source(packed), 1 << 20).data == b"onetwo"


@pytest.mark.parametrize("method", ["gzip", "zlib", "zstd"])
def test_what_stands_before_a_flaw_comes_out(method: str) -> None:
    packed = bytearray(PACKERS[method](DATA[:256] + bytes(1 << 20) + DATA))
    packed[-len(packed) // 3 :] = b"\xff" * (len(packed) // 3)
    found = unpack(method, Source(bytes(packed)), 8 << 20)
    assert found.is_broken or len(found.data) < (1 << 20) + len(DATA) + 256
    assert method == "zstd" or found.data.startswith(DATA[:256])


@pytest.mark.parametrize("method", PACKERS)
@given(data=st.binary(max_size=300))
def test_random_bytes_never_raise(method: str, data: bytes) -> None:
    unpack(method, Source(data), 1000)
    unpack(method, Source(PACKERS[method](b"abc")[:6] + data), 1000)


@pytest.mark.parametrize("method", PACKERS)
def test_a_bomb_gives_no_more_than_asked(method: str) -> None:
    bomb = PACKERS[method](bytes(64 << 20))
    found = unpack(method, Source(bomb), 10_000)
    assert (len(found.data), found.is_whole) == (10_000, False)


def test_methods_of_members() -> None:
    assert [method_of_member(number) for number in (8, 12, 93, 14, 99)] == ["deflate", "bzip2", "zstd", None, None]
