"""Reading forward: numbers as they were written, whatever lies between, and never beyond the end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.formats.cursor import Cursor
from cas_registry.formats.source import MalformedError, Window
from tests.formats.files import Source
from tests.formats.test_onnx import varint

PARTS = st.lists(
    st.one_of(
        st.tuples(st.just("varint"), st.integers(0, 2**64 - 1)),
        st.tuples(st.just("u32"), st.integers(0, 2**32 - 1)),
        st.tuples(st.just("u64"), st.integers(0, 2**64 - 1)),
        st.tuples(st.just("take"), st.integers(0, 5000)),
        st.tuples(st.just("skip"), st.integers(0, 5000)),
    ),
    max_size=30,
)


def written(kind: str, value: int) -> bytes:
    match kind:
        case "varint":
            return varint(value)
        case "u32":
            return value.to_bytes(4, "little")
        case "u64":
            return value.to_bytes(8, "little")
        case _:
            return bytes(number % 251 for number in range(value))


@given(parts=PARTS)
def test_what_was_written_is_read(parts: list[tuple[str, int]]) -> None:
    data = b"".join(written(*part) for part in parts)
    cursor = Cursor(Window(Source(b"?" + data + b"\1")), 1, 1 + len(data))
    for kind, value in parts:
        match kind:
            case "take":
                assert cursor.take(value) == written(kind, value)
            case "skip":
                cursor.skip(value)
            case _:
                assert getattr(cursor, kind)() == value
    assert cursor.position == cursor.end
    for read in (
        cursor.varint,
        cursor.u32,
        cursor.u64,
        lambda: cursor.take(1),
        lambda: cursor.skip(1),
        lambda: cursor.skip(-1),
    ):
        with pytest.raises(MalformedError):
            read()


def test_parts_beyond_the_window_are_malformed() -> None:
    window = Window(Source(bytes(10)))
    for start, end in ((0, 11), (-1, 5), (6, 5), (11, 11)):
        with pytest.raises(MalformedError):
            Cursor(window, start, end)


def test_a_number_of_more_than_ten_bytes_is_malformed() -> None:
    with pytest.raises(MalformedError):
        Cursor(Window(Source(b"\xff" * 20)), 0, 20).varint()
