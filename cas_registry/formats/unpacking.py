"""The first bytes of what is compressed, and no more of them than asked for: gzip, zlib, bzip2, xz, lzma and Zstandard."""

import io
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from cas_registry.formats.source import ByteSource

_BLOCK_BYTES = 4 << 10
_MAX_MEMORY_BYTES = 128 << 20  # what the largest setting of xz takes, twice; a dictionary larger than that is somebody's attack
_GZIP, _ZLIB, _RAW = 31, 15, -15  # zlib's numbers: the largest window, and which wrapping
ZSTD_METHOD = 93  # APPNOTE 6.3.7, 4.4.5
_BZIP2_METHOD, _DEFLATE_METHOD = 12, 8
_SMALLEST_ZLIB_BYTES = 2
ZLIB_METHOD, _ZLIB_CHECK = 8, 31  # RFC 1950: of the first byte; what the first two are a multiple of
_AT_ONCE = ((math.inf, 1 << 20),)
_IN_STEPS = ((512, 1), (64 << 10, 64), (math.inf, 64 << 10))  # a flaw takes along what came out in the same step


class Unpacked(NamedTuple):
    """The bytes that came out; whether these are all that there are, and whether a flaw kept more from coming out."""

    data: bytes
    is_whole: bool
    is_broken: bool = False


class _Decompressor(Protocol):
    """What zlib, bz2 and lzma have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def method_of_stream(head: bytes) -> str | None:
    """How a file is compressed as a whole, by its first bytes: what joblib and pandas open unasked."""
    for method, signature in _SIGNATURES.items():
        if head.startswith(signature) and (method != "bzip2" or head[4:10] in _BZIP2_BLOCKS):
            return method
    if (
        len(head) >= _SMALLEST_ZLIB_BYTES
        and head[0] & 0xF == ZLIB_METHOD
        and int.from_bytes(head[:2], "big") % _ZLIB_CHECK == 0
    ):
        return "zlib"
    return None


def method_of_member(number: int) -> str | None:
    """How a member of a zip archive is compressed, if it is in a way that is undone here."""
    return {_DEFLATE_METHOD: "deflate", _BZIP2_METHOD: "bzip2", ZSTD_METHOD: "zstd"}.get(number)


def unpack(method: str, source: ByteSource, limit_bytes: int) -> Unpacked:
    """Up to `limit_bytes` of what the source holds, compressed like that.

    Of the bytes before a flaw the last may be lost with it: none of the first 512, less than 64 of the first 64 KiB.
    """
    if method == "zstd":
        return _unpack_zstd(source, limit_bytes)
    found = _unpack(method, source, limit_bytes, _AT_ONCE)
    return _unpack(method, source, limit_bytes, _IN_STEPS) if found.is_broken else found


def _unpack(method: str, source: ByteSource, limit_bytes: int, steps: Sequence[tuple[float, int]]) -> Unpacked:
    blocks = _blocks(source)
    parts: list[bytes] = []
    size_bytes = 0
    rest = next(blocks, b"")
    while rest:  # one compressed stream after another, as all but deflate may be continued
        decompressor, failures = _open(method)
        try:
            while size_bytes < limit_bytes:
                step = next(step for below, step in steps if size_bytes < below)
                part = decompressor.decompress(rest, min(step, limit_bytes - size_bytes))
                parts.append(part)
                size_bytes += len(part)
                rest = _left(decompressor)
                if decompressor.eof:
                    break
                if not (rest or part or (rest := next(blocks, b""))):
                    return Unpacked(b"".join(parts), is_whole=True)  # cut short: whoever loads it sees no more either
        except failures:
            return Unpacked(b"".join(parts), is_whole=False, is_broken=True)
        if size_bytes >= limit_bytes:
            return Unpacked(b"".join(parts), is_whole=False)
        rest = decompressor.unused_data or next(blocks, b"")
        if method == "deflate":
            break
    return Unpacked(b"".join(parts), is_whole=True)


def _left(decompressor: Any) -> bytes:
    """Input that was not looked at since the output was full; bz2 and lzma keep it to themselves."""
    return getattr(decompressor, "unconsumed_tail", b"")


def _blocks(source: ByteSource) -> Iterator[bytes]:
    for offset in range(0, source.size_bytes, _BLOCK_BYTES):
        yield source.read(offset, min(_BLOCK_BYTES, source.size_bytes - offset))


def _open(method: str) -> tuple[_Decompressor, tuple[type[Exception], ...]]:
    """Something to decompress one stream with, and what it raises."""
    if method == "bzip2":
        import bz2  # noqa: PLC0415 - few files need it

        return bz2.BZ2Decompressor(), (OSError, ValueError, EOFError)
    if method in {"xz", "lzma"}:
        import lzma  # noqa: PLC0415 - few files need it

        kind = lzma.FORMAT_XZ if method == "xz" else lzma.FORMAT_ALONE
        return lzma.LZMADecompressor(kind, memlimit=_MAX_MEMORY_BYTES), (lzma.LZMAError, EOFError)
    import zlib  # noqa: PLC0415 - few files need it

    return _zlib(zlib.decompressobj, method), (zlib.error,)


def _zlib(make: Callable[..., Any], method: str) -> _Decompressor:
    found: _Decompressor = make({"gzip": _GZIP, "zlib": _ZLIB, "deflate": _RAW}[method])
    return found


def _unpack_zstd(source: ByteSource, limit_bytes: int) -> Unpacked:
    import zstandard  # noqa: PLC0415 - few files need it

    class Reader(io.RawIOBase):
        position = 0

        def read(self, size: int = -1, /) -> bytes:
            data = source.read(self.position, max(0, min(size, source.size_bytes - self.position)))
            self.position += len(data)
            return data

    parts: list[bytes] = []
    size_bytes = 0
    decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_MEMORY_BYTES)
    try:
        with decompressor.stream_reader(Reader(), read_across_frames=True) as reader:  # type: ignore[arg-type]  # read is all it calls
            while size_bytes <= limit_bytes and (part := reader.read(limit_bytes + 1 - size_bytes)):
                parts.append(part)
                size_bytes += len(part)
    except zstandard.ZstdError:
        return Unpacked(b"".join(parts), is_whole=False, is_broken=True)
    data = b"".join(parts)
    return Unpacked(data[:limit_bytes], is_whole=len(data) <= limit_bytes)


_SIGNATURES = {
    "gzip": b"\x1f\x8b\x08",
    "bzip2": b"BZh",
    "xz": b"\xfd7zXZ\0",
    "lzma": b"\x5d\0\0",
    "zstd": b"\x28\xb5\x2f\xfd",
}
_BZIP2_BLOCKS = (bytes.fromhex("314159265359"), bytes.fromhex("177245385090"))  # pi, of a block; its root, of the end
