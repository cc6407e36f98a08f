"""Containers of tensors: real files are read as their libraries read them; whatever else comes in, nothing runs and nothing is raised."""

import io
import json
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.model.tensors import Tensor
from tests.formats.files import FILES, by_name, index_of


def floats(data: bytes, tensor: Tensor) -> list[float]:
    return np.frombuffer(data, "<f4", tensor.size_bytes // 4, tensor.offset).tolist()


def test_safetensors_as_the_library_writes_it() -> None:
    data = FILES["three.safetensors"]
    found = by_name(data)
    assert {name: (tensor.dtype, tensor.shape) for name, tensor in found.items()} == {
        "a": ("F32", (3, 4)), "b": ("BF16", (3, 4)), "c": ("I64", (5,)),
    }  # fmt: skip
    assert floats(data, found["a"]) == list(range(12))


def test_tied_weights_of_a_pytorch_file_are_two_tensors_over_the_same_bytes() -> None:
    found = by_name(FILES["tied.pt"])
    assert found.keys() == {"embed.weight", "out.weight"}
    assert len({(tensor.offset, tensor.size_bytes, tensor.shape) for tensor in found.values()}) == 1


def test_an_optimizers_state_has_its_path_as_name() -> None:
    found = by_name(FILES["optimizer.pt"])
    assert found.keys() == {f"optimizer.state.0.{name}" for name in ("step", "exp_avg", "exp_avg_sq")}
    assert floats(FILES["optimizer.pt"], found["optimizer.state.0.step"]) == [1.0]


def test_views_of_a_pytorch_storage_have_strides_and_offsets() -> None:
    data = FILES["views.pt"]
    found = by_name(data)
    assert (found["t"].shape, found["t"].strides) == ((4, 3), (1, 4))
    assert floats(data, found["row"]) == [4, 5, 6, 7]
    assert found["half"].dtype == "BF16"


def test_arrays_of_numpy_alone_and_in_an_archive() -> None:
    found = by_name(FILES["two.npz"])
    assert np.frombuffer(FILES["two.npz"], "<i2", 6, found["x"].offset).tolist() == list(range(6))
    for values in (np.arange(12.0).reshape(3, 4), np.asfortranarray(np.arange(12, dtype=np.uint8).reshape(3, 4))):
        file = io.BytesIO()
        np.save(file, values)
        (tensor,) = by_name(file.getvalue()).values()
        assert tensor.shape == (3, 4)
        assert file.getvalue()[tensor.offset :] == values.tobytes("A")
    for refused in (np.array([{}], dtype=object), np.zeros(3, ">f4"), np.zeros(3, [("a", "i4")])):
        file = io.BytesIO()
        np.save(file, refused)
        assert index_of(file.getvalue()) is None


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_anywhere_or_with_any_byte_flipped_is_read_or_not_but_never_raises(name: str) -> None:
    data = FILES[name]
    for at in range(0, len(data), max(3, len(data) // 400)):
        index_of(data[:at])
        index_of(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        index_of(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


INTERESTING = [0, 1, 7, 8, 2**16, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1]
MUTATIONS = st.lists(
    st.tuples(st.sampled_from(["flip", "long", "short", "cut", "insert", "move"]), st.floats(0, 1), st.sampled_from(INTERESTING)),
    min_size=1, max_size=6,
)  # fmt: skip


def mutated(data: bytes, mutations: list[tuple[str, float, int]]) -> bytes:
    for kind, where, number in mutations:
        at = int(where * len(data))
        match kind:
            case "flip":
                data = data[:at] + bytes([data[at] ^ (number & 0xFF or 0x80)]) + data[at + 1 :] if at < len(data) else data
            case "long":
                data = data[:at] + struct.pack("<Q", number) + data[at + 8 :]
            case "short":
                data = data[:at] + struct.pack("<H", number & 0xFFFF) + data[at + 2 :]
            case "cut":
                data = data[:at]
            case "insert":
                data = data[:at] + bytes(min(number, 9)) + data[at:]
            case _:
                data = data[:at] + data[at // 2 : at // 2 + 16] + data[at + 16 :]
    return data


@given(name=st.sampled_from(sorted(FILES)), mutations=MUTATIONS)
def test_a_mutated_file_is_read_or_not_but_never_raises_nor_leads_outside_itself(
    name: str, mutations: list[tuple[str, float, int]]
) -> None:
    index_of(mutated(FILES[name], mutations))


@given(
    data=st.binary(max_size=300),
    start=st.sampled_from(
        [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"\x10\0\0\0\0\0\0\0{", b"GGUF\3\0\0\0", b"\x89HDF\r\n\x1a\n\0", b"\x08\x09"]
    ),
)
def test_rubbish_is_no_container(data: bytes, start: bytes) -> None:
    index_of(start + data)


def _header(body: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(body) if length is None else length) + body


HOSTILE = {
    "a header of 2^63 bytes": _header(b'{"a":1}', 2**63),
    "a header longer than the file": _header(b'{"a":1}', 1000),
    "nested without end": _header(b'{"a":' + b"[" * 100_000),
    "overlapping tensors": _header(
        json.dumps({name: {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]} for name in "ab"}).encode()
    ) + b"1234",
    "offsets that run backwards": _header(b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[4,0]}}') + b"1234",
    "a tensor beyond the file": _header(b'{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}') + b"1234",
    "a shape of another size": _header(b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,4]}}') + b"1234",
    "a negative shape": _header(b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}') + b"1234",
    "a huge shape": _header(b'{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}') + b"1234",
}  # fmt: skip


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_header_is_no_container(data: bytes) -> None:
    assert index_of(data) is None


RAN: list[str] = []


def detonate() -> None:
    RAN.append("ran")


class Exploit:
    def __reduce__(self) -> tuple[object, ...]:
        return detonate, ()


def _pytorch(pickled: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/data/0", bytes(64))
    return file.getvalue()


def test_a_pickle_is_never_run() -> None:
    evil = pickle.dumps({"a": Exploit(), "b": print})
    pickle.loads(evil)
    assert RAN == ["ran"], "it does run when it is loaded"
    index_of(_pytorch(evil))
    assert RAN == ["ran"]


BOMBS = {
    "a memo index of 2^31": b"\x80\x02}r\xff\xff\xff\x7f.",
    "a byte array of 2^62 bytes": b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b".",
    "a string of 2^62 bytes": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b".",
    "a long of 2^31 bytes": b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "lists in lists, doubled": b"\x80\x02]q\x00" + b"".join(b"]q" + bytes([n]) + b"(h" + bytes([n - 1]) * 1 + b"h" + bytes([n - 1]) + b"e" for n in range(1, 100)) + b".",
    "a list that holds itself": b"\x80\x02]q\x00h\x00a.",
    "no end": b"\x80\x02" + b"N" * 1000,
    "marks only": b"\x80\x02" + b"(" * 100_000 + b".",
    "tuples in tuples": b"\x80\x02N" + b"\x85" * 50_000 + b".",
}  # fmt: skip


@pytest.mark.parametrize("pickled", BOMBS.values(), ids=BOMBS)
def test_a_pickle_bomb_takes_little_memory(pickled: bytes) -> None:
    data = _pytorch(pickled)
    tracemalloc.start()
    try:
        index_of(data)
        assert tracemalloc.get_traced_memory()[1] < 64 * 1024 * 1024
    finally:
        tracemalloc.stop()
