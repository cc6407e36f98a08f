"""GGUF: as gguf-py reads it; other byte orders and versions are files like any other."""

import struct

import pytest

from cas_registry.model.tensors import ElementType
from tests.formats.files import FILES, by_name, index_of, read_as_told


def test_every_type_as_the_library_writes_it() -> None:
    read_as_told("types.gguf")


def test_blocks_are_opaque_under_their_own_name_and_shapes_are_in_c_order() -> None:
    found = by_name(FILES["types.gguf"])
    assert {tensor.element for name, tensor in found.items() if name.startswith("block.") and name != "block.BF16"} == {
        ElementType.OPAQUE
    }
    assert found["block.BF16"].element is ElementType.BF16
    assert found["plain.f4"].shape == (2, 3, 5)


def test_version_2_has_the_same_layout_and_others_are_not_read() -> None:
    data = FILES["types.gguf"]
    assert index_of(data[:4] + struct.pack("<I", 2) + data[8:]) == index_of(data)
    for version in (0, 1, 4):
        assert index_of(data[:4] + struct.pack("<I", version) + data[8:]) is None
    assert index_of(FILES["big-endian.gguf"]) is None


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def gguf(*pairs: bytes, infos: tuple[bytes, ...] = (), tail: bytes = b"", tensors: int | None = None) -> bytes:
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(infos) if tensors is None else tensors, len(pairs))
    return b"".join((head, *pairs, *infos, tail))


def info(name: bytes, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def pair(key: bytes, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def test_a_type_that_is_not_known_is_left_out() -> None:
    data = gguf(infos=(info(b"new", (4,), 99, 0), info(b"a", (4,), 0, 32)), tail=bytes(200))
    assert by_name(data).keys() == {"a"}


ARRAY = struct.Struct("<IQ")
NESTED = b"".join(ARRAY.pack(9, 1) for _ in range(5000)) + ARRAY.pack(0, 0)
HOSTILE = {
    "a text of 2^64 bytes": gguf(pair(b"a", 8, struct.pack("<Q", 2**64 - 1)), tail=bytes(99)),
    "an array of 2^63 numbers": gguf(pair(b"a", 9, ARRAY.pack(12, 2**63)), tail=bytes(99)),
    "an array of 2^64 texts": gguf(pair(b"a", 9, ARRAY.pack(8, 2**64 - 1)), tail=bytes(99)),
    "arrays nested without end": gguf(pair(b"a", 9, NESTED), tail=bytes(99)),
    "2^64 tensors": gguf(tensors=2**64 - 1, tail=bytes(99)),
    "an alignment of nothing": gguf(pair(b"general.alignment", 4, struct.pack("<I", 0)), tail=bytes(99)),
    "an alignment of three": gguf(pair(b"general.alignment", 4, struct.pack("<I", 3)), tail=bytes(99)),
    "a value of no type": gguf(pair(b"a", 13, bytes(8)), tail=bytes(99)),
    "an offset of 2^64": gguf(infos=(info(b"a", (4,), 0, 2**64 - 1),), tail=bytes(99)),
    "a dimension of 2^63": gguf(infos=(info(b"a", (2**63, 2), 0, 0),), tail=bytes(99)),
    "2^32 dimensions": gguf(infos=(text(b"a") + struct.pack("<I", 2**32 - 1),), tail=bytes(99)),
    "half a block": gguf(infos=(info(b"a", (16,), 2, 0),), tail=bytes(99)),
    "two tensors in one place": gguf(infos=(info(b"a", (4,), 0, 0), info(b"b", (4,), 0, 0)), tail=bytes(99)),
    "two tensors of one name": gguf(infos=(info(b"a", (4,), 0, 0), info(b"a", (4,), 0, 32)), tail=bytes(99)),
    "a name that is no text": gguf(infos=(info(b"\xff", (4,), 0, 0),), tail=bytes(99)),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_header_is_no_container(data: bytes) -> None:
    assert index_of(data) is None
