"""Canonical JSON, seals and scalars."""

import math
import struct
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.errors import FormatError, InvalidInputError, LimitError, UnsupportedFormatError
from cas_registry.model import canonical
from cas_registry.model.ids import EntryId, FileId, FormatId
from tests.support import strategies as make

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-canonical.MAX_INTEGER, canonical.MAX_INTEGER) | make.stored_texts(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(make.stored_texts(), inner, max_size=4),
    max_leaves=12,
)


@given(value=VALUES)
def test_what_is_encoded_is_decoded_equal(value: Any) -> None:
    decoded = canonical.decode(canonical.encode({"v": 1, "kind": "x", "value": value}), kind="x")
    assert decoded == {"v": 1, "kind": "x", "value": value}


@given(members=st.dictionaries(make.stored_texts(), VALUES, min_size=2))
def test_the_order_of_members_does_not_change_the_bytes(members: dict[str, Any]) -> None:
    assert canonical.encode(members) == canonical.encode(dict(reversed(members.items())))


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ({"b": 1, "a": [True, None, -5]}, b'{"a":[true,null,-5],"b":1}'),
        ('"\\/\b\t\n\f\r\x00\x1f\x7f', b'"\\"\\\\/\\b\\t\\n\\f\\r\\u0000\\u001f\x7f"'),
        ("é模🤗\u2028", '"é模🤗\u2028"'.encode()),
        ({"\uffff": 1, "\U0001f917": 2}, '{"\uffff":1,"\U0001f917":2}'.encode()),
        ({}, b"{}"),
    ],
)
def test_the_one_spelling_of_a_value(value: Any, data: bytes) -> None:
    assert canonical.encode(value) == data


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        "\ud800",
        {"\udfff": 1},
        b"bytes",
        {1, 2},
        object(),
        np.int64(1),
        {1: 1, "a": 2},
        {(1, 2): 3},
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInputError):
        canonical.encode({"value": value})


def test_a_value_too_deep_to_write_is_refused() -> None:
    value: Any = 0
    for _ in range(200_000):
        value = [value]
    with pytest.raises(InvalidInputError):
        canonical.encode(value)
    while isinstance(value, list):  # dropped all at once it would be freed by recursion
        value = value[0]


def test_more_than_a_reader_accepts_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canonical, "MAX_METADATA_BYTES", 100)
    data = canonical.encode({"v": 1, "kind": "x", "t": "a" * 75})
    assert len(data) == 100
    canonical.decode(data, kind="x")
    with pytest.raises(LimitError, match="limit"):
        canonical.encode({"v": 1, "kind": "x", "t": "a" * 76})
    with pytest.raises(FormatError, match="limit"):
        canonical.decode(data + b" ", kind="x")


def test_something_other_than_an_object_is_refused() -> None:
    for data in (b"[]", b"1", b'"x"', b"null", b"true", b"", b"{}", b'{"kind":"x"}', b'{"v":1}'):
        with pytest.raises(FormatError):
            canonical.decode(data, kind="x")


def test_only_a_higher_integer_is_a_newer_version() -> None:
    with pytest.raises(UnsupportedFormatError):
        canonical.decode(b'{"kind":"x","v":9223372036854775807}', kind="x")
    for version in (b"0", b"-2", b"true", b"false", b'"2"', b"[2]", b"null"):
        with pytest.raises(FormatError):
            canonical.decode(b'{"kind":"x","v":' + version + b"}", kind="x")


# Seals


@given(body=st.binary(max_size=200))
def test_a_sealed_body_opens_with_its_id(body: bytes) -> None:
    assert canonical.unseal(canonical.seal(body, EntryId), EntryId) == (EntryId.of(body), body)


def test_a_seal_of_another_kind_does_not_hold() -> None:
    for other in (FormatId, FileId):
        with pytest.raises(FormatError, match="seal"):
            canonical.unseal(canonical.seal(b"body", other), EntryId)


def test_a_seal_in_upper_case_or_with_another_separator_does_not_hold() -> None:
    sealed = canonical.seal(b"body", EntryId)
    assert sealed[:64] != sealed[:64].upper()
    for damaged in (sealed[:64].upper() + sealed[64:], sealed[:64] + b"\r" + sealed[65:], sealed[:64], b"", b"\n" * 65):
        with pytest.raises(FormatError, match="seal"):
            canonical.unseal(damaged, EntryId)


def test_only_what_can_be_read_again_passes_read_back() -> None:
    def refuse(_: bytes) -> None:
        raise FormatError("of some reason")

    assert canonical.read_back(b"data", bytes.decode, kind="note") == b"data"
    with pytest.raises(InvalidInputError, match="this note could not be read again: of some reason"):
        canonical.read_back(b"data", refuse, kind="note")


# Scalars


def _round_trip(values: dict[str, Any]) -> dict[str, Any]:
    data = canonical.encode({"v": 1, "kind": "x", "m": canonical.encode_scalars(values, what="metric")})
    return canonical.decode_scalars(canonical.decode(data, kind="x")["m"], what="metric")


@given(values=make.scalar_tables())
def test_scalars_come_back_equal_and_of_the_same_type(values: dict[str, Any]) -> None:
    decoded = _round_trip(values)
    assert decoded == values
    assert {name: type(value) for name, value in decoded.items()} == {name: type(value) for name, value in values.items()}


@pytest.mark.parametrize(
    "number",
    [0.0, -0.0, 5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 0.1, 1e16, 1e22, 1e-7, math.inf, -math.inf],
)
def test_floats_come_back_to_the_last_bit(number: float) -> None:
    assert struct.pack("<d", _round_trip({"m": number})["m"]) == struct.pack("<d", number)


def test_nan_comes_back_as_nan() -> None:
    decoded = _round_trip({"loss": math.nan, "negative": -math.nan})
    assert math.isnan(decoded["loss"])
    assert math.isnan(decoded["negative"])


def test_one_is_stored_apart_from_true_and_from_one_point_zero() -> None:
    decoded = _round_trip({"a": 1, "b": True, "c": 1.0, "d": "1"})
    assert [type(value) for value in decoded.values()] == [int, bool, float, str]


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float32(0.5), 0.5),
        (np.float64(0.1), 0.1),
        (np.float16(2), 2.0),
        (np.int64(-3), -3),
        (np.uint8(255), 255),
        (np.bool_(True), True),
        (np.str_("adam"), "adam"),
        (np.array(7), 7),
        (np.array([0.25]), 0.25),
        (np.float64("nan"), None),
    ],
    ids=repr,
)
def test_numpy_scalars_become_plain_ones(value: Any, plain: Any) -> None:
    decoded = _round_trip({"m": value})["m"]
    if plain is None:
        assert math.isnan(decoded)
    else:
        assert decoded == plain
        assert type(decoded) is type(plain)


@pytest.mark.parametrize(
    "value",
    [
        [1],
        {"a": 1},
        (1,),
        b"x",
        1j,
        object(),
        np.array([1, 2]),
        np.array([]),
        np.complex64(1),
        np.datetime64("2026-01-01"),
        np.longdouble(1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_that_are_no_scalars_are_refused_by_name(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="metric 'loss'"):
        canonical.encode_scalars({"loss": value}, what="metric")


@pytest.mark.parametrize("number", [2**63, -(2**63), 10**400, np.uint64(2**63)], ids=["above", "below", "huge", "numpy"])
def test_integers_beyond_64_bits_are_refused(number: Any) -> None:
    with pytest.raises(LimitError, match="64 bits"):
        canonical.encode_scalars({"n": number}, what="param")


@pytest.mark.parametrize("name", ["", "a" * 256, "é" * 128, 1, None, b"x"], ids=lambda name: repr(name)[:12])
def test_names_of_scalars_are_text_of_1_to_255_bytes(name: Any) -> None:
    with pytest.raises(InvalidInputError, match="param name"):
        canonical.encode_scalars({name: 1}, what="param")
    if isinstance(name, str):
        with pytest.raises(FormatError, match="name"):
            canonical.decode_scalars({name: 1}, what="param")


def test_the_longest_name_of_a_scalar_round_trips() -> None:
    assert _round_trip({"é" * 127 + "x": 1}) == {"é" * 127 + "x": 1}


def test_a_name_with_a_lone_surrogate_is_refused_before_it_is_stored() -> None:
    with pytest.raises(InvalidInputError):
        canonical.encode(canonical.encode_scalars({"\ud800": 1}, what="param"))


@pytest.mark.parametrize(
    "value",
    [
        {"float": text}
        for text in (
            "1",
            "1.00",
            "01.0",
            "1_0.0",
            " 1.0",
            "1.0 ",
            "NaN",
            "-nan",
            "Infinity",
            "+inf",
            "1e5",
            "0x1p3",
            "1e400",
            "",
        )
    ]
    + [{}, {"float": 1}, {"float": None}, {"float": "1.0", "x": 1}, {"int": "1"}, [1], [], {"float": "1" * 10_000}],
    ids=lambda value: repr(value)[:24],
)
def test_other_spellings_of_floats_and_other_values_are_refused(value: Any) -> None:
    with pytest.raises(FormatError):
        canonical.decode_scalars({"m": value}, what="metric")


# Fields


def test_booleans_are_no_integers_and_bounds_are_included() -> None:
    for wrong in (True, False, "1", None, [], 1.0, -1, 11):
        with pytest.raises(FormatError, match="count"):
            canonical.integer(wrong, what="count", maximum=10)
    assert [canonical.integer(right, what="count", maximum=10) for right in (0, 10)] == [0, 10]
    assert canonical.integer(2**63 - 1, what="count") == 2**63 - 1
    with pytest.raises(FormatError):
        canonical.integer(2**63, what="count")


def test_text_is_measured_in_bytes() -> None:
    assert canonical.text("éé", what="t", max_bytes=4) == "éé"
    for wrong in ("ééx", 1, None, ["a"], b"a"):
        with pytest.raises(FormatError):
            canonical.text(wrong, what="t", max_bytes=4)


def test_arrays_and_objects_are_not_taken_for_each_other_nor_for_text() -> None:
    assert canonical.array([1, 2], what="a", max_items=2) == [1, 2]
    assert canonical.mapping({"a": 1}, what="m") == {"a": 1}
    for wrong in ("ab", {"a": 1}, None, 1, [1, 2, 3]):
        with pytest.raises(FormatError):
            canonical.array(wrong, what="a", max_items=2)
    for wrong in ("ab", [["a", 1]], None, 1):
        with pytest.raises(FormatError):
            canonical.mapping(wrong, what="m")


def test_fields_come_in_the_order_asked_for_and_odd_ones_are_named() -> None:
    assert canonical.fields({"v": 1, "kind": "x", "b": 2, "a": 3}, "a", "b", what="x") == [3, 2]
    with pytest.raises(FormatError, match="'c', 'surplus'"):
        canonical.fields({"v": 1, "kind": "x", "surplus": 2}, "c", what="x")


def test_more_values_than_any_object_needs_are_refused_before_they_take_memory() -> None:
    body = b'{"entries":[' + b"[]," * (20 * 2**20) + b'[]],"kind":"x","v":1}'
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="values"):
            canonical.decode(body, kind="x")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_separators_inside_strings_are_no_values() -> None:
    text = ',:[{"\\' * 1_200_000
    value = canonical.decode(canonical.encode({"v": 1, "kind": "x", "text": text}), kind="x")
    assert value["text"] == text
