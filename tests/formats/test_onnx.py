"""ONNX: initializers in the file and beside it, as onnx reads them; what merely looks like a message is no model."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.formats import read_index
from cas_registry.formats.onnx import relative_path
from tests.formats.files import FILES, TOLD, Source, by_name, index_of, read_as_told


def test_initializers_as_the_library_reads_them() -> None:
    read_as_told("inline.onnx")


def test_external_data_is_listed_under_the_path_of_its_file() -> None:
    found = index_of(FILES["external.onnx"])
    assert found
    assert not found.tensors
    data = FILES["external.onnx.data"]
    assert found.external.keys() == {"external.onnx.data"}
    assert {
        tensor.name: [tensor.dtype, list(tensor.shape), data[tensor.offset :][: tensor.size_bytes].hex()]
        for tensor in found.external["external.onnx.data"]
    } == TOLD["external.onnx.data"]


def varint(value: int) -> bytes:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def part(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


def entry(key: bytes, value: bytes) -> bytes:
    return part(13, part(1, key) + part(2, value))


def external(*entries: bytes, name: bytes = b"a") -> bytes:
    """A float tensor of four elements."""
    return part(5, number(1, 4) + number(2, 1) + part(8, name) + b"".join(entries) + number(14, 1))


def model(*initializers: bytes, head: bytes = number(1, 9), tail: bytes = b"") -> bytes:
    return head + part(7, part(2, b"graph") + b"".join(initializers)) + part(8, number(2, 17)) + tail


def external_paths(data: bytes) -> set[str]:
    found = index_of(data)
    assert found
    return set(found.external)


@pytest.mark.parametrize(
    "location",
    ["/etc/passwd", "../weights", "a/../../b", "..", ".", "", "a//b", "a/", "a\\b", "..\\b", "C:weights", "a\0b", "/", "./.."],
)
def test_locations_that_lead_elsewhere_name_no_file(location: str) -> None:
    assert relative_path(location) is None
    assert external_paths(model(external(entry(b"location", location.encode())))) == set()


def test_locations_below_the_model_are_paths() -> None:
    assert [relative_path(location) for location in ("w.bin", "./w.bin", "a/./b/w.bin", "..w")] == [
        "w.bin", "w.bin", "a/b/w.bin", "..w",
    ]  # fmt: skip


def test_external_data_of_another_length_or_without_a_file_is_left_out() -> None:
    place = entry(b"location", b"w")
    assert external_paths(model(external(place))) == {"w"}
    assert external_paths(model(external(place, entry(b"length", b"16")))) == {"w"}
    assert external_paths(model(external(place, entry(b"length", b"17")))) == set()
    assert external_paths(model(external())) == set()
    for offset in (b"-1", b"1e9", b"9" * 40, b"", b" 1"):
        assert index_of(model(external(place, entry(b"offset", offset)))) is None


def test_dimensions_may_be_packed() -> None:
    tensor = part(5, part(1, varint(2) + varint(3)) + number(2, 1) + part(8, b"a") + part(9, bytes(24)))
    assert by_name(model(tensor))["a"].shape == (2, 3)


A = part(5, number(1, 4) + number(2, 1) + part(8, b"a") + part(9, bytes(16)))
HOSTILE = {
    "no version": model(A, head=b""),
    "a version of nothing": model(A, head=number(1, 0)),
    "a version of 2^40": model(A, head=number(1, 2**40)),
    "two versions": model(A, tail=number(1, 9)),
    "two graphs": model(A, tail=part(7, b"")),
    "no graph": number(1, 9) + part(2, b"writer"),
    "a field that no model has": model(A, tail=part(9, b"")),
    "a field of another kind": model(A, tail=number(2, 1)),
    "a byte too many": model(A, tail=b"\0"),
    "a field beyond the end": model(A, tail=varint(2 << 3 | 2) + varint(100)),
    "a length of 2^64": model(A, tail=varint(2 << 3 | 2) + varint(2**64 - 1)),
    "a number without end": model(A, tail=b"\x28" + b"\xff" * 20),
    "a group": model(A, tail=b"\x0b"),
    "a dimension of 2^64": model(part(5, number(1, 2**64 - 1) + number(2, 1) + part(9, bytes(16)))),
    "a thousand dimensions": model(part(5, number(1, 1) * 1000 + number(2, 1) + part(9, bytes(4)))),
    "a tensor of another size": model(part(5, number(1, 5) + number(2, 1) + part(9, bytes(16)))),
    "two tensors of one name": model(A, A),
    "a name that is no text": model(part(5, number(2, 1) + part(8, b"\xff") + part(9, bytes(4)))),
    "more fields than any model has": model(number(12, 1) * 400_000),
}


def test_a_model_made_by_hand_is_read() -> None:
    """So that what is malformed is so for one reason."""
    assert by_name(model(A)).keys() == {"a"}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_what_only_looks_like_a_model_is_no_container(data: bytes) -> None:
    assert index_of(data) is None


@given(seed=st.integers(0, 2**32), start=st.sampled_from([b"", b"\x08\x09", b"\x08\x09\x12\x04test", b"\x08\x01\x3a"]))
def test_a_file_that_is_no_model_is_refused_after_few_reads(seed: int, start: bytes) -> None:
    source = Source(start + random.Random(seed).randbytes(300_000))
    assert read_index(source) is None
    assert source.read_bytes <= 256 * 1024
