"""Byte planes: the k-th bytes of all elements together, each plane compressed by itself.

A float's exponent varies little, its mantissa is noise: apart, the one compresses and the other costs nothing to leave alone.

    lengths   width x u32   stored length of each plane, least significant byte first: 0 for a plane of zeros, the
                            number of elements for a plane stored as it is, else a zstd frame's length
    planes                  one after another
    tail                    the bytes after the last whole element
    padding                 zeros, so that raw bytes are at most 1000 times the stored ones

The zstd parameters leave match finding to long repeats and the rest to entropy coding: on planes of weights that is smaller than
any preset level, and twice as fast as level 1 (docs/design/005-tensors.md).
"""

import struct
import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import zstandard

from cas_registry.codecs import zstd
from cas_registry.errors import FormatError
from cas_registry.model.placement import MAX_EXPANSION

Buffer = bytes | memoryview
Words = npt.NDArray[np.unsignedinteger]
Plane = npt.NDArray[np.uint8] | None  # None: zeros

_WORTH_COMPRESSING = 63 / 64  # below that a plane is stored as it is, which decodes at memory speed
WORDS: dict[int, type[np.unsignedinteger]] = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
_local = threading.local()


def words(data: Buffer, width: int) -> Words:
    """The whole elements of `data` as unsigned integers, without a copy."""
    return np.frombuffer(data, dtype=WORDS[width], count=len(data) // width)


def encode(data: Buffer, width: int) -> bytes:
    """The stored form of a chunk of elements of `width` bytes."""
    return encode_words(words(data, width), bytes(data[len(data) // width * width :]))


def decode(stored: Buffer, raw_bytes: int, width: int) -> memoryview:
    """The chunk again. Raises FormatError."""
    values, tail = decode_words(stored, raw_bytes, width)
    data = values.view(np.uint8).data
    return memoryview(b"".join((data, tail))) if tail else data


def encode_words(values: Words, tail: bytes) -> bytes:
    """Planes of the values, then the tail."""
    parts = [_encode_plane(plane) for plane in _split(values)]
    lengths = struct.pack(f"<{len(parts)}I", *map(len, parts))
    parts = [lengths, *parts, tail]
    padding = _padded(values.nbytes + len(tail), sum(map(len, parts)))
    return b"".join((*parts, bytes(padding)))


def decode_words(stored: Buffer, raw_bytes: int, width: int) -> tuple[Words, bytes]:
    """The values (writable) and the tail. Raises FormatError."""
    count, tail_bytes = divmod(raw_bytes, width)
    position = width * 4
    if len(stored) < position:
        raise FormatError("byte planes that are cut short")
    view = memoryview(stored)
    planes: list[Plane] = []
    for length in struct.unpack_from(f"<{width}I", view):
        planes.append(_decode_plane(view[position : position + length], length, count))
        position += length
    tail = bytes(view[position : position + tail_bytes])
    position += tail_bytes
    if position + _padded(raw_bytes, position) != len(stored):
        raise FormatError("byte planes whose lengths do not add up")
    return _join(planes, count), tail


def _padded(raw_bytes: int, stored_bytes: int) -> int:
    return max(0, -(-raw_bytes // MAX_EXPANSION) - stored_bytes)


def _split(values: Words) -> list[npt.NDArray[np.uint8]]:
    width = values.itemsize
    if width == 1:
        return [values.view(np.uint8)]
    return [(values >> values.dtype.type(8 * number)).astype(np.uint8) for number in range(width)]


def _encode_plane(plane: npt.NDArray[np.uint8]) -> bytes:
    if not plane.size:
        return b""
    stored = _compressor().compress(plane.data)
    if len(stored) <= _SMALL_FRAME and not plane.any():
        return b""
    return stored if len(stored) < plane.size * _WORTH_COMPRESSING else plane.tobytes()


def _decode_plane(stored: memoryview, length: int, count: int) -> Plane:
    if len(stored) != length or length > count:
        raise FormatError("byte planes that are cut short")
    if not length:
        return None
    return np.frombuffer(stored if length == count else zstd.decode(stored, count), dtype=np.uint8)


def _join(planes: Sequence[Plane], count: int) -> Words:
    """Neighbouring planes to 16-bit words, those to 32-bit words, and so on."""
    parts: list[Words | None] = list(planes)
    width = 1
    while len(parts) > 1:
        width *= 2
        parts = [_pair(low, high, width) for low, high in zip(parts[::2], parts[1::2], strict=True)]
    (joined,) = parts
    if joined is None:
        return np.zeros(count, dtype=WORDS[width])
    return joined if joined.flags.writeable else joined.copy()


def _pair(low: Words | None, high: Words | None, width: int) -> Words | None:
    if high is None:
        return None if low is None else low.astype(WORDS[width])
    values = high.astype(WORDS[width])
    values <<= values.dtype.type(width * 4)
    if low is not None:
        values |= low
    return values


_SMALL_FRAME = 64  # a zero plane of 16 MiB takes less


def _compressor() -> zstandard.ZstdCompressor:
    compressor: zstandard.ZstdCompressor | None = getattr(_local, "compressor", None)
    if compressor is None:
        parameters = zstandard.ZstdCompressionParameters.from_level(
            1, strategy=zstandard.STRATEGY_FAST, min_match=7, hash_log=8, target_length=0
        )
        compressor = _local.compressor = zstandard.ZstdCompressor(compression_params=parameters)
    return compressor
