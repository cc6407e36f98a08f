"""The wire format of Protocol Buffers (https://protobuf.dev/programming-guides/encoding/): a message as a row of fields.

Contents are where they lie, not what they are: nothing but tags, lengths and numbers is read.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from cas_registry.formats.cursor import Cursor
from cas_registry.formats.source import MAX_HEADER_BYTES, MalformedError, Window


class Wire(IntEnum):
    """How a field's content is written. Groups, which are deprecated, are malformed."""

    VARINT = 0
    FIXED64 = 1
    BYTES = 2
    FIXED32 = 5


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a message: its content lies at [start, start + size_bytes); that of a VARINT is `value`."""

    number: int
    wire: Wire
    start: int
    size_bytes: int
    value: int


class Messages:
    """The messages of one window, which have `max_fields` fields together at most, and contents of `MAX_HEADER_BYTES` that are read."""

    def __init__(self, window: Window, max_fields: int) -> None:
        self._window = window
        self._left = max_fields
        self._bytes_left = MAX_HEADER_BYTES

    def fields(self, start: int, size_bytes: int) -> Iterator[Field]:
        """The fields of the message that lies there; malformed, sooner or later, where they do not fill it exactly."""
        cursor = Cursor(self._window, start, start + size_bytes)
        while cursor.position < cursor.end:
            self._left -= 1
            if self._left < 0:
                raise MalformedError("more fields than any file of its kind has")
            tag = cursor.varint()
            number, wire = tag >> 3, Wire(tag & 7)
            if number == 0:
                raise MalformedError("a field without a number")
            content, value, length = cursor.position, 0, 0
            match wire:
                case Wire.VARINT:
                    value = cursor.varint()
                case Wire.BYTES:
                    length = cursor.varint()
                    content = cursor.position
                case Wire.FIXED64:
                    length = 8
                case Wire.FIXED32:
                    length = 4
            cursor.skip(length)
            yield Field(number, wire, content, length, value)

    def varints(self, field: Field, limit: int) -> list[int]:
        """The numbers of a field that may be repeated: one, or a packed row; malformed where they are more than `limit`."""
        numbers = [field.value] if field.wire is Wire.VARINT else []
        cursor = Cursor(self._window, field.start, field.start + field.size_bytes)
        while cursor.position < cursor.end and len(numbers) <= limit:
            numbers.append(cursor.varint())
        if len(numbers) > limit:
            raise MalformedError("more numbers than there may be")
        return numbers

    def content(self, field: Field, limit: int) -> bytes:
        """The bytes of a field; malformed where they are more than `limit`."""
        if field.wire is not Wire.BYTES or field.size_bytes > limit:
            raise MalformedError("not a short text")
        self._bytes_left -= field.size_bytes
        if self._bytes_left < 0:
            raise MalformedError("a header without end")
        return self._window.read(field.start, field.size_bytes)
