"""Codecs: a chunk's stored form and back. Pure: bytes in, bytes out.

A codec is chosen by size, chunk by chunk; ids never depend on it. One module each, one number in `model.placement.Codec`.
Byte planes and deltas need numpy, which is loaded when the first such chunk is met.
"""

from dataclasses import dataclass

from cas_registry.codecs import zstd
from cas_registry.errors import FormatError, IntegrityError
from cas_registry.model.placement import MAX_EXPANSION, Codec
from cas_registry.model.registry_format import MAX_CHUNK_BYTES
from cas_registry.model.tensors import ElementType, predicts

WORTH_COMPRESSING = 0.97  # below 3 % gained, raw: it decodes at memory speed
CLEARLY_SMALLER = 0.75  # a delta of this share of its base's stored form is taken without trying anything else
SAMPLED_BYTES = 128 * 1024  # from here on a sample tells which form to try
SAMPLE_SHARE = 16  # one part in so many, ...
SAMPLE_STRETCHES = 8  # ... of which each is this part of the sample
UNSURE = 1.01  # forecasts closer than this are no reason to leave a form untried

Buffer = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Base:
    """A chunk that another is stored as a delta to.

    For encoding, `stored_bytes` is what it takes itself, and `pays_bytes` the largest delta worth having.
    """

    data: Buffer
    element: ElementType
    stored_bytes: int = 0
    pays_bytes: int = MAX_CHUNK_BYTES


def encode_chunk(
    data: Buffer,
    element: ElementType = ElementType.NONE,
    base: Base | None = None,
    *,
    level: int = zstd.LEVEL,
    exhaustive: bool = False,
) -> tuple[Codec, Buffer]:
    """The smallest stored form of a chunk, decoded again and compared before it is returned.

    `level` is zstd's, for bytes of no tensor. A form that a sample of the chunk shows to be larger is not made, unless `exhaustive`.
    Raises IntegrityError when a codec does not give back what it was given: memory or library at fault.
    """
    codec, stored = _smallest(data, element, base, level=level, exhaustive=exhaustive)
    if codec is not Codec.RAW and not _same(decode_chunk(codec, stored, len(data), element, base), data):
        raise IntegrityError(
            "a compressed chunk does not decode to its source; nothing was stored. Check this machine's memory"
        )
    return codec, stored


def decode_chunk(
    codec: Codec, stored: Buffer, raw_bytes: int, element: ElementType = ElementType.NONE, base: Base | None = None
) -> Buffer:
    """The raw bytes of a stored chunk, exactly `raw_bytes` long; never more than that is allocated. Raises FormatError."""
    data: Buffer
    match codec:
        case Codec.RAW:
            data = stored
        case Codec.ZSTD:
            data = zstd.decode(stored, raw_bytes)
        case Codec.PLANES:
            from cas_registry.codecs import planes

            data = planes.decode(stored, raw_bytes, element.width)
        case Codec.DELTA:
            from cas_registry.codecs import delta

            if base is None:
                raise FormatError("a delta without its base")
            data = delta.decode(stored, raw_bytes, element, base.data, base.element)
    if len(data) != raw_bytes:
        raise FormatError(f"a chunk decodes to {len(data):,} bytes instead of {raw_bytes:,}")
    return data


def encode_delta(data: Buffer, element: ElementType, base: Base) -> bytes | None:
    """A chunk as a delta, not yet verified; None where the base's elements say nothing of the chunk's."""
    if not predicts(base.element, element):
        return None
    from cas_registry.codecs import delta

    return delta.encode(data, element, base.data, base.element)


def _smallest(
    data: Buffer, element: ElementType, base: Base | None, *, level: int, exhaustive: bool
) -> tuple[Codec, Buffer]:  # fmt: skip
    if base is None or not predicts(base.element, element):
        return encode_whole(data, element, level=level)
    forecast = None if exhaustive else _forecast(data, element, base)
    if forecast and (forecast.delta_bytes > forecast.whole_bytes * UNSURE or forecast.delta_bytes > base.pays_bytes * UNSURE):
        return encode_whole(data, element, level=level)
    difference = encode_delta(data, element, base)
    if difference is None or len(difference) > base.pays_bytes:
        return encode_whole(data, element, level=level)
    is_clear = forecast is not None and len(difference) * UNSURE < forecast.whole_bytes
    if is_clear or len(difference) <= base.stored_bytes * CLEARLY_SMALLER:
        return Codec.DELTA, difference
    whole = encode_whole(data, element, level=level)
    return (Codec.DELTA, difference) if len(difference) < len(whole[1]) else whole


@dataclass(frozen=True, slots=True)
class _Forecast:
    """About what a chunk takes as a delta, and as byte planes."""

    delta_bytes: int
    whole_bytes: int


def _forecast(data: Buffer, element: ElementType, base: Base) -> _Forecast | None:
    """From a few stretches of the chunk, a sixteenth of it; None for a small one, or a base that does not reach as far."""
    width, base_width = element.width, base.element.width
    count = len(data) // width
    if len(data) < SAMPLED_BYTES or len(base.data) // base_width < count:
        return None
    from cas_registry.codecs import delta, planes

    length = count // (SAMPLE_STRETCHES * SAMPLE_SHARE)
    starts = range(0, count, count // SAMPLE_STRETCHES)[:SAMPLE_STRETCHES]
    sample = b"".join(memoryview(data)[start * width : (start + length) * width] for start in starts)
    under = b"".join(memoryview(base.data)[start * base_width : (start + length) * base_width] for start in starts)
    share = len(data) / len(sample)
    return _Forecast(
        int(len(delta.encode(sample, element, under, base.element)) * share), int(len(planes.encode(sample, width)) * share)
    )


def encode_whole(data: Buffer, element: ElementType, *, level: int = zstd.LEVEL) -> tuple[Codec, Buffer]:
    """The smallest form of a chunk by itself, not yet verified."""
    if element is ElementType.NONE:
        frame = zstd.encode(data, level)
        if len(frame) * MAX_EXPANSION >= len(data):
            return (Codec.ZSTD, frame) if len(frame) <= len(data) * WORTH_COMPRESSING else (Codec.RAW, data)
    from cas_registry.codecs import planes

    stored = planes.encode(data, element.width)
    return (Codec.PLANES, stored) if len(stored) <= len(data) * WORTH_COMPRESSING else (Codec.RAW, data)


def _same(left: Buffer, right: Buffer) -> bool:
    """Equal bytes, at the speed of memory (a memoryview compares item by item)."""
    if isinstance(left, bytes) and isinstance(right, bytes):
        return left == right
    import numpy as np

    return np.array_equal(np.frombuffer(left, dtype=np.uint8), np.frombuffer(right, dtype=np.uint8))
