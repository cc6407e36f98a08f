"""Zstandard (RFC 8878) at level 1, unless told otherwise: on weights, higher levels gain 0.2 % and halve the speed.

Compressors are not thread-safe, so each thread keeps its own.
"""

import threading

import zstandard

from cas_registry.errors import FormatError

LEVEL = 1
MAX_WINDOW_BYTES = 16 * 1024 * 1024  # no frame of ours needs more than a chunk

_local = threading.local()


def encode(data: bytes | memoryview, level: int = LEVEL) -> bytes:
    """One zstd frame with its content size, without a checksum (BLAKE3 checks the chunk)."""
    compressors: dict[int, zstandard.ZstdCompressor] | None = getattr(_local, "compressors", None)
    if compressors is None:
        compressors = _local.compressors = {}
    if level not in compressors:
        compressors[level] = zstandard.ZstdCompressor(level=level, write_content_size=True)
    return compressors[level].compress(data)


def decode(stored: bytes | memoryview, raw_bytes: int) -> bytes:
    """The content of one frame that announces exactly `raw_bytes`. Raises FormatError."""
    decompressor: zstandard.ZstdDecompressor | None = getattr(_local, "decompressor", None)
    if decompressor is None:
        decompressor = _local.decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    try:
        announced = zstandard.frame_content_size(stored)
        if announced != raw_bytes:
            raise FormatError(f"a zstd frame announces {announced:,} bytes instead of {raw_bytes:,}")
        return decompressor.decompress(stored, max_output_size=raw_bytes, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise FormatError(f"a damaged zstd frame: {error}") from error
