"""Delta: what a chunk differs by from the same elements of a base.

The base's elements predict the chunk's: they are the same where both have one type, or rounded (widened) from one float type to the
other. Stored are the byte planes of the zig-zag coded differences of the bit patterns, modulo 2^bits: exact for every pattern, NaN
payloads and negative zero included. Elements beyond the end of the base are predicted as zero.
"""

import numpy as np
import numpy.typing as npt

from cas_registry.codecs import planes
from cas_registry.codecs.planes import WORDS, Buffer, Words
from cas_registry.errors import FormatError
from cas_registry.model.tensors import ElementType, predicts

_SIGNED: dict[int, type[np.signedinteger]] = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}
_NAN16 = np.uint16(0x7E00)
_NAN32 = np.uint32(0x7FC00000)


def encode(data: Buffer, element: ElementType, base: Buffer, base_element: ElementType) -> bytes:
    """The stored form of `data` as a delta to `base`; `predicts` holds for their types."""
    width = element.width
    values = planes.words(data, width)
    difference = values - _prediction(base, base_element, element, values.size)
    signed = difference.view(_SIGNED[width])
    signs = signed >> _SIGNED[width](width * 8 - 1)
    difference <<= WORDS[width](1)
    difference ^= signs.view(WORDS[width])
    return planes.encode_words(difference, bytes(data[values.nbytes :]))


def decode(stored: Buffer, raw_bytes: int, element: ElementType, base: Buffer, base_element: ElementType) -> memoryview:
    """The chunk again. Raises FormatError."""
    if not predicts(base_element, element):
        raise FormatError(f"a delta of {element.name} to {base_element.name}")
    width = element.width
    folded, tail = planes.decode_words(stored, raw_bytes, width)
    one = WORDS[width](1)
    signs = folded & one
    np.negative(signs.view(_SIGNED[width]), out=signs.view(_SIGNED[width]))
    folded >>= one
    folded ^= signs
    folded += _prediction(base, base_element, element, folded.size)
    data = folded.view(np.uint8).data
    return memoryview(b"".join((data, tail))) if tail else data


def _prediction(base: Buffer, base_element: ElementType, element: ElementType, count: int) -> Words:
    """`count` elements as the base has them."""
    values = planes.words(base, base_element.width)[:count]
    if base_element != element:
        values = _as_float32(values, base_element)
        values = _from_float32(values, element)
    if values.size == count:
        return values
    padded = np.zeros(count, dtype=WORDS[element.width])
    padded[: values.size] = values
    return padded


def _as_float32(values: Words, element: ElementType) -> npt.NDArray[np.uint32]:
    """The bit patterns widened to 32 bits: exact, but that every NaN of F16 becomes one."""
    if element is ElementType.F32:
        return values.view(np.uint32)
    if element is ElementType.BF16:
        return values.astype(np.uint32) << np.uint32(16)
    with np.errstate(invalid="ignore"):
        wide = values.view(np.float16).astype(np.float32)
    return _without_payload(wide, wide.view(np.uint32), _NAN32)


def _from_float32(values: npt.NDArray[np.uint32], element: ElementType) -> Words:
    """The bit patterns rounded to nearest, ties to even."""
    if element is ElementType.F32:
        return values
    if element is ElementType.BF16:
        odd = (values >> np.uint32(16)) & np.uint32(1)
        odd += np.uint32(0x7FFF)
        odd += values  # wraps for some NaN: a prediction, no more
        odd >>= np.uint32(16)
        return odd.astype(np.uint16)
    floats = values.view(np.float32)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        half = floats.astype(np.float16)
    return _without_payload(half, half.view(np.uint16), _NAN16)


def _without_payload(floats: npt.NDArray[np.floating], bits: Words, nan: np.unsignedinteger) -> Words:
    """One positive NaN for all: processors differ in what they make of the others."""
    unordered = np.isnan(floats)
    if unordered.any():
        bits = bits.copy()
        bits[unordered] = nan
    return bits
