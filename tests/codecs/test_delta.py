"""Deltas: bit-exact over any base for every pair of types that predict each other, and nothing is left of an exact export."""

import contextlib
import struct

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.codecs import planes
from cas_registry.codecs.delta import decode, encode
from cas_registry.errors import FormatError
from cas_registry.model.tensors import ElementType, predicts

PAIRS = [(base, element) for base in ElementType for element in ElementType if predicts(base, element)]
FLOATS = {
    ElementType.F16: np.dtype(np.float16),
    ElementType.BF16: np.dtype(ml_dtypes.bfloat16),
    ElementType.F32: np.dtype(np.float32),
}
MIXED = [(base, element) for base in FLOATS for element in FLOATS if base is not element]
ALL16 = np.arange(65_536, dtype=np.uint16)
# Zeros, smallest and largest denormals and normals, infinities, quiet and signalling NaN with payloads; both signs.
PATTERNS = [pattern | sign for pattern in (
    0, 1, 0x7FFFFF, 0x800000, 0x33000000, 0x33000001, 0x477FF000, 0x477FEFFF, 0x3F800000, 0x7F7FFFFF,
    0x7F800000, 0x7F800001, 0x7FC00000, 0x7FFFFFFF,
) for sign in (0, 0x80000000)]  # fmt: skip


def elements() -> st.SearchStrategy[bytes]:
    """Bit patterns of any kind, of floats' corners among them, and lengths that are no whole number of elements."""
    word = st.sampled_from(PATTERNS) | st.integers(0, 2**32 - 1)
    half = st.sampled_from([0, 1, 0x3FF, 0x400, 0x7BFF, 0x7C00, 0x7C01, 0x7E00, 0x7FFF, 0x8000, 0xFC00, 0xFE01])
    return st.one_of(
        st.binary(max_size=200),
        st.lists(word, max_size=40).map(lambda words: struct.pack(f"<{len(words)}I", *words)),
        st.builds(lambda halves, tail: struct.pack(f"<{len(halves)}H", *halves) + tail, st.lists(half, max_size=60), st.binary(max_size=7)),
    )  # fmt: skip


def differences(values: np.ndarray, element: ElementType, base: np.ndarray, base_element: ElementType) -> np.ndarray:
    """What is stored of `values` over a base, one number an element."""
    data = values.tobytes()
    stored = encode(data, element, base.tobytes(), base_element)
    assert decode(stored, len(data), element, base.tobytes(), base_element) == data
    return planes.decode_words(stored, len(data), element.width)[0]


def finite(element: ElementType) -> np.ndarray:
    """All numbers of a 16-bit type."""
    exponent = np.uint16(0x7C00 if element is ElementType.F16 else 0x7F80)
    return ALL16[(ALL16 & exponent) != exponent].view(FLOATS[element])


def halfway(high: np.ndarray, low: tuple[int, ...]) -> np.ndarray:
    """Floats at, just below and just above what lies between two neighbours."""
    return np.concatenate([(high.astype(np.uint32) << 16) | np.uint32(part) for part in low]).view(np.float32)


@pytest.mark.parametrize(("base_element", "element"), PAIRS, ids=lambda element: element.name)
@given(data=elements(), base=elements())
def test_any_bits_come_back_over_any_base(base_element: ElementType, element: ElementType, data: bytes, base: bytes) -> None:
    stored = encode(data, element, base, base_element)
    assert decode(stored, len(data), element, base, base_element) == data
    view = memoryview(b"-" + data + b"-")[1:-1]
    under = memoryview(b"-" + base + b"-")[1:-1]
    assert encode(view, element, under, base_element) == stored
    assert decode(memoryview(b"-" + stored)[1:], len(data), element, under, base_element) == data


@pytest.mark.parametrize("element", ElementType)
@given(data=elements())
def test_what_is_equal_to_its_base_is_stored_as_zeros(element: ElementType, data: bytes) -> None:
    tail = data[len(data) // element.width * element.width :]
    assert encode(data, element, data, element) == bytes(4 * element.width) + tail


@pytest.mark.parametrize("element", [ElementType.I8, ElementType.F8_E4M3, ElementType.I16, ElementType.F32, ElementType.I64])
def test_small_steps_either_way_are_small_numbers(element: ElementType) -> None:
    """Zig-zag: 0, -1, 1, -2, 2 … become 0, 1, 2, 3, 4 …, across the border from the largest pattern to zero as well."""
    word = planes.WORDS[element.width]
    base = np.array([0, 0, 0, 5, 5, 0], dtype=word)
    steps = np.array([0, -1, 1, -2, 2, -128], dtype=np.int64)
    values = (base.astype(np.int64) + steps).astype(word)
    assert differences(values, element, base, element).tolist() == [0, 1, 2, 3, 4, 255]


@pytest.mark.parametrize("element", [ElementType.U8, ElementType.BF16, ElementType.F32, ElementType.F64])
def test_what_lies_beyond_the_base_is_predicted_as_zero(element: ElementType) -> None:
    values = np.arange(1, 101, dtype=planes.WORDS[element.width])
    base = values[:60].tobytes() + b"\x01" * (element.width - 1)
    stored = encode(values.tobytes(), element, base, element)
    found = planes.decode_words(stored, values.nbytes, element.width)[0]
    assert found.tolist() == [0] * 60 + [2 * value for value in range(61, 101)]
    assert decode(stored, values.nbytes, element, base, element) == values.tobytes()
    assert not differences(values[:60], element, values, element).any()


@pytest.mark.parametrize("element", [ElementType.F16, ElementType.BF16])
def test_every_16_bit_float_is_widened_as_numpy_does(element: ElementType) -> None:
    halves = finite(element)
    wide = halves.astype(np.float32)
    assert halves.size in {2 * 31 * 1024, 2 * 255 * 128}
    assert not differences(wide, ElementType.F32, halves, element).any()
    assert not differences(halves, element, wide, ElementType.F32).any()


@pytest.mark.parametrize("element", [ElementType.F16, ElementType.BF16])
def test_floats_are_rounded_as_numpy_rounds_them(element: ElementType) -> None:
    """To every 16-bit pattern from itself, from both sides of the halfway points, and from the halfway points (ties to even)."""
    around = halfway(ALL16, (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF))
    halves = np.repeat(ALL16.view(np.float16).astype(np.float32).view(np.uint32), 3).reshape(-1, 3)
    halves += np.array([0x0FFF, 0x1000, 0x1001], dtype=np.uint32)
    floats = np.concatenate([around, halves.reshape(-1).view(np.float32)])
    floats = floats[np.isfinite(floats)]
    with np.errstate(over="ignore", under="ignore"):
        rounded = floats.astype(FLOATS[element])
    assert not differences(rounded, element, floats, ElementType.F32).any()


@pytest.mark.parametrize(
    ("base_element", "element"), [(ElementType.F16, ElementType.BF16), (ElementType.BF16, ElementType.F16)]
)
def test_16_bit_floats_predict_one_another_by_way_of_32(base_element: ElementType, element: ElementType) -> None:
    base = finite(base_element)
    with np.errstate(over="ignore", under="ignore"):
        values = base.astype(np.float32).astype(FLOATS[element])
    assert not differences(values, element, base, base_element).any()


@pytest.mark.parametrize("element", [ElementType.F16, ElementType.BF16])
def test_an_export_of_weights_takes_next_to_nothing(element: ElementType) -> None:
    weights = (np.random.default_rng(1).standard_normal(100_000) * 0.05).astype(np.float32)
    data = weights.astype(FLOATS[element]).tobytes()
    assert len(encode(data, element, weights.tobytes(), ElementType.F32)) == len(data) // 1_000


def test_a_delta_to_a_type_that_predicts_nothing_is_refused() -> None:
    refused = 0
    for element in ElementType:
        stored = encode(bytes(64), element, bytes(64), element)
        for base_element in ElementType:
            if (base_element, element) not in PAIRS:
                refused += 1
                with pytest.raises(FormatError, match="a delta of"):
                    decode(stored, 64, element, bytes(64), base_element)
    assert refused == len(ElementType) ** 2 - len(ElementType) - len(MIXED)


@given(
    pair=st.sampled_from(PAIRS), stored=st.binary(max_size=300), raw_bytes=st.integers(1, 3_000), base=elements(), made=st.booleans(),
    flip=st.tuples(st.integers(0), st.integers(1, 255)),
)  # fmt: skip
def test_garbage_is_refused_or_decodes_to_the_announced_length(
    pair: tuple[ElementType, ElementType], stored: bytes, raw_bytes: int, base: bytes, made: bool, flip: tuple[int, int]
) -> None:
    base_element, element = pair
    if made:
        damaged = bytearray(encode(stored.ljust(raw_bytes, b"\x3d")[:raw_bytes], element, base, base_element))
        damaged[flip[0] % len(damaged)] ^= flip[1]
        stored = bytes(damaged)
    with contextlib.suppress(FormatError):
        assert len(decode(stored, raw_bytes, element, base, base_element)) == raw_bytes


@given(pair=st.sampled_from(PAIRS), data=elements(), base=elements(), other=elements())
def test_over_another_base_wrong_bytes_of_the_right_length_come_out(
    pair: tuple[ElementType, ElementType], data: bytes, base: bytes, other: bytes
) -> None:
    """Chunk ids tell; here it only must not fail otherwise."""
    base_element, element = pair
    stored = encode(data, element, base, base_element)
    assert len(decode(stored, len(data), element, other, base_element)) == len(data)
