"""Marks of files: real ones of every kind, the ways in which scanners were led astray, and bounds on what a look costs."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import random
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.formats import hazards
from cas_registry.formats.hazards import MAX_LOOKED_AT_BYTES, look
from cas_registry.model.on_load import OnLoad
from tests.formats.files import FILES, Source
from tests.formats.test_keras_config import layer, model
from tests.formats.test_tar import archive

DATA = Path(__file__).parent / "hazards"  # written by joblib 1.6 and PyTorch 2.13
PICKLE = pickle.dumps({"a": print}, 4)
NOTHING, SEALED = OnLoad.NO_PICKLE_FOUND, OnLoad.SEALED


def mark_of(data: bytes) -> OnLoad:
    source = Source(data)
    found = look(source)
    assert found is not OnLoad.NOT_LOOKED_AT
    assert source.read_bytes <= MAX_LOOKED_AT_BYTES
    return found


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return out.getvalue()


def saved(write: Callable[[io.BytesIO], None]) -> bytes:
    out = io.BytesIO()
    write(out)
    return out.getvalue()


def npy(values: object) -> bytes:
    return saved(lambda out: np.save(out, values, allow_pickle=True))


def with_comment(out: io.BytesIO, comment: bytes) -> None:
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("a", PICKLE)
        file.comment = comment


NOISE = random.Random(7).randbytes(200_000)
OBJECTS = np.array([{}, 1], dtype=object)
RECORDS = np.array([(1, None)], dtype=[("a", "i4"), ("b", "O")])
PICKLES = {
    **{path.name: path.read_bytes() for path in sorted(DATA.iterdir())},
    **{name: data for name, data in FILES.items() if name.endswith(".pt")},
    "a pickle": PICKLE,
    "a pickle of text": pickle.dumps({"a": print}, 0),
    "a pickle of plain values": pickle.dumps([1, 2.5, "x"], 5),
    "a large pickle": pickle.dumps({"weights": NOISE, "f": print}, 4),
    "gzip": gzip.compress(PICKLE),
    "gzip behind an empty stream": gzip.compress(b"") + gzip.compress(PICKLE),
    "bzip2": bz2.compress(PICKLE),
    "xz": lzma.compress(PICKLE),
    "zlib": zlib.compress(PICKLE),
    "zstd": zstandard.compress(PICKLE),
    "old joblib": b"ZF0x" + b"10".ljust(17) + zlib.compress(PICKLE),
    "a large compressed pickle": gzip.compress(pickle.dumps([NOISE, print], 4)),
    "compressed twice": gzip.compress(bz2.compress(PICKLE)),
    "npy of objects": npy(OBJECTS),
    "npy of records": npy(RECORDS),
    "npy that lies of its type": npy(OBJECTS).replace(b"'|O'", b"'f,O'", 1).replace(b" \n", b"\n", 1),
    "npz of objects": saved(lambda out: np.savez(out, x=OBJECTS, y=np.arange(3))),
    "npz of objects, compressed": saved(lambda out: np.savez_compressed(out, y=np.arange(3), x=OBJECTS)),
    "zip": zipped({"weights.json": PICKLE, "readme.txt": b"hello"}),
    "zip with the pickle last": zipped({**{f"{number}.txt": b"hello" for number in range(100)}, "z": PICKLE}),
    "zip, deflated": zipped({"a/data.pkl": PICKLE}, zipfile.ZIP_DEFLATED),
    "zip, bzip2": zipped({"a/data.pkl": PICKLE}, zipfile.ZIP_BZIP2),
    "zip, deflated, large": zipped({"x": pickle.dumps([NOISE, print], 4)}, zipfile.ZIP_DEFLATED),
    "zip within zips": zipped({"a": zipped({"b": zipped({"c": PICKLE}, zipfile.ZIP_DEFLATED)}, zipfile.ZIP_DEFLATED)}),
    "zip behind a script": b"#!/usr/bin/env python3\n" + zipped({"a": PICKLE}),
    "zip behind weights": bytes(100_000) + zipped({"a": PICKLE}),
    "zip with a comment": saved(lambda out: with_comment(out, b"hello")),
    "tar": archive({"storages": b"x", "pickle": PICKLE}),
    "tar, compressed": gzip.compress(archive({"model.ckpt": zipped({"a/data.pkl": PICKLE})})),
    "tar with a zip": archive({"a.txt": b"hello", "model.pt": zipped({"a/data.pkl": PICKLE})}),
    "keras with a pickle": zipped({"config.json": model(layer("Dense")), "assets/x": PICKLE}),
}  # fmt: skip


@pytest.mark.parametrize("data", PICKLES.values(), ids=PICKLES)
def test_pickles_are_found_wherever_they_are(data: bytes) -> None:
    assert mark_of(data) is OnLoad.PICKLE


CLEAN = {
    **{name: data for name, data in FILES.items() if not name.endswith(".pt")},
    "nothing": b"",
    "zeros": bytes(100_000),
    "text": b"certifi==2024\ncharset\nclick\n" * 50,
    "json": json.dumps({"layers": 2, "name": "x"}).encode(),
    "a model of keras as json": model(layer("Dense")),
    "npy": npy(np.arange(10.0)),
    "npy of the other byte order": npy(np.arange(10).astype(">i4")),
    "npy of texts": npy(np.array(["a", "b"])),
    "npy of records without objects": npy(np.zeros(3, [("O", "i4"), ("b", "f8")])),
    "npz": saved(lambda out: np.savez(out, x=np.arange(3), y=np.zeros(3, ">f4"))),
    "npz, compressed": saved(lambda out: np.savez_compressed(out, x=np.random.default_rng(1).random(100_000))),
    "zip": zipped({"a.txt": b"hello", "b.json": b"{}", "empty": b""}, zipfile.ZIP_DEFLATED),
    "an empty zip": zipped({}),
    "zip of much": zipped({f"{number}.txt": b"hello" * 1000 for number in range(200)}, zipfile.ZIP_DEFLATED),
    "keras": zipped({"config.json": model(layer("Dense")), "metadata.json": b"{}"}),
    "gzip of text": gzip.compress(b"a,b,c\n1,2,3\n" * 10_000),
    "tar": archive({"a.txt": b"hello", "b.txt": b"there"}),
    "tar, compressed": gzip.compress(archive({"a.txt": b"hello"})),
    "tar that ends with a zip": archive({"b.zip": zipped({"a.txt": b"hello"})}),
    "the signature of a zip's end in weights": bytes(1000) + b"PK\x05\x06" + bytes(1000),
}  # fmt: skip


@pytest.mark.parametrize("data", CLEAN.values(), ids=CLEAN)
def test_other_files_have_none(data: bytes) -> None:
    assert mark_of(data) is NOTHING


@given(st.binary(max_size=3_000))
def test_random_bytes_have_none_and_never_raise(data: bytes) -> None:
    assert mark_of(b"\x01" + data) is NOTHING
    mark_of(data)


def test_random_weights_have_none() -> None:
    for number in range(2_000):
        for start in (b"", b"\x78\x9c"):
            data = start + NOISE[number * 50 : number * 50 + 400]
            assert mark_of(data) is NOTHING, data


KERAS = {
    "keras with a lambda": zipped({"config.json": model(layer("Lambda")), "model.weights.h5": b"x"}),
    "keras with a lambda, deflated": zipped({"config.json": model(layer("Lambda"))}, zipfile.ZIP_DEFLATED),
    "keras with a large configuration": zipped({"config.json": model(*[layer("Dense")] * 1000, layer("Lambda"))}, zipfile.ZIP_DEFLATED),
    "a configuration": model(layer("Lambda")),
    "an import of os": zipped({"config.json": model(layer("function", "os", config="system"))}),
}  # fmt: skip


@pytest.mark.parametrize("data", KERAS.values(), ids=KERAS)
def test_code_in_a_configuration_of_keras_is_found(data: bytes) -> None:
    assert mark_of(data) is OnLoad.CODE


def hdf5_with_attribute(name: bytes, text: bytes) -> bytes:
    """An HDF5 file whose root group has one attribute of fixed length: superblock 0, an object of version 1."""
    padded = name + b"\0" * (8 - len(name) % 8)
    datatype = struct.pack("<IIII", 0x13, len(text), 0, 0)[:8]
    dataspace = struct.pack("<BBB5x", 1, 0, 0)
    body = struct.pack("<BBHHH", 1, 0, len(name) + 1, len(datatype), len(dataspace)) + padded + datatype + dataspace + text
    body += b"\0" * (-len(body) % 8)
    root = struct.pack("<BxHII4x", 1, 1, 1, len(body) + 8) + struct.pack("<HHB3x", 0x0C, len(body), 0) + body
    undefined = 2**64 - 1
    head = b"\x89HDF\r\n\x1a\n" + bytes([0, 0, 0, 0, 0, 8, 8, 0]) + struct.pack("<HHI", 4, 16, 0)
    return head + struct.pack("<4Q", 0, undefined, 96 + len(root), undefined) + struct.pack("<QQII16x", 0, 96, 0, 0) + root


def test_code_in_the_configuration_of_an_hdf5_file_is_found() -> None:
    assert mark_of(hdf5_with_attribute(b"model_config", model(layer("Lambda")))) is OnLoad.CODE
    assert mark_of(hdf5_with_attribute(b"model_config", model(layer("Dense")))) is NOTHING
    assert mark_of(hdf5_with_attribute(b"other", model(layer("Lambda")))) is NOTHING


def patched(data: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    at = data.index(signature) + offset
    return data[:at] + value + data[at + len(value) :]


ONE = zipped({"data.txt": b"hello" * 10})
DEEP = PICKLE
for _ in range(8):
    DEEP = zipped({"a": DEEP})
CLOSED = {
    "7-Zip": b"7z\xbc\xaf\x27\x1c" + bytes(100),
    "RAR": b"Rar!\x1a\x07\x00" + bytes(100),
    "LZ4": b"\x04\x22\x4d\x18" + bytes(100),
    "an unknown method": patched(patched(ONE, b"PK\x03\x04", 8, b"\x63"), b"PK\x01\x02", 10, b"\x63"),
    "lzma in a zip": zipped({"a": PICKLE}, zipfile.ZIP_LZMA),
    "an encrypted member": patched(ONE, b"PK\x01\x02", 8, b"\x01"),
    "zip without an end": ONE[:-22],
    "zip with bytes behind": ONE + b"behind",
    "zip with an offset beyond": patched(ONE, b"PK\x01\x02", 42, b"\xff\xff\xff\x7f"),
    "zip with a size beyond": patched(ONE, b"PK\x01\x02", 20, b"\xff\xff\xff\x7f"),
    "zip whose count is wrong": patched(ONE, b"PK\x05\x06", 8, b"\x07\0\x07\0"),
    "zip whose local header is none": zipped({"a": b"1", "b": b"2"}).replace(b"PK\x03\x04", b"PK\x03\x05").replace(b"PK\x03\x05", b"PK\x03\x04", 1),
    "archives within archives": DEEP,
    "broken gzip": gzip.compress(b"hello" * 1000)[:20] + b"\xff" * 1000,
    "gzip of a tar that is too large": gzip.compress(archive({"a": bytes(20 << 20)})),
}  # fmt: skip


@pytest.mark.parametrize("data", CLOSED.values(), ids=CLOSED)
def test_what_cannot_be_seen_through_counts_as_code(data: bytes) -> None:
    assert mark_of(data).runs_code


def test_a_flag_that_lies_hides_no_pickle() -> None:
    data = patched(patched(zipped({"data.pkl": PICKLE}), b"PK\x01\x02", 8, b"\x01"), b"PK\x03\x04", 6, b"\x01")
    assert mark_of(data) is OnLoad.PICKLE


def test_a_wrong_checksum_and_a_name_of_two_headers_hide_no_pickle() -> None:
    data = zipped({"data.pkl": PICKLE})
    assert mark_of(patched(data, b"PK\x01\x02", 16, b"\0\0\0\0")) is OnLoad.PICKLE
    assert mark_of(patched(data, b"PK\x03\x04", 30, b"xxxx.txt")) is OnLoad.PICKLE


def test_two_ends_of_an_archive_are_not_believed() -> None:
    """The first end takes the second for its comment; readers that go by the last one see another archive."""
    hidden = zipped({"a": PICKLE})
    first = ONE[:-2] + len(hidden).to_bytes(2, "little") + hidden
    assert mark_of(first[:-2] + b"\x01\0").runs_code
    assert mark_of(first).runs_code


def test_errors_of_the_source_pass_through() -> None:
    class Broken(Source):
        def read(self, offset: int, length: int) -> bytes:
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        look(Broken(PICKLE))


@pytest.mark.parametrize("name", [*PICKLES, *CLOSED])
def test_a_file_cut_anywhere_or_with_any_byte_flipped_never_raises(name: str) -> None:
    data = {**PICKLES, **CLOSED}[name][:20_000]
    for at in range(0, len(data), max(1, len(data) // 60)):
        mark_of(data[:at])
        mark_of(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])


def test_little_is_read_of_large_files() -> None:
    for data in (bytes(50 << 20), b"\x80\x02" + bytes(50 << 20), FILES["three.safetensors"] + bytes(50 << 20)):
        source = Source(data)
        look(source)
        assert source.read_bytes < 512 << 10


def test_an_archive_of_many_members_is_read_by_its_heads() -> None:
    data = zipped({f"{number}.bin": bytes(20_000) for number in range(1_000)})
    source = Source(data)
    assert look(source) is NOTHING
    assert source.read_bytes < 1_500_000


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_a_bomb_takes_bounded_memory(method: int) -> None:
    bomb = zipped({f"{number}": b"PK\x03\x04" + bytes(32 << 20) for number in range(3)}, method)
    tracemalloc.start()
    assert mark_of(bomb) is SEALED
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * hazards._UNPACKED_BYTES
