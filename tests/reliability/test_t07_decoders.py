"""T7: a million inputs for every decoder and parser, most of them damaged in what they say and sealed again.

A value, or an error of the family that the decoder names; soon, and in little memory. Seeds and mutations are those of tests/support;
here is the number. One generator of numbers serves a whole batch, so an input is found again by the bytes in the failure's note.
"""

import json
import random
import resource
import struct
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Any

import pytest

from cas_registry.backends import opening
from cas_registry.codecs import decode_chunk
from cas_registry.errors import FormatError, InvalidInputError, RegistryError, UnsupportedFormatError
from cas_registry.model.ids import MapName
from cas_registry.model.keep import decode_keep, keep_value
from cas_registry.model.names import check_component, check_model, check_path, check_ref
from cas_registry.model.placement import Codec
from cas_registry.model.remap import RemapTable, decode_remap_table, encode_remap_table
from cas_registry.model.revision import parse_revision
from cas_registry.model.tensors import ElementType
from cas_registry.operations.tensor_index import decode_index, encode_index
from cas_registry.query import parse_condition
from tests.formats.files import FILES, index_of
from tests.model.test_hostile_bytes import SUBJECTS
from tests.reliability.matrix import Row
from tests.reliability.profile import scaled
from tests.support import strategies as make

ROW = "T7"
SLOWEST_S = 0.5  # of the processor's time; what is slow here takes minutes, not twice as long
MOST_BYTES = 64 * 2**20
TRACED = 100  # one input in so many has its memory measured


@dataclass(frozen=True)
class Target:
    """What is fed, from which seeds, how often; `refusals` are the errors that it may raise. `judge` looks at what is accepted."""

    inputs: int
    feed: Callable[[Any], Any]
    seeds: list[Any]
    mutate: Callable[[random.Random, Any], Any]
    refusals: tuple[type[BaseException], ...] = (FormatError, UnsupportedFormatError)
    judge: Callable[[Any, Any], None] | None = None


def _decoder(name: str, inputs: int) -> Target:
    subject = SUBJECTS[name]
    return Target(inputs, subject.decode, subject.seeds, subject.mutate, judge=subject.check)


def _container(inputs: int, *names: str, mutate: Callable[[random.Random, bytes], bytes]) -> Target:
    """A file of tensors: `read_index` raises nothing at all, and `index_of` judges what it finds."""
    return Target(inputs, index_of, [FILES[name] for name in names], mutate, refusals=())


def mutate_numbers(rng: random.Random, data: bytes, *, most: int = 1 << 16) -> bytes:
    """One to three numbers of any width set to ones at the borders of their types, to the file's length, or moved by one."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        width = rng.choice((1, 2, 4, 8))
        at = rng.randrange(min(len(changed), most) - width + 1)
        old = int.from_bytes(changed[at : at + width], "little")
        number = rng.choice(
            (0, 1, 7, 255, 2**16, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1, len(data), old + 1, old - 1)
        )
        changed[at : at + width] = (number % (1 << 8 * width)).to_bytes(width, "little")
    return bytes(changed)


def mutate_binary(rng: random.Random, data: bytes) -> bytes:
    return make.mutate_bytes(rng, data) if rng.randrange(4) == 0 else mutate_numbers(rng, data)


def mutate_safetensors(rng: random.Random, data: bytes) -> bytes:
    """What the header says, with its length made right but for one in five."""
    (length,) = struct.unpack_from("<Q", data)
    header, rest = data[8 : 8 + length], data[8 + length :]
    header = rng.choice((make.mutate_value, make.mutate_value, make.mutate_text, make.mutate_bytes))(rng, header)
    announced = len(header) if rng.randrange(5) else rng.choice((0, 2**16, 2**31, 2**63, 2**64 - 1, len(header) + 1))
    return struct.pack("<Q", announced) + header + rest


def mutate_npy(rng: random.Random, data: bytes) -> bytes:
    """A token of the header's dictionary, with the header's length made right."""
    (length,) = struct.unpack_from("<H", data, 8)
    header = data[10 : 10 + length]
    header = rng.choice((make.mutate_text, make.mutate_bytes))(rng, header.replace(b"'", b'"')).replace(b'"', b"'")
    return data[:8] + struct.pack("<H", len(header) & 0xFFFF) + header + data[10 + length :]


def mutate_zip(rng: random.Random, data: bytes) -> bytes:
    """Numbers of the central directory, which is where a reader begins; or a member changed and the archive written anew."""
    if rng.randrange(4):
        start = data.rindex(b"PK\x01\x02") if rng.randrange(2) else data.index(b"PK\x01\x02")
        return data[:start] + mutate_numbers(rng, data[start:])
    file = BytesIO()
    with zipfile.ZipFile(BytesIO(data)) as old, zipfile.ZipFile(file, "w") as new:
        members = old.namelist()
        damaged = rng.choice(members)
        for name in members:
            member = old.read(name)
            new.writestr(name, mutate_binary(rng, member) if name == damaged and len(member) > 8 else member)
    return file.getvalue()


def mutate_name(rng: random.Random, name: str) -> str:
    """Pieces of names that no file system can hold, put in anywhere; case and length."""
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        at = rng.randrange(len(name) + 1)
        match rng.randrange(6):
            case 0 | 1 | 2:
                name = name[:at] + rng.choice(PIECES) + name[at:]
            case 3:
                name = name[:at] + chr(rng.choice((rng.randrange(0x300), rng.randrange(0x110000)))) + name[at:]
            case 4:
                name = name[:at] * rng.choice((0, 2, 60))
            case _:
                name = name[:at].swapcase() + name[at:]
    return name


PIECES = (
    *("/", "\\", ":", "..", ".", " ", "~1", "@", "{", "}", "^", "-", "CON", "nul.", "COM¹", ".git", ".reg", "\0", "\r", "\n"),
    *("\x1b[2J", "\u202e", "\u200d", "\ufeff", "e\u0301", "\u0345", "ſ", "K", "İ", "\ud800", "\u2028", "\U000e0001", "*", "?", "x" * 250),
    *("@{1}", "@{2026-11-01}", "@{yesterday}", "~999999999", "^^^", "0" * 64, "main", "prod", ":a/b", "//", "%2e%2e", "//host/"),
    *("s3://", "file://", "user:password@", "?X-Amz-Signature=1", "#x", "[::1]", ":99999", "memory://", "\ufdfa", "９", "²"),
)  # fmt: skip
NAMES = ["model.safetensors", "a/b/c.bin", "feature/x", "main~2:a", "m@main@{3}^", "8f3a91c2", "é模🤗", "v1.4-rc.1", "_"]
URLS = ["s3://bucket/prefix", "gs://b", "az://c/p/q", "memory://x", "file:///tmp/x", "folder/registry", "s3a://b/"]


CONDITIONS = [
    "metrics.auc > 0.9 and not (params.opt = 'adam' or labels.draft is not null)",
    'metrics.auc >= prod and tag in (prod, "env/a") and age < 30d',
    "exists metrics.'a b' or author ~ ana and time > 2026-11-01",
]
WORDS = (
    *("(", ")", ",", "'", '"', "\\", "not ", " and ", " or ", " in ", " is null", "exists ", ">=", "!~", "=", "metrics.", "metrics.x", "prod."),
    *("1e999", "-inf", "nan", "9" * 400, "30d", "2026-02-30", "@", "\0", "\ud800", "\u2028", "(" * 200, "not " * 200, "a=1 or " * 300, "\\'" * 50),
)  # fmt: skip


def mutate_condition(rng: random.Random, text: str) -> str:
    """Words of conditions put in or written over anywhere; cut, doubled."""
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        at, end = sorted(rng.randrange(len(text) + 1) for _ in range(2))
        text = text[:at] + rng.choice(WORDS) + text[rng.choice((at, at, end)) :]
    return text * rng.choice((1, 1, 1, 2, 60))


def _remap_seeds() -> list[bytes]:
    maps = {number: MapName.of(bytes([number])) if number % 3 else None for number in range(1, 8)}
    return [encode_remap_table(RemapTable({**maps, 9_999_999_999: None}))]


def _index_seeds() -> list[bytes]:
    found = (index_of(FILES[name]) for name in ("three.safetensors", "views.pt", "types.gguf"))
    return [encoded for index in found if index and (encoded := encode_index(index))]


def _feed_chunk(case: tuple[int, bytes, int, int]) -> None:
    codec, stored, raw_bytes, element = case
    decoded = decode_chunk(Codec(codec), stored, raw_bytes, ElementType(element), None)
    assert len(decoded) == raw_bytes


def _mutate_chunk(rng: random.Random, case: tuple[int, bytes, int, int]) -> tuple[int, bytes, int, int]:
    codec, stored, raw_bytes, element = case
    raw_bytes = rng.choice((raw_bytes, raw_bytes, raw_bytes + 1, 1, 4096, 1 << 24))
    return codec, mutate_binary(rng, stored), raw_bytes, rng.choice((element, rng.choice(list(ElementType))))


def _chunk_seeds() -> list[tuple[int, bytes, int, int]]:
    from cas_registry.codecs import planes, zstd

    raw = b"".join(struct.pack("<f", number / 7) for number in range(256))
    return [
        (Codec.ZSTD, zstd.encode(raw), len(raw), ElementType.NONE),
        (Codec.PLANES, bytes(planes.encode(raw, 4)), len(raw), ElementType.F32),
    ]


def _encodes_again(value: RemapTable, data: bytes) -> None:
    assert encode_remap_table(value) == data


def _keep_again(data: bytes) -> None:
    value = json.loads(data)
    assert keep_value(decode_keep(value)) == value


NAMED = (InvalidInputError,)
GGUF, ONNX, HDF5 = ("types.gguf", "same/w.gguf"), ("inline.onnx", "external.onnx", "same/w.onnx"), ("same/w.h5",)
TARGETS = {
    "tree": _decoder("tree", 60_000),
    "commit": _decoder("commit", 25_000),
    "ref table": _decoder("refs", 25_000),
    "entry": _decoder("entry", 25_000),
    "format": _decoder("format", 30_000),
    "condemned": _decoder("condemned", 20_000),
    "verdict": _decoder("verdict", 20_000),
    "done": _decoder("done", 20_000),
    "map": _decoder("map", 130_000),
    "pack": _decoder("pack", 60_000),
    "pack footer": _decoder("footer", 70_000),
    "remap table": Target(
        25_000, decode_remap_table, _remap_seeds(), make.mutate_json, judge=lambda data, value: _encodes_again(value, data)
    ),
    "tensor index": Target(20_000, partial(decode_index, size_bytes=5_000), _index_seeds(), make.mutate_bytes),
    "chunk": Target(20_000, _feed_chunk, _chunk_seeds(), _mutate_chunk),
    "safetensors": _container(35_000, "three.safetensors", "same/w.safetensors", mutate=mutate_safetensors),
    "npy": _container(30_000, "same/w.npy", mutate=mutate_npy),
    "gguf": _container(30_000, *GGUF, mutate=mutate_binary),
    "zip": _container(12_000, "two.npz", "tied.pt", "views.pt", mutate=mutate_zip),
    "onnx": _container(10_000, *ONNX, mutate=mutate_binary),
    "hdf5": _container(8_000, *HDF5, mutate=mutate_binary),
    "component": Target(75_000, check_component, NAMES, mutate_name, NAMED),
    "path": Target(60_000, check_path, NAMES, mutate_name, NAMED),
    "ref": Target(60_000, check_ref, NAMES, mutate_name, NAMED),
    "model": Target(50_000, check_model, NAMES, mutate_name, NAMED),
    "condition": Target(8_000, parse_condition, CONDITIONS, mutate_condition, NAMED),
    "revision": Target(80_000, parse_revision, NAMES, mutate_name, NAMED),
    "url": Target(50_000, opening.open_backend, URLS, mutate_name, NAMED),
}  # fmt: skip
assert sum(target.inputs for target in TARGETS.values()) >= 1_000_000


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL is parsed; no library is asked to open it."""
    monkeypatch.setattr(opening, "_open_remote", lambda *_: None)
    monkeypatch.setattr(opening, "_memory_stores", {})


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_raises_another_error_or_takes_long_or_much(name: str, matrix: Row) -> None:
    target = TARGETS[name]
    rng = random.Random(name)
    accepted = 0
    before = _peak_bytes()
    for number in range(scaled(target.inputs)):
        seed = target.seeds[number % len(target.seeds)]
        data = target.mutate(rng, seed)
        try:
            accepted += _fed(target, data, traced=number % TRACED == 0)
        except BaseException as error:
            error.add_note(f"{name}, input {number}: {data[:2000]!r}")
            raise
    assert _peak_bytes() - before < 2 * MOST_BYTES
    matrix.count(scaled(target.inputs))
    assert 0 < accepted < scaled(target.inputs), "mutations get past the first check, and not all are harmless"


def _fed(target: Target, data: Any, *, traced: bool) -> bool:
    """Whether it was accepted; measures the memory of some, the time of all."""
    if traced:
        tracemalloc.start()
    started = time.thread_time()
    try:
        value = target.feed(data)
    except target.refusals:
        return False
    finally:
        assert time.thread_time() - started < SLOWEST_S
        if traced:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < MOST_BYTES
    if target.judge:
        target.judge(data, value)
    return target.refusals != () or value is not None


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_an_error_that_a_decoder_may_not_raise_fails_the_test() -> None:
    def feed(_: bytes) -> None:
        raise KeyError

    with pytest.raises(KeyError):
        _fed(Target(1, feed, [b""], make.mutate_bytes), b"", traced=True)
    assert not issubclass(KeyError, RegistryError)
