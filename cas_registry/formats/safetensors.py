"""safetensors (https://huggingface.co/docs/safetensors): a length, a JSON object of tensors, their bytes.

Entries are taken from the JSON one by one, so that a header never becomes more memory than its tensors take.
"""

import json
import re
import struct
from collections.abc import Iterator

from cas_registry.formats.layout import MAX_BYTES, MAX_TENSORS, element_count, index_of, is_known, packed_bytes
from cas_registry.formats.source import MAX_HEADER_BYTES, MalformedError, Window
from cas_registry.model.tensors import Tensor, TensorIndex

_LENGTH = struct.Struct("<Q")
_SPACE = rb"[ \t\r\n]*+"
_STRING = rb'"(?:[^"\\]|\\.)*+"'
_COLON = _SPACE + rb":" + _SPACE
_OPENING = re.compile(rb"\{" + _SPACE + rb"(\}?)" + _SPACE)
_KEY = re.compile(rb"(" + _STRING + rb")" + _COLON, re.DOTALL)
_ENTRY = re.compile(rb"(\{[^{}]{0,4096}+\})" + _SPACE)
_PAIR = re.compile(_STRING + _COLON + _STRING + _SPACE, re.DOTALL)
_NEXT = re.compile(rb"(?:,|(\}))" + _SPACE)
_METADATA = b'"__metadata__"'


def read(window: Window) -> TensorIndex:
    (length,) = _LENGTH.unpack(window.read(0, _LENGTH.size))
    if length > MAX_HEADER_BYTES:
        raise MalformedError("a header without end")
    start = _LENGTH.size + length
    header = window.read(_LENGTH.size, length)
    tensors: list[Tensor] = []
    for name, entry in _entries(header):
        tensors.append(_tensor(name, entry, start))
        if len(tensors) > MAX_TENSORS:
            raise MalformedError("too many tensors")
    return index_of("safetensors", tensors, window.size_bytes)


def _entries(header: bytes) -> Iterator[tuple[str, dict[str, object]]]:
    position, closed = _match(_OPENING, header, 0)
    while not closed:
        key = _KEY.match(header, position)
        if key is None:
            raise MalformedError("not a member of an object")
        if key[1] == _METADATA:
            position = _after_metadata(header, key.end())
        else:
            entry = _ENTRY.match(header, key.end())
            if entry is None:
                raise MalformedError("not a tensor")
            yield json.loads(key[1]), json.loads(entry[1])
            position = entry.end()
        position, closed = _match(_NEXT, header, position)
    if position != len(header):
        raise MalformedError("more than one object")


def _after_metadata(header: bytes, position: int) -> int:
    position, closed = _match(_OPENING, header, position)
    while not closed:
        pair = _PAIR.match(header, position)
        if pair is None:
            raise MalformedError("not metadata")
        position, closed = _match(_NEXT, header, pair.end())
    return position


def _match(pattern: re.Pattern[bytes], header: bytes, position: int) -> tuple[int, bool]:
    """Where the match ends, and whether it closes an object."""
    found = pattern.match(header, position)
    if found is None:
        raise MalformedError("not an object")
    return found.end(), bool(found[1])


def _tensor(name: str, entry: dict[str, object], start: int) -> Tensor:
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not (isinstance(dtype, str) and isinstance(shape, list) and isinstance(offsets, list)):
        raise MalformedError("not a tensor")
    begin, end = offsets
    if not (type(begin) is int and type(end) is int and 0 <= begin <= end <= MAX_BYTES):
        raise MalformedError("not offsets")
    element_count(shape)
    if is_known(dtype) and packed_bytes(dtype, shape) != end - begin:
        raise MalformedError("a tensor that is not as large as its shape")
    return Tensor(name, dtype, tuple(shape), start + begin, end - begin)
