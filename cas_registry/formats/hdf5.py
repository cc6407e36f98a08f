"""HDF5 (format specification 4.0, https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t4.html): datasets by their paths.

Listed are datasets whose elements lie in one piece and have a type here; chunked, compressed, compact and empty ones, and records,
texts and numbers of the other byte order, are left out. A dataset that several links lead to has the name that
comes first.
"""

import struct
from collections.abc import Iterator, Sequence

from cas_registry.formats.hdf5_heap import MAX_OBJECT_BYTES, collected
from cas_registry.formats.hdf5_links import links
from cas_registry.formats.hdf5_objects import UNDEFINED, File, Message
from cas_registry.formats.layout import MAX_DIMENSIONS, MAX_TENSORS, index_of, packed_bytes
from cas_registry.formats.source import MAX_NAME_BYTES, MalformedError, Window
from cas_registry.model.tensors import Tensor, TensorIndex

SIGNATURE = b"\x89HDF\r\n\x1a\n"

_SUPERBLOCK_0_BYTES = {0: 24, 1: 28}  # up to the base address
_WIDE = 8  # bytes of an address, and of a length; HDF5 makes no other

_DATASPACE, _DATATYPE, _LAYOUT, _FILTERS, _ATTRIBUTE, _ATTRIBUTES = 0x01, 0x03, 0x08, 0x0B, 0x0C, 0x15
_CONTIGUOUS = 1
_FIXED, _FLOAT, _OPAQUE, _ENUM, _VARIABLE = 0, 1, 5, 8, 9
_BIG_ENDIAN, _SIGNED = 1, 8  # bits of a number's type
_BIG_ENDIAN_FLOAT = 0x41
_INTEGERS = {(1, True): "I8", (1, False): "U8", (2, True): "I16", (2, False): "U16", (4, True): "I32", (4, False): "U32",
             (8, True): "I64", (8, False): "U64"}  # fmt: skip
_FLOATS = {  # size; bit offset, precision, places and sizes of exponent and mantissa, bias
    (2, 0, 16, 10, 5, 0, 10, 15): "F16",
    (2, 0, 16, 7, 8, 0, 7, 127): "BF16",
    (4, 0, 32, 23, 8, 0, 23, 127): "F32",
    (8, 0, 64, 52, 11, 0, 52, 1023): "F64",
}
_FLOAT_PROPERTIES = struct.Struct("<HHBBBBI")
_MIN_ATTRIBUTE_BYTES = 8


def read(window: Window, start: int = 0) -> TensorIndex | None:
    """The datasets of the file whose superblock is at `start` of the window; None for superblocks of unknown form."""
    root = _root(window, start)
    if root is None:
        return None
    file, address = root
    tensors: list[Tensor] = []
    for name, messages in _objects(file, address):
        tensor = _dataset(file, name, messages)
        if tensor:
            tensors.append(tensor)
        if len(tensors) > MAX_TENSORS:
            raise MalformedError("too many tensors")
    return index_of("hdf5", tensors, window.size_bytes)


def root_text(window: Window, start: int, name: bytes, *, max_bytes: int) -> bytes | None:
    """The one text of the root group's attribute of this name, if it has it. Malformed where it cannot be told whether it does."""
    root = _root(window, start)
    if root is None:
        raise MalformedError("a superblock of unknown form")
    file, address = root
    for message in file.messages(address):
        if message.kind == _ATTRIBUTE and message.is_shared:
            raise MalformedError("an attribute that lies elsewhere")
        if message.kind == _ATTRIBUTE and (text := _text(file, message.body, name, max_bytes=max_bytes)) is not None:
            return text
        if message.kind == _ATTRIBUTES and _lie_elsewhere(message.body):
            raise MalformedError("attributes in a heap of their own")
    return None


def _lie_elsewhere(body: bytes) -> bool:
    """Of what is said of many attributes together: whether there is a heap that holds them."""
    (address,) = struct.unpack_from(
        "<Q", body, 4 if body[1] & 1 else 2
    )  # behind the greatest number of an attribute, where those are kept
    return bool(address != UNDEFINED)


def _root(window: Window, start: int) -> tuple[File, int] | None:
    """The file, and the address of its root group."""
    version = window.read(start + len(SIGNATURE), 1)[0]
    if version in _SUPERBLOCK_0_BYTES:
        if window.read(start + 13, 2) != bytes((_WIDE, _WIDE)):
            return None
        base, _, _, _, _, address = struct.unpack("<6Q", window.read(start + _SUPERBLOCK_0_BYTES[version], 48))
    elif version in {2, 3}:
        if window.read(start + 9, 2) != bytes((_WIDE, _WIDE)):
            return None
        base, _, _, address = struct.unpack("<4Q", window.read(start + 12, 32))
    else:
        return None
    return File(window, base), address


def _objects(file: File, root: int) -> Iterator[tuple[str, Sequence[Message]]]:
    """Path and messages of all objects, each once, a group's own before what is below them, in the order of their names."""
    pending = [("", root)]
    seen = {root}
    while pending:
        path, address = pending.pop()
        messages = list(file.messages(address))
        yield path, messages
        below: list[tuple[str, int]] = []
        for name, target in sorted(links(file, messages)):
            if target not in seen:
                seen.add(target)
                below.append((file.keep(f"{path}/{name}" if path else name), target))
            if len(path) + len(name) > MAX_NAME_BYTES:
                raise MalformedError("groups nested without end")
        pending += reversed(below)


def _dataset(file: File, name: str, messages: Sequence[Message]) -> Tensor | None:
    """None for what is no dataset, or none that is listed."""
    found = {message.kind: message for message in messages if message.kind != _ATTRIBUTE}
    if _FILTERS in found or any(kind not in found or found[kind].is_shared for kind in (_DATASPACE, _DATATYPE, _LAYOUT)):
        return None
    shape = _shape(found[_DATASPACE].body)
    place = _place(found[_LAYOUT].body)
    if shape is None or place is None:
        return None
    dtype = _dtype(found[_DATATYPE].body)
    if dtype is None and _is_bfloat16(file, found[_DATATYPE].body, messages):
        dtype = "BF16"
    if dtype is None:
        return None
    address, size_bytes = place
    if size_bytes != packed_bytes(dtype, shape):
        raise MalformedError("a dataset that is not as large as its shape")
    return Tensor(name, dtype, shape, file.base + address, size_bytes)


def _shape(body: bytes) -> tuple[int, ...] | None:
    version, rank = body[:2]
    start = {1: 8, 2: 4}[version]
    if rank > MAX_DIMENSIONS or (version == 2 and body[3] == 2):  # noqa: PLR2004 - no elements at all
        return None
    return struct.unpack_from(f"<{rank}Q", body, start)


def _place(body: bytes) -> tuple[int, int] | None:
    """Address and size of elements that lie in one piece, and have been written."""
    version, kind = body[:2]
    if version not in {3, 4, 5} or kind != _CONTIGUOUS:
        return None
    address, size_bytes = struct.unpack_from("<2Q", body, 2)
    return None if address == UNDEFINED else (address, size_bytes)


def _dtype(body: bytes) -> str | None:
    """The name of a type of numbers; None for any other."""
    kind, bits, size_bytes = _type_parts(body)
    if kind == _FIXED and not bits & _BIG_ENDIAN:
        offset, precision = struct.unpack_from("<2H", body, 8)
        return _INTEGERS.get((size_bytes, bool(bits & _SIGNED))) if (offset, precision) == (0, 8 * size_bytes) else None
    if kind == _FLOAT and not bits & _BIG_ENDIAN_FLOAT:
        return _FLOATS.get((size_bytes, *_FLOAT_PROPERTIES.unpack_from(body, 8)))
    if kind == _ENUM and size_bytes == 1 and b"FALSE\0" in body and b"TRUE\0" in body:  # how h5py writes truth values
        return "BOOL"
    return None


def _type_parts(body: bytes) -> tuple[int, int, int]:
    """Class, its bits, size in bytes."""
    head, size_bytes = struct.unpack_from("<II", body)
    return head & 0xF, head >> 8, size_bytes


def _is_bfloat16(file: File, datatype: bytes, messages: Sequence[Message]) -> bool:
    """Whether these are opaque elements of two bytes that an attribute calls bfloat16: how Keras writes them."""
    kind, _, size_bytes = _type_parts(datatype)
    if (kind, size_bytes) != (_OPAQUE, 2):
        return False
    return any(message.kind == _ATTRIBUTE and _text(file, message.body, b"dtype") == b"bfloat16" for message in messages)


def _text(file: File, body: bytes, wanted: bytes, *, max_bytes: int = MAX_OBJECT_BYTES) -> bytes | None:
    """The one text of the attribute, if it has this name."""
    version, _, name_bytes, type_bytes, space_bytes = struct.unpack_from("<BBHHH", body)
    step = 8 if version == 1 else 1  # parts are padded to it
    position = 9 if version == 3 else _MIN_ATTRIBUTE_BYTES  # noqa: PLR2004 - the version that names a character set
    name = body[position : position + name_bytes].rstrip(b"\0")
    if name != wanted:
        return None
    position += -(-name_bytes // step) * step
    kind, _, size_bytes = _type_parts(body[position:])
    position += -(-type_bytes // step) * step + -(-space_bytes // step) * step
    if kind != _VARIABLE:
        return body[position : position + size_bytes].rstrip(b"\0")
    length, address, number = struct.unpack_from("<IQI", body, position)
    return collected(file, address, number, max_bytes=max_bytes)[:length]
