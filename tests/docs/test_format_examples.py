"""docs/format.md and docs/architecture.md say what the code does: their examples, traces and tables are compared with it.

`python -m tests.docs.test_format_examples` writes the examples anew, for a change of the format that is meant.
"""

import json
import re
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from importlib import import_module
from itertools import groupby
from pathlib import Path

import blake3
import pytest
from pyfastcdc.py.constants import GEAR, MASKS

from cas_registry.backends import Backend, Data
from cas_registry.backends.memory import MemoryBackend
from cas_registry.chunking import Piece
from cas_registry.chunking.fastcdc import ContentDefinedChunker
from cas_registry.codecs import decode_chunk
from cas_registry.errors import HostileNameError
from cas_registry.model import (
    canonical,
    collection,
    commit,
    entry,
    inputs,
    keep,
    maps,
    names,
    note,
    packs,
    registry_format,
    rules,
    signature,
)
from cas_registry.model.canonical import encode_scalars
from cas_registry.model.collection import Condemned, encode_condemned
from cas_registry.model.commit import Commit, encode_commit
from cas_registry.model.entry import (
    CommitStats,
    Entry,
    Operation,
    Ref,
    RefTable,
    ReleaseRow,
    VersionRow,
    encode_entry,
    encode_ref_table,
)
from cas_registry.model.ids import (
    ChunkId,
    CollectionId,
    CommitId,
    EntryId,
    FileId,
    FormatId,
    MapName,
    ObjectId,
    PackName,
    RefTableId,
    RemapId,
    SignatureId,
    SignedRefsId,
    TreeId,
)
from cas_registry.model.inputs import Input
from cas_registry.model.maps import Covers, Located, MapBuilder, PackInfo, Reference, decode_map
from cas_registry.model.note import Note
from cas_registry.model.on_load import OnLoad
from cas_registry.model.packs import PackBuilder, Recipe, decode_pack
from cas_registry.model.placement import Codec, Placement
from cas_registry.model.registry_format import ChunkingParameters, RegistryFormat, chunking_around, encode_format, format_body
from cas_registry.model.remap import RemapTable, encode_remap_table
from cas_registry.model.schema import Column, Schema
from cas_registry.model.signature import (
    Signature,
    decode_signature,
    encode_signature,
    encode_signed_refs,
    signed_payload,
    signing_key,
)
from cas_registry.model.tensors import ElementType
from cas_registry.model.tree import Mode, Tree, TreeEntry, encode_tree, make_tree
from cas_registry.operations.init import create_registry
from cas_registry.operations.ssh_keygen import sign
from cas_registry.operations.transfer import PackWriter, worker_pool
from cas_registry.registry import Registry, registry_over
from cas_registry.settings import Settings
from cas_registry.store import layout
from cas_registry.store.catalogue import first_entry
from cas_registry.store.objects import ObjectStore
from tests.support.ssh_keys import needs_ssh_keygen

DOCS = Path(__file__).parents[2] / "docs"
FORMAT, ARCHITECTURE = DOCS / "format.md", DOCS / "architecture.md"

REGISTRY = bytes(range(16)).hex()
NONCE = bytes(range(16, 32))
NOON_MS = 1_764_590_400_000  # 2025-12-01T12:00:00Z
HELLO = b"hello\n"
ZEROS = bytes(64)
ZEROS_STORED = bytes.fromhex("28b52ffd20404500001000000100930016")  # a zstd frame of ZEROS: not every version compresses alike
WEIGHTS = ZEROS + HELLO


# One small version: hello.txt and run (the same bytes), and sub/weights.bin, two chunks of which one is hello.txt's.


def _pack() -> tuple[PackInfo, bytes]:
    builder = PackBuilder(NONCE)
    builder.add(ChunkId.of(HELLO).digest, HELLO, raw_bytes=len(HELLO), codec=Codec.RAW)
    builder.add(ChunkId.of(ZEROS).digest, ZEROS_STORED, raw_bytes=len(ZEROS), codec=Codec.ZSTD)
    for file, parts in ((HELLO, [HELLO]), (WEIGHTS, [ZEROS, HELLO])):
        chunks = [ChunkId.of(part).digest for part in parts]
        builder.add_recipe(Recipe(FileId.of(file), len(file), len(chunks), 0, chunks))
    name, data = builder.finish()
    return PackInfo(name, len(data)), bytes(data)


def _located() -> tuple[Located, Located]:
    info, _ = _pack()
    hello = Placement(ChunkId.of(HELLO), 32, len(HELLO), len(HELLO), Codec.RAW)
    zeros = Placement(ChunkId.of(ZEROS), 32 + len(HELLO), len(ZEROS_STORED), len(ZEROS), Codec.ZSTD)
    return Located(info, hello), Located(info, zeros)


def _trees() -> tuple[Tree, Tree]:
    sub = make_tree([TreeEntry("weights.bin", Mode.FILE, len(WEIGHTS), FileId.of(WEIGHTS))])
    root = make_tree(
        [
            TreeEntry("hello.txt", Mode.FILE, len(HELLO), FileId.of(HELLO)),
            TreeEntry("run", Mode.EXECUTABLE, len(HELLO), FileId.of(HELLO)),
            TreeEntry("sub", Mode.FOLDER, sub.size_bytes, _tree_id(sub)),
        ]
    )
    return root, sub


def _tree_id(tree: Tree) -> TreeId:
    return TreeId.of(encode_tree(tree))


def _folder_map() -> bytes:
    hello, zeros = _located()
    builder = MapBuilder()
    builder.add_file(FileId.of(WEIGHTS), len(WEIGHTS), [zeros, hello], on_load=OnLoad.NO_PICKLE_FOUND)
    return builder.encode(NONCE)


def _root_map() -> bytes:
    root, sub = _trees()
    builder = MapBuilder(trees={_tree_id(root).digest: b"", _tree_id(sub).digest: encode_tree(sub)})
    builder.add_file(FileId.of(HELLO), len(HELLO), [_located()[0]], on_load=OnLoad.NO_PICKLE_FOUND)
    data = _folder_map()
    builder.refer(Covers.FOLDER, _tree_id(sub), Reference(MapName.of(data), len(data), OnLoad.NO_PICKLE_FOUND))
    return builder.encode(NONCE)


def _commit() -> bytes:
    return encode_commit(
        Commit(
            tree=_tree_id(_trees()[0]),
            parents=(),
            author="ada@example.org",
            time_ms=NOON_MS,
            message="first\n\nlr 1e-4",
            log="fraud",
            position=0,
            params={"epochs": 3, "lr": 1e-4},
            metrics={"auc": 0.93},
            labels={"owner": "risk"},
            framework={"torch": "2.13.0"},
            packages={"numpy": "2.4.0", "torch": "2.13.0"},
            environment={"cpus": 8, "python": "3.11.9"},
            code={"commit": "9fceb02d0ae598e95dc970b74767f19372d61af8", "dirty": False},
            inputs=(Input("train", uri="s3://data/2025-11", digest="sha256:00ff"),),
            schema=Schema((Column("amount", "double"),), (Column("score", "double"),)),
        )
    )


def _table(*, deleted: bool = False) -> RefTable:
    row = VersionRow(CommitId.of(_commit()), 1, 1, _tree_id(_trees()[0]), MapName.of(_root_map()))
    tags = {"prod": Ref(row, 2), "trial": Ref(None, 4)} if deleted else {}
    return RefTable({"main": Ref(row, 1)}, tags)


def _entry() -> bytes:
    return encode_entry(
        Entry(
            registry=REGISTRY,
            log="fraud",
            n=1,
            prev=None,
            nonce=NONCE.hex(),
            op=Operation.SET,
            time_ms=NOON_MS,
            who="ada@example.org",
            why="first",
            refs=_table(),
            commit=CommitId.of(_commit()),
            tree=_tree_id(_trees()[0]),
            map=MapName.of(_root_map()),
            versions=1,
            stats=CommitStats(3, 82, 70, len(_pack()[1])),
        )
    )


@cache
def _signature() -> bytes:
    """By a key that is of no use but for this example; ed25519 gives the same signature each time."""
    identity, made = entry.decode_entry(_entry())
    with tempfile.TemporaryDirectory() as scratch:
        key = Path(scratch) / "key"
        key.write_bytes((Path(__file__).parent / "example_key").read_bytes())
        key.chmod(0o600)  # ssh-keygen takes no key that others may read, as git's are
        armour = sign(signed_payload(made, _table()), key)
    return encode_signature(Signature(REGISTRY, "fraud", 1, identity, signing_key(armour), armour, NOON_MS))


def _note_entry() -> bytes:
    identity, made = entry.decode_entry(_entry())
    said = Note(CommitId.of(_commit()), {"reviewed": True}, {"drift": 0.02}, tag="prod", approved=True)
    return encode_entry(
        replace(
            made, n=2, prev=identity, op=Operation.NOTE, who="eve@example.org", why="looks right", note=said, notes=1, commit=None, tree=None,
            map=None, stats=None,
        )
    )  # fmt: skip


def _release_entry() -> bytes:
    made = Entry(REGISTRY, "release:prod", 1, None, NONCE.hex(), Operation.SET, NOON_MS, "ada@example.org", "first release")
    return encode_entry(replace(made, release={"fraud": ReleaseRow(CommitId.of(_commit()), 1, 1, _tree_id(_trees()[0]))}))


def _remap_table() -> bytes:
    return encode_remap_table(RemapTable({1: MapName.of(_root_map()), 3: MapName.of(_folder_map()), 4: None}))


def _condemned() -> bytes:
    maps, packs = frozenset({MapName.of(_folder_map())}), frozenset({_pack()[0].name})
    record = Condemned(REGISTRY, 1, maps, packs, 727, NOON_MS, "ada@example.org")
    return encode_condemned(record, kind="condemned")


def _format() -> RegistryFormat:
    return RegistryFormat(REGISTRY, NOON_MS, chunking_around(registry_format.DEFAULT_CHUNK_BYTES))


def _catalogue_entry() -> bytes:
    made = first_entry(REGISTRY, format_body(_format()), time_ms=NOON_MS, who="ada@example.org")
    return encode_entry(Entry(**{name: getattr(made, name) for name in Entry.__slots__} | {"nonce": NONCE.hex()}))


# The text of each example.


def _text(data: bytes) -> str:
    return data.decode("utf-8")


def _named(kind: type[ObjectId], data: bytes) -> str:
    return f"{data.decode('utf-8')}\n\n{kind.kind} {kind.of(data).hex}, {len(data)} bytes"


def _sealed(kind: type[ObjectId], data: bytes) -> str:
    identity, _ = canonical.unseal(data, kind)
    return f"{data.decode('utf-8')}\n\n{kind.kind} {identity.hex}, {len(data)} bytes with the seal"


def _ids_example() -> str:
    kinds = [
        FileId,
        ChunkId,
        PackName,
        MapName,
        TreeId,
        CommitId,
        RefTableId,
        RemapId,
        CollectionId,
        EntryId,
        SignatureId,
        SignedRefsId,
        FormatId,
    ]
    return "\n".join(f"{kind.kind:<13}{kind.context or '-':<29}{kind.of(HELLO).hex}" for kind in kinds)


def _keys_example() -> str:
    file, tree = FileId.of(HELLO), _tree_id(_trees()[0])
    keys = [
        layout.FORMAT_KEY,
        layout.entry_key(entry.CATALOGUE, 1),
        layout.hint_key(entry.CATALOGUE),
        layout.entry_key("fraud", 1),
        layout.hint_key("fraud"),
        layout.entry_key("release:prod", 1),
        layout.hint_key("release:prod"),
        layout.object_key(CommitId.of(_commit())),
        layout.object_key(tree),
        layout.object_key(RefTableId.of(encode_ref_table(_table(deleted=True)))),
        layout.object_key(RemapId.of(_remap_table())),
        layout.object_key(MapName.of(_root_map())),
        layout.object_key(_pack()[0].name),
        layout.file_hint_key(file),
        layout.collection_key(1, "condemned"),
        layout.signature_key(entry.decode_entry(_entry())[0], decode_signature(_signature()).key),
        f"{layout.QUARANTINE}{layout.object_key(tree)}",
    ]
    return "\n".join(keys)


def _canonical_example() -> str:
    values: list[canonical.Json] = [
        {"b": 1, "a": [True, None, -7], "B": ""},
        {"é": 1, "z": 2, "𝛼": 3, "\uffee": 4},
        {"text": 'a "quoted" \\ line\n\ttab \x01 / é 𝛼'},
    ]
    return "\n".join(_text(canonical.encode(value)) for value in values)


def _scalars_example() -> str:
    values = [1.0, 0.1, -0.0, 1e-4, 1e-5, 123456789012345.0, 1e16, 5e-324, float("inf"), float("nan")]
    encoded = encode_scalars({str(number): value for number, value in enumerate(values)}, what="param")
    return "\n".join(json.dumps(value, separators=(",", ":")) for value in encoded.values())


def _hint_example() -> str:
    data = _root_map()
    return f"{MapName.of(data).hex} {len(data)}"


def _fastcdc_example() -> str:
    parameters = ChunkingParameters(1024, 4096, 16384)
    data = blake3.blake3(b"cas_registry fastcdc").digest(length=65536)
    lengths = [len(piece) for batch in ContentDefinedChunker(parameters).cut([data]) for piece in batch]
    assert sum(lengths) == len(data)
    gear = blake3.blake3(struct.pack("<256Q", *GEAR)).hexdigest()
    return (
        f"gear table  {GEAR[0]:#018x} … {GEAR[255]:#018x}, BLAKE3 of its 2048 bytes (u64, little-endian) {gear}\n"
        f"64 KiB      mask before the average {MASKS[17]:#018x}, after it {MASKS[15]:#018x}\n"
        f"4 KiB       mask before the average {MASKS[13]:#018x}, after it {MASKS[11]:#018x}\n"
        f"cuts        {' '.join(map(str, lengths))}"
    )


def _pack_dump() -> str:
    info, data = _pack()
    footer = decode_pack(data)
    lines = _Dump(data)
    lines.take("pack header")
    for placement in footer.placements:
        lines.blob(placement.stored_bytes, "a chunk's stored form")
    for _ in footer.placements:
        lines.take("chunk row")
    for recipe in footer.recipes:
        lines.take("recipe")
        for _ in recipe.chunks:
            lines.blob(32, "chunk id")
    lines.take("pack trailer")
    return f"{lines.text()}\n\npack {info.name.hex}, {len(data)} bytes"


def _map_dump() -> str:
    data = _root_map()
    decoded = decode_map(data)
    lines = _Dump(data)
    lines.take("map header")
    for _ in decoded.packs:
        lines.take("pack row")
    for _ in range(len(decoded)):
        lines.take("placement")
    for _ in decoded.files:
        lines.take("file")
    for _ in decoded.chunks:
        lines.blob(4, "number of a placement")
    for _ in decoded.trees:
        lines.take("attached")
    for _ in decoded.references:
        lines.take("reference")
    for attached in decoded.trees.values():
        if attached:
            lines.blob(len(attached), "an attached tree")
    return f"{lines.text()}\n\nmap {MapName.of(data).hex}, {len(data)} bytes"


class _Dump:
    """Cuts bytes into fields as the document's own layout tables say."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0
        self._lines: list[str] = []

    def take(self, name: str) -> None:
        for size, kind, field in layout_table(name):
            value = ""
            if kind.startswith("u"):
                number = int.from_bytes(self._data[self._position : self._position + size], "little")
                value = f" {number:#x}" if number == packs.NO_BASE else f" {number}"
            self.blob(size, f"{re.split('[:,;(]', field)[0].replace('`', '').strip()}{value}")

    def blob(self, size: int, meaning: str) -> None:
        data = self._data[self._position : self._position + size]
        self._lines.append(f"{self._position:04x}  {data.hex():<64}  {meaning}")
        self._position += size

    def text(self) -> str:
        assert self._position == len(self._data)
        return "\n".join(self._lines)


# Traces of what the code asks of a store.


class Recorder:
    """Writes down every call to a store, `flush` included; names are shortened to what they are names of."""

    def __init__(self, inner: Backend) -> None:
        self._inner = inner
        self.lines: list[str] = []
        self.url = inner.url
        self.stat = inner.stat
        self.list = inner.list
        self.delete = inner.delete
        self.sweep = inner.sweep

    def get(self, key: str, *, start: int = 0, length: int) -> bytes:
        self._note("get", key)
        return self._inner.get(key, start=start, length=length)

    def get_many(self, keys: Sequence[str], *, length: int) -> list[bytes | None]:
        self._note("get", *keys)
        return self._inner.get_many(keys, length=length)

    def put(self, key: str, data: Data) -> None:
        self._note("put", key)
        self._inner.put(key, data)

    def create(self, key: str, data: Data) -> None:
        self._note("create", key)
        self._inner.create(key, data)

    def flush(self) -> None:
        self._note("flush", "")
        self._inner.flush()

    def text(self) -> str:
        lines, self.lines = self.lines, []
        return "\n".join(lines)

    def _note(self, method: str, *keys: str) -> None:
        shown = [re.sub(r"[0-9a-f]{64}", lambda match: f"<{_kind_of(match.string)}>", key) for key in keys]
        joined = [f"{name} × {count}" if count > 1 else name for name, count in _runs(shown)]
        self.lines.append(f"{method:<7}{'  '.join(joined)}".rstrip())


def _runs(items: Iterable[str]) -> Iterator[tuple[str, int]]:
    return ((item, len(list(equal))) for item, equal in groupby(items))


def _kind_of(key: str) -> str:
    return {"commits": "id", "trees": "id", "maps": "name", "packs": "name", "files": "file id"}[key.partition("/")[0]]


def _trace_init() -> str:
    backend = Recorder(MemoryBackend())
    create_registry(backend, time_ms=NOON_MS, who="ada")
    return "\n".join(line for line in backend.lines if " probe/" not in line)


@contextmanager
def _small_registry() -> Iterator[tuple[Recorder, Registry, Path]]:
    """A registry in memory and a folder of two small files and a big one, one of them in a subfolder."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        (folder / "sub").mkdir(parents=True)
        (folder / "config.json").write_bytes(b"{}")
        (folder / "sub" / "vocabulary.txt").write_bytes(HELLO)
        (folder / "model.bin").write_bytes(blake3.blake3(b"model").digest(length=1024 * 1024))
        backend = Recorder(MemoryBackend())
        create_registry(backend, time_ms=NOON_MS, who="ada")
        registry = registry_over(backend, Settings(author="ada", cache_folder=None, clock_ns=lambda: NOON_MS * 1_000_000))
        backend.text()
        yield backend, registry, folder


def _trace_first_commit() -> str:
    with _small_registry() as (backend, registry, folder):
        registry.model("fraud").commit(folder, message="first")
        return backend.text()


def _trace_next_commit() -> str:
    with _small_registry() as (backend, registry, folder):
        model = registry.model("fraud")
        model.commit(folder, message="first")
        (folder / "config.json").write_bytes(b"[]")
        backend.text()
        model.commit(folder, message="second")
        return backend.text()


def _trace_tag() -> str:
    with _small_registry() as (backend, registry, folder):
        model = registry.model("fraud")
        model.commit(folder, message="first")
        backend.text()
        model.tag("prod", "main", reason="beats v0")
        return backend.text()


def _trace_checkout() -> str:
    with _small_registry() as (backend, registry, folder):
        model = registry.model("fraud")
        model.commit(folder, message="first")
        model.tag("prod", "main")
        backend.text()
        model.checkout("prod", folder.parent / "out")
        return backend.text()


EXAMPLES: dict[str, Callable[[], str]] = {
    "keys": _keys_example,
    "ids": _ids_example,
    "canonical": _canonical_example,
    "scalars": _scalars_example,
    "format": lambda: _sealed(FormatId, encode_format(_format())),
    "catalogue entry": lambda: _sealed(EntryId, _catalogue_entry()),
    "log entry": lambda: _sealed(EntryId, _entry()),
    "note entry": lambda: _sealed(EntryId, _note_entry()),
    "release entry": lambda: _sealed(EntryId, _release_entry()),
    "signed entry": lambda: signed_payload(entry.decode_entry(_entry())[1], _table()).decode().replace("\0", "\\0"),
    "signed refs": lambda: _named(SignedRefsId, encode_signed_refs(_table())),
    "signature": lambda: _sealed(SignatureId, _signature()),
    "ref table": lambda: _named(RefTableId, encode_ref_table(_table(deleted=True))),
    "remap table": lambda: _named(RemapId, _remap_table()),
    "collection": lambda: _sealed(CollectionId, _condemned()),
    "commit": lambda: _named(CommitId, _commit()),
    "tree": lambda: "\n\n".join(_named(TreeId, encode_tree(tree)) for tree in _trees()),
    "pack": _pack_dump,
    "map": _map_dump,
    "file hint": _hint_example,
    "fastcdc": _fastcdc_example,
    "init": _trace_init,
    "first commit": _trace_first_commit,
    "next commit": _trace_next_commit,
    "tag": _trace_tag,
    "checkout": _trace_checkout,
}


# The documents: blocks and tables by their markers.

_BLOCK = re.compile(r"<!-- example: ([^>]+) -->\n```[a-z]*\n(.*?)\n?```\n", re.DOTALL)


def example_blocks() -> dict[str, str]:
    return {name: text for path in (FORMAT, ARCHITECTURE) for name, text in _BLOCK.findall(path.read_text(encoding="utf-8"))}


def table(marker: str) -> list[list[str]]:
    """The rows of the table after `<!-- marker -->`, without its head."""
    _, found, rest = FORMAT.read_text(encoding="utf-8").partition(f"<!-- {marker} -->\n")
    assert found, f"no table {marker!r} in format.md"
    lines = rest.lstrip("\n").splitlines()
    rows = lines[: next((number for number, line in enumerate(lines) if not line.startswith("|")), len(lines))]
    return [[cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows[2:]]


def layout_table(name: str) -> list[tuple[int, str, str]]:
    """(size, type, field) of each row of a layout, its offsets checked."""
    rows = table(f"layout: {name}")
    fields = [(int(size), kind, field) for _, size, kind, field in rows]
    offsets = [sum(size for size, _, _ in fields[:number]) for number in range(len(fields))]
    assert [int(row[0]) for row in rows] == offsets, f"the offsets of {name} do not add up"
    return fields


def write_examples() -> None:
    for path in (FORMAT, ARCHITECTURE):
        text = path.read_text(encoding="utf-8")
        text = _BLOCK.sub(lambda match: f"<!-- example: {match[1]} -->\n```text\n{EXAMPLES[match[1]]()}\n```\n", text)
        path.write_text(text, encoding="utf-8")


# The tests.


def test_the_documents_have_every_example_and_no_other() -> None:
    assert example_blocks().keys() == EXAMPLES.keys()


_SIGNED = ("keys", "signature")


@pytest.mark.parametrize("name", [pytest.param(name, marks=needs_ssh_keygen) if name in _SIGNED else name for name in EXAMPLES])
def test_example_is_what_the_code_produces(name: str) -> None:
    assert example_blocks()[name] == EXAMPLES[name]()


def test_the_examples_stored_form_is_a_zstd_frame_of_its_chunk() -> None:
    assert decode_chunk(Codec.ZSTD, ZEROS_STORED, len(ZEROS)) == ZEROS


def _cuts_by_the_page(data: bytes, low: int, average: int, high: int) -> Iterator[int]:
    """The lengths of the chunks as "Chunking" describes them."""
    bits = average.bit_length() - 1
    while data:
        end = min(len(data), high)
        looked_at = end // 2 * 2
        value, cut = 0, end
        for position in range(low, looked_at):
            value = (2 * value + GEAR[data[position]]) % 2**64
            if value & MASKS[bits + 1 if position < average else bits - 1] == 0:
                cut = position
                break
        yield cut
        data = data[cut:]


@pytest.mark.parametrize("size", [0, 1, 1024, 1025, 4095, 4097, 65_536, 100_001])
def test_the_page_describes_where_the_chunker_cuts(size: int) -> None:
    data = blake3.blake3(size.to_bytes(4, "little")).digest(length=size) if size else b""
    buffers = [data[start : start + 7000] for start in range(0, size, 7000)]
    chunker = ContentDefinedChunker(ChunkingParameters(1024, 4096, 16384))
    lengths = [len(piece) for batch in chunker.cut(buffers) for piece in batch]
    assert lengths == list(_cuts_by_the_page(data, 1024, 4096, 16384))


LAYOUTS = {
    "pack header": packs._HEADER,
    "chunk row": packs._CHUNK,
    "recipe": packs._RECIPE,
    "pack trailer": packs._TRAILER,
    "map header": maps._HEADER,
    "pack row": maps._PACK,
    "placement": maps._PLACEMENT,
    "file": maps._FILE,
    "attached": maps._ATTACHED,
    "reference": maps._REFERENCE,
}
_STRUCT_CODES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q"}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_table_is_the_structure_that_the_code_packs(name: str) -> None:
    fields = layout_table(name)
    for size, kind, _ in fields:
        assert kind in {"bytes", "zero"} or size == struct.calcsize(_STRUCT_CODES[kind])
    described = "".join(
        f"{size}s" if kind == "bytes" else f"{size}x" if kind == "zero" else _STRUCT_CODES[kind] for size, kind, _ in fields
    )
    code = LAYOUTS[name].format
    expanded = re.sub(r"(\d+)([BHIQ])", lambda match: match[2] * int(match[1]), code.removeprefix("<"))
    assert code.startswith("<")
    assert described == expanded


def test_table_of_a_packs_parts_has_their_sizes() -> None:
    sizes = {part: int(size.split()[0]) for part, size in table("parts") if part not in {"stored chunks", "base id"}}
    assert sizes == {name: LAYOUTS[name].size for name in ("pack header", "chunk row", "recipe", "pack trailer")}


def test_a_pack_is_never_filled_beyond_its_size() -> None:
    objects = ObjectStore(MemoryBackend())
    pieces = [Piece(memoryview(blake3.blake3(number.to_bytes(4, "little")).digest(length=100)), 0) for number in range(100)]
    with worker_pool() as pool:
        for pack_bytes in range(2000, 2300, 10):  # a chunk with its recipe takes 236 bytes
            writer = PackWriter(objects, pool, pack_bytes=pack_bytes, known=lambda _: False)
            for piece in writer.encode(pieces, [None] * len(pieces)):
                writer.add(piece)
                writer.add_recipe(FileId(piece.digest), piece.raw_bytes, [piece.digest])
            writer.finish()
            assert all(pack_bytes - 236 < pack.size_bytes <= pack_bytes for pack in writer.packs[:-1])


def test_table_of_elements_is_the_codes_own() -> None:
    rows = [(int(code), name.strip("`"), int(width)) for code, name, width in table("elements")]
    assert rows == [(int(element), element.name, element.width) for element in ElementType]


def test_table_of_marks_is_the_codes_own() -> None:
    assert [int(number) for number, _ in table("marks")] == [int(mark) for mark in OnLoad]
    assert table("marks")[OnLoad.NO_PICKLE_FOUND][1] == "no pickle found"


def _object_fields() -> dict[str, Iterable[str]]:
    common = ("v", "kind")
    return {
        "format": (*common, *registry_format._FIELDS),
        "entry": (*common, *entry._FIELDS),
        "ref table": (*common, "table"),
        "remap table": (*common, "maps"),
        "note": note._FIELDS,
        "policy": keep._FIELDS,
        "rule": rules._FIELDS,
        "input": inputs._FIELDS,
        "condemned": (*common, *collection._LIST_FIELDS),
        "signature": (*common, *signature._FIELDS),
        "signed entry": json.loads(signed_payload(entry.decode_entry(_entry())[1], _table())[len(signature.PAYLOAD_MAGIC) :]),
        "commit": (*common, *commit._FIELDS),
        "tree": json.loads(encode_tree(_trees()[0])),
    }


@pytest.mark.parametrize("name", _object_fields())
def test_table_of_fields_names_every_field_and_no_other(name: str) -> None:
    assert sorted(field for row in table(f"fields: {name}") for field in re.findall("`(\\w+)`", row[0])) == sorted(
        _object_fields()[name]
    )


_UNITS = {"": 1, "bytes": 1, "KiB": 1024, "MiB": 1024**2, "s": 1}


def _limits() -> list[tuple[str, str, str]]:
    return [(*row[:2], row[2].strip("`")) for marker in ("limits", "choices") for row in table(marker)]


@pytest.mark.parametrize(("what", "value", "constant"), _limits())
def test_limit_is_the_constant(what: str, value: str, constant: str) -> None:
    module, _, name = constant.rpartition(".")
    actual = getattr(import_module(f"cas_registry.{module}"), name)
    power = re.fullmatch(r"(\d+)\^(\d+) − 1", value)
    if power:
        assert int(power[1]) ** int(power[2]) - 1 == actual
        return
    number, _, unit = value.partition(" ")
    assert float(number.replace(",", "")) * _UNITS[unit] == actual


@pytest.mark.parametrize(
    "module",
    [
        "canonical",
        "collection",
        "commit",
        "entry",
        "inputs",
        "keep",
        "names",
        "packs",
        "placement",
        "registry_format",
        "remap",
        "rules",
        "schema",
        "signature",
        "tree",
    ],
)
def test_every_limit_of_the_model_is_in_a_table(module: str) -> None:
    documented = {constant.rpartition(".")[2] for _, _, constant in _limits()}
    assert {name for name in vars(import_module(f"cas_registry.model.{module}")) if name.startswith("MAX_")} <= documented


_CHECKS: dict[str, Callable[[str], object]] = {
    "component": names.check_component,
    "path": names.check_path,
    "ref": names.check_ref,
    "model": names.check_model,
}


def _name_examples() -> list[tuple[str, str, str]]:
    return [
        (kind, verdict, json.loads(f'"{name}"'))
        for kind, accepted, refused in table("names")
        for verdict, cell in (("accepted", accepted), ("refused", refused))
        for name in re.findall(r"`([^`]+)`", cell)
    ]


@pytest.mark.parametrize(("kind", "verdict", "name"), _name_examples())
def test_name_is_accepted_or_refused_as_the_table_says(kind: str, verdict: str, name: str) -> None:
    if verdict == "accepted":
        _CHECKS[kind](name)
        return
    with pytest.raises(HostileNameError):
        _CHECKS[kind](name)


def test_a_spilled_table_is_durable_before_the_entry_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cas_registry.store.refs.MAX_INLINE_TABLE_BYTES", 0)
    with _small_registry() as (backend, registry, folder):
        registry.model("fraud").commit(folder)
        lines = backend.lines
    creates = [number for number, line in enumerate(lines) if line.startswith("create")]
    entry_at = next(number for number in creates if lines[number] == "create refs/fraud/0000000001")
    before = [number for number in creates if number < entry_at]
    assert lines[before[-1]] == "create trees/<id>"
    assert "flush" in lines[before[-1] : entry_at]


def test_a_branch_or_tag_resolves_in_three_reads_however_long_its_log() -> None:
    with _small_registry() as (backend, registry, folder):
        model = registry.model("fraud")
        model.commit(folder)
        for number in range(20):
            model.tag(f"t{number}", "main")
        backend.text()
        model.resolve("main")
        assert len([key for line in backend.lines for key in line.split()[1:]]) <= 3


def test_every_file_that_the_architecture_names_is_there() -> None:
    root = DOCS.parent / "cas_registry"
    named = set(re.findall(r"`([a-z_]+(?:/[a-z_]+)*(?:\.py|/))`", ARCHITECTURE.read_text(encoding="utf-8")))
    assert len(named) > 20
    assert [name for name in sorted(named) if not (root / name).exists()] == []


if __name__ == "__main__":
    write_examples()
