"""Codecs: a chunk's stored form and back. Pure: bytes in, bytes out.

A codec is chosen by size, chunk by chunk; ids never depend on it. Byte planes and deltas find their room here: one module
each, one line in `_IMPLEMENTATIONS`, one number in `model.placement.Codec`.
"""

from typing import Protocol

from cas_registry.codecs import raw, zstd
from cas_registry.errors import FormatError, IntegrityError
from cas_registry.model.placement import MAX_EXPANSION, Codec

WORTH_COMPRESSING = 0.97  # below 3 % gained, raw: it decodes at memory speed

Buffer = bytes | memoryview


class Implementation(Protocol):
    """One codec: two pure functions."""

    def encode(self, data: Buffer) -> bytes | memoryview:
        """The stored form of a chunk."""

    def decode(self, stored: Buffer, raw_bytes: int) -> bytes | memoryview:
        """The chunk again; never more than `raw_bytes` are allocated. Raises FormatError."""


_IMPLEMENTATIONS: dict[Codec, Implementation] = {Codec.RAW: raw, Codec.ZSTD: zstd}


def encode_chunk(data: Buffer) -> tuple[Codec, Buffer]:
    """The smallest stored form of a chunk, decoded again and compared before it is returned.

    Raises IntegrityError when a codec does not give back what it was given: memory or library at fault.
    """
    stored = zstd.encode(data)
    if len(stored) > len(data) * WORTH_COMPRESSING or len(data) > len(stored) * MAX_EXPANSION:
        return Codec.RAW, data
    if decode_chunk(Codec.ZSTD, stored, len(data)) != data:
        raise IntegrityError(
            "a compressed chunk does not decode to its source; nothing was stored. Check this machine's memory"
        )
    return Codec.ZSTD, stored


def decode_chunk(codec: Codec, stored: Buffer, raw_bytes: int) -> Buffer:
    """The raw bytes of a stored chunk, exactly `raw_bytes` long. Raises FormatError."""
    data = _IMPLEMENTATIONS[codec].decode(stored, raw_bytes)
    if len(data) != raw_bytes:
        raise FormatError(f"a chunk decodes to {len(data):,} bytes instead of {raw_bytes:,}")
    return data
