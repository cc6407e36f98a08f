"""Messages as rows of fields: exactly as long as they say, and no longer."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.formats.protobuf import Messages, Wire
from cas_registry.formats.source import MalformedError, Window
from tests.formats.files import Source
from tests.formats.test_onnx import number, part, varint

NUMBERS = st.integers(1, 2**29 - 1)
FIELDS = st.lists(
    st.one_of(
        st.tuples(NUMBERS, st.just(Wire.VARINT), st.integers(0, 2**64 - 1)),
        st.tuples(NUMBERS, st.just(Wire.BYTES), st.binary(max_size=300)),
        st.tuples(NUMBERS, st.sampled_from([Wire.FIXED32, Wire.FIXED64]), st.integers(0, 2**32 - 1)),
    ),
    max_size=20,
)


def written(field: int, wire: Wire, value: int | bytes) -> bytes:
    match wire, value:
        case Wire.VARINT, int():
            return number(field, value)
        case Wire.BYTES, bytes():
            return part(field, value)
        case _:
            return varint(field << 3 | wire) + struct.pack("<I" if wire is Wire.FIXED32 else "<Q", value)


@given(fields=FIELDS)
def test_a_message_is_the_row_of_its_fields(fields: list[tuple[int, Wire, int | bytes]]) -> None:
    data = b"".join(written(*field) for field in fields)
    messages = Messages(Window(Source(b"?" + data + b"?")), max_fields=20)
    found = list(messages.fields(1, len(data)))
    assert [(field.number, field.wire) for field in found] == [field[:2] for field in fields]
    for field, (_, wire, value) in zip(found, fields, strict=True):
        if wire is Wire.VARINT:
            assert field.value == value
        elif wire is Wire.BYTES:
            assert messages.content(field, 300) == value


def test_fields_are_counted_over_all_messages() -> None:
    messages = Messages(Window(Source(number(1, 1) * 6)), max_fields=5)
    list(messages.fields(0, 6))
    with pytest.raises(MalformedError):
        list(messages.fields(6, 6))


def test_texts_and_rows_of_numbers_have_limits() -> None:
    messages = Messages(Window(Source(part(1, b"\x01\x02\x03"))), max_fields=5)
    (field,) = messages.fields(0, 5)
    assert messages.content(field, 3) == b"\x01\x02\x03"
    assert messages.varints(field, 3) == [1, 2, 3]
    with pytest.raises(MalformedError):
        messages.content(field, 2)
    with pytest.raises(MalformedError):
        messages.varints(field, 2)
