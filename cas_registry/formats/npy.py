"""npy (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html): one array behind a short text header.

The header is a Python literal of three keys; it is matched, not evaluated.
"""

import re
import struct

from cas_registry.formats.layout import MAX_BYTES, MAX_DIMENSIONS, index_of, needed_strides, packed_bytes
from cas_registry.formats.source import MalformedError, Window
from cas_registry.model.tensors import Tensor, TensorIndex

NAME = "array"
_MAGIC = b"\x93NUMPY"
_LENGTHS = {1: struct.Struct("<H"), 2: struct.Struct("<I"), 3: struct.Struct("<I")}
_PREAMBLE_BYTES = 12
_MAX_LITERAL_BYTES = 10_000  # numpy's own limit

_KEY = re.compile(rb"""\s*+(['"])(descr|fortran_order|shape)\1\s*+:\s*+""")
_VALUE = re.compile(rb"""(?:(['"])([^'"]*+)\1|(True|False)|\(([\d\sL,]*+)\))\s*+(?:,|(?=\}))\s*+""")
_SIMPLE = {
    "b1": "BOOL", "i1": "I8", "u1": "U8", "i2": "I16", "u2": "U16", "i4": "I32", "u4": "U32", "i8": "I64", "u8": "U64",
    "f2": "F16", "f4": "F32", "f8": "F64", "c8": "C64", "c16": "C128",
}  # fmt: skip
_ONE_BYTE = ("b1", "i1", "u1")


class NamelessTypeError(MalformedError):
    """An array whose elements have no name here: objects, records, strings, numbers of the other byte order."""


def read(window: Window) -> TensorIndex:
    return index_of("npy", [read_array(window, 0, window.size_bytes, NAME)], window.size_bytes)


def is_of_numbers(window: Window) -> bool:
    """Whether the elements are of a plain type of numbers: such that no reader makes objects of them."""
    start, literal_bytes = _header(window, 0, window.size_bytes)
    _parse(window.read(start, literal_bytes))
    return True


def read_array(window: Window, start: int, size_bytes: int, name: str) -> Tensor:
    """The one array of the npy file that lies at [start, start + size_bytes) of the window."""
    literal_start, literal_bytes = _header(window, start, size_bytes)
    dtype, columns, shape = _parse(window.read(literal_start, literal_bytes))
    header_bytes = literal_start - start + literal_bytes
    array_bytes = packed_bytes(dtype, shape)
    if array_bytes > size_bytes - header_bytes:
        raise MalformedError("an array beyond its file")
    strides = needed_strides(shape, _column_strides(shape)) if columns else None
    return Tensor(name, dtype, shape, start + header_bytes, array_bytes, strides)


def _header(window: Window, start: int, size_bytes: int) -> tuple[int, int]:
    """Start and length of the header's literal."""
    preamble = window.read(start, min(_PREAMBLE_BYTES, size_bytes))
    length = _LENGTHS.get(preamble[6]) if preamble.startswith(_MAGIC) else None
    if length is None:
        raise MalformedError("not an npy file")
    (literal_bytes,) = length.unpack_from(preamble, 8)
    if literal_bytes > _MAX_LITERAL_BYTES or 8 + length.size + literal_bytes > size_bytes:
        raise MalformedError("a header without end")
    return start + 8 + length.size, literal_bytes


def _parse(literal: bytes) -> tuple[str, bool, tuple[int, ...]]:
    values: dict[bytes, re.Match[bytes]] = {}
    literal = literal.strip()
    position = 1
    while key := _KEY.match(literal, position):
        if literal[key.end() : key.end() + 1] == b"[":
            raise NamelessTypeError("records")
        value = _VALUE.match(literal, key.end())
        if value is None or key[2] in values:
            raise MalformedError("not a header")
        values[key[2]] = value
        position = value.end()
    if literal[:1] != b"{" or literal[position:] != b"}":
        raise MalformedError("not a header")
    descr, order, shape = (values[key] for key in (b"descr", b"fortran_order", b"shape"))
    if descr[2] is None or order[3] is None or shape[4] is None:
        raise MalformedError("not a header")
    return _dtype(descr[2].decode("ascii")), order[3] == b"True", _shape(shape[4])


def _dtype(descr: str) -> str:
    order, kind = descr[:1], descr[1:]
    if order != "<" and not (kind in _ONE_BYTE and order in {"|", ">", "="}):
        raise NamelessTypeError(descr)
    if kind not in _SIMPLE:
        raise NamelessTypeError(descr)
    return _SIMPLE[kind]


def _shape(literal: bytes) -> tuple[int, ...]:
    parts = [part.strip() for part in literal.split(b",")]
    if parts[-1] == b"":
        parts.pop()
    elif len(parts) == 1:
        raise MalformedError("a number where a shape should be")
    if len(parts) > MAX_DIMENSIONS:
        raise MalformedError("not a shape")
    return tuple(int(part.removesuffix(b"L")) for part in parts)


def _column_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides: list[int] = []
    step = 1
    for length in shape:
        strides.append(step)
        step = min(step * length, MAX_BYTES)
    return tuple(strides)
