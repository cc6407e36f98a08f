"""Values of the format for hypothesis, example values as fuzzing seeds, and mutations of their encodings.

The mutations take a seeded `random.Random`, so that a failing input is found again from its number alone. Those of sealed
and hashed encodings repair the seal or the hash afterwards: the damage is meant to get past it.
"""

import copy
import json
import random
import re
import struct
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import blake3
from hypothesis import strategies as st

from cas_registry.errors import HostileNameError
from cas_registry.model import maps, packs
from cas_registry.model.canonical import MAX_INTEGER, seal
from cas_registry.model.collection import Condemned
from cas_registry.model.commit import Commit
from cas_registry.model.entry import (
    CATALOGUE,
    MAX_ENTRY_NUMBER,
    MAX_EPOCH,
    CommitStats,
    Entry,
    ModelRow,
    Operation,
    Ref,
    RefTable,
    ReleaseRow,
    VersionRow,
)
from cas_registry.model.ids import ChunkId, CommitId, EntryId, FileId, MapName, ObjectId, PackName, RefTableId, RemapId, TreeId
from cas_registry.model.inputs import Input
from cas_registry.model.keep import EVERY_MODEL, MAX_COUNT, Best, Keep
from cas_registry.model.maps import Covers, Located, MapBuilder, PackInfo, Reference
from cas_registry.model.names import RELEASE, check_model, check_ref, fold, is_component
from cas_registry.model.note import Note
from cas_registry.model.on_load import OnLoad
from cas_registry.model.packs import HEADER_BYTES, NONCE_BYTES, PackBuilder, Recipe
from cas_registry.model.placement import MAX_EXPANSION, Codec, Placement
from cas_registry.model.registry_format import (
    DEFAULT_CHUNK_BYTES,
    MAX_AVG_BYTES,
    MAX_CHUNK_BYTES,
    MAX_MIN_BYTES,
    MAX_PACK_BYTES,
    ChunkingParameters,
    RegistryFormat,
    chunking_around,
)
from cas_registry.model.rules import MAX_APPROVALS, TagRule
from cas_registry.model.schema import Column, Schema
from cas_registry.model.tensors import ElementType
from cas_registry.model.tree import Mode, Tree, TreeEntry, make_tree

IdT = TypeVar("IdT", bound=ObjectId)
Mutation = Callable[[random.Random, bytes], bytes]

ORDINARY_NAMES = (
    "model.safetensors",
    "model-00001-of-00002.safetensors",
    "config.json",
    "v1.4",
    "README",
    ".gitattributes",
    ".gitignore",
    "..double",
    "a..b",
    "my model (final).pt",
    "weights_ema+fp16,step=1000.bin",
    "it's & that#1!.txt",
    "50%",
    "-leading-dash",
    "_",
    "0",
    "console.log",
    "common.py",
    "com.txt",
    "nullable",
    "auxiliary.bin",
    "backup~",
    "x~y",
    "naïve-café.onnx",
    "模型.bin",
    "модель-v2",
    "モデル",
    "🤗.json",
    "ΜΟΝΤΈΛΟ",
    "straße",
    "x" * 255,
    "é" * 127,
)


# Strategies


def ids(kind: type[IdT]) -> st.SearchStrategy[IdT]:
    return st.binary(min_size=32, max_size=32).map(kind)


def any_names(max_size: int = 40) -> st.SearchStrategy[str]:
    """Strings that look like names, accepted or not: surrogates, marks, separators and devices included."""
    pieces = st.one_of(
        st.characters(),
        st.sampled_from([".", " ", "/", "~1", "\u0301", "\u0345", "\u200d", "\u202e", "\ud800", "\x00", "ſ", "K", "İ", "ß"]),
        st.sampled_from(["CON", "nul", "COM¹", "git", "A", "a", "-", "@", "{", "$"]),
    )
    return st.lists(pieces, max_size=max_size).map("".join) | st.text(alphabet="aAéÉ. ~1-", max_size=8)


def names(max_size: int = 30) -> st.SearchStrategy[str]:
    """Components that the grammar accepts."""
    characters = st.characters(
        exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp"), exclude_characters='/\\:*?"<>|', max_codepoint=0x1FFFF
    )
    drawn = st.text(characters, min_size=1, max_size=max_size).map(_nfc).filter(is_component)
    return st.sampled_from(ORDINARY_NAMES) | drawn


def ref_names() -> st.SearchStrategy[str]:
    """Branches and tags."""
    parts = st.lists(names(12), min_size=1, max_size=3).map("/".join)
    ordinary = st.sampled_from(["main", "prod", "env/prod", "v1.4", "team/a/b", "deadbeef", "0"])
    return (ordinary | parts).filter(lambda name: _accepted(check_ref, name))


def model_names() -> st.SearchStrategy[str]:
    ordinary = st.sampled_from(["fraud-detector", "llama-3.1-8b", "bert base", "Modell_ä"])
    return (ordinary | names(20)).filter(lambda name: _accepted(check_model, name))


def stored_texts(max_size: int = 40) -> st.SearchStrategy[str]:
    """Any text that UTF-8 can hold."""
    return st.text(max_size=max_size)


def counts(maximum: int = MAX_INTEGER) -> st.SearchStrategy[int]:
    return st.integers(0, maximum)


def scalars() -> st.SearchStrategy[Any]:
    return st.one_of(
        st.none(), st.booleans(), st.integers(-MAX_INTEGER, MAX_INTEGER), st.floats(allow_nan=False), stored_texts(20)
    )


def scalar_tables() -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.text(min_size=1, max_size=20), scalars(), max_size=5)


@st.composite
def tree_entries(draw: st.DrawFn, name: st.SearchStrategy[str] | None = None) -> TreeEntry:
    mode = draw(st.sampled_from(Mode))
    identity = draw(ids(TreeId) if mode is Mode.FOLDER else ids(FileId))
    return TreeEntry(draw(name or names()), mode, draw(counts(2**40)), identity)


def trees(max_size: int = 8) -> st.SearchStrategy[Tree]:
    rows = st.lists(tree_entries(), max_size=max_size, unique_by=lambda entry: fold(entry.name))
    return rows.map(make_tree)


def commits() -> st.SearchStrategy[Commit]:
    return st.builds(
        Commit,
        tree=ids(TreeId),
        parents=st.lists(ids(CommitId), max_size=3).map(tuple),
        author=stored_texts(),
        time_ms=counts(),
        message=stored_texts(),
        log=model_names(),
        position=counts(),
        params=scalar_tables(),
        metrics=scalar_tables(),
        labels=scalar_tables(),
        framework=scalar_tables(),
        packages=scalar_tables(),
        environment=scalar_tables(),
        code=scalar_tables(),
        inputs=st.lists(inputs(), max_size=3).map(tuple),
        schema=st.none() | schemas(),
    )


def inputs() -> st.SearchStrategy[Input]:
    """What versions are made from: things elsewhere, and versions of models."""
    named = st.text(min_size=1, max_size=20)
    elsewhere = st.builds(Input, named, uri=stored_texts(), digest=st.none() | stored_texts())
    return elsewhere | st.builds(Input, named, model=model_names(), commit=ids(CommitId))


def schemas() -> st.SearchStrategy[Schema]:
    shapes = st.none() | st.lists(st.none() | counts(), max_size=3).map(tuple)
    columns = st.lists(st.builds(Column, st.none() | stored_texts(), stored_texts(), shapes), max_size=3).map(tuple)
    return st.builds(Schema, columns, columns, columns)


def notes() -> st.SearchStrategy[Note]:
    said = st.builds(Note, ids(CommitId), scalar_tables(), scalar_tables())
    return said | st.builds(Note, ids(CommitId), scalar_tables(), scalar_tables(), ref_names(), st.booleans())


def tag_rules() -> st.SearchStrategy[dict[str, TagRule]]:
    texts = st.lists(stored_texts(), max_size=2).map(tuple)
    rules = st.builds(
        TagRule,
        texts,
        counts(MAX_APPROVALS),
        texts,
        st.none() | stored_texts(),
        texts,
        st.lists(ref_names(), max_size=2).map(tuple),
    )
    return st.dictionaries(ref_names() | st.just("env/*"), rules, min_size=1, max_size=2)


def refs() -> st.SearchStrategy[Ref]:
    rows = st.builds(VersionRow, ids(CommitId), counts(MAX_ENTRY_NUMBER), counts(MAX_ENTRY_NUMBER), ids(TreeId), ids(MapName))
    return st.builds(Ref, st.none() | rows, counts(MAX_ENTRY_NUMBER))


def ref_tables(max_size: int = 4) -> st.SearchStrategy[RefTable]:
    rows = st.dictionaries(ref_names(), refs(), max_size=max_size)
    return st.builds(RefTable, rows, rows)


def keeps() -> st.SearchStrategy[Keep]:
    """Retention policies, those without a rule too."""
    limits = st.none() | counts(MAX_COUNT)
    best = st.builds(Best, stored_texts(), counts(MAX_COUNT), st.booleans())
    return st.builds(Keep, limits, limits, st.booleans(), st.lists(best, max_size=3).map(tuple))


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """Entries of the logs of models and releases, and of the catalogue."""
    kind = draw(st.sampled_from(["model", "catalogue", "release"]))
    in_model, in_catalogue = kind == "model", kind == "catalogue"
    n = draw(st.integers(1, MAX_ENTRY_NUMBER))
    rows = st.builds(ModelRow, counts(MAX_ENTRY_NUMBER), st.booleans())
    released = st.builds(ReleaseRow, ids(CommitId), counts(MAX_ENTRY_NUMBER), counts(MAX_ENTRY_NUMBER), ids(TreeId))
    introduces = in_model and draw(st.booleans())
    remaps = in_model and not introduces and draw(st.booleans())
    seen = draw(st.just(0) | counts(MAX_EPOCH))
    operations = [Operation.REMAP] if remaps else [Operation.SET]
    operations += [] if introduces else [Operation.RETIRE, *([Operation.BARRIER] if seen else [])]
    operations += [Operation.NOTE] if in_model and not introduces else []
    operation = draw(st.sampled_from(operations))
    name = draw(model_names())
    return Entry(
        registry=draw(_hex_digits(32)),
        log={"model": name, "catalogue": CATALOGUE, "release": f"{RELEASE}{name}"}[kind],
        n=n,
        prev=None if n == 1 else draw(ids(EntryId)),
        nonce=draw(_hex_digits(32)),
        op=operation,
        time_ms=draw(counts()),
        who=draw(stored_texts()),
        why=draw(stored_texts()),
        refs=draw(ref_tables() | ids(RefTableId)) if in_model else None,
        models=draw(st.dictionaries(model_names(), rows, max_size=3)) if in_catalogue else None,
        format=draw(st.none() | stored_texts()),
        commit=draw(ids(CommitId)) if introduces else None,
        tree=draw(ids(TreeId)) if introduces else None,
        map=draw(ids(MapName)) if introduces else None,
        versions=draw(counts()),
        remap=draw(ids(RemapId)) if remaps else draw(st.none() | ids(RemapId)) if in_model else None,
        note=draw(notes()) if operation is Operation.NOTE else None,
        notes=draw(counts(MAX_ENTRY_NUMBER)),
        keep=draw(st.none() | st.dictionaries(st.just(EVERY_MODEL) | model_names(), keeps(), max_size=2))
        if in_catalogue
        else None,
        rules=draw(st.none() | st.dictionaries(st.just(EVERY_MODEL) | model_names(), tag_rules(), max_size=2))
        if in_catalogue
        else None,
        releases=draw(st.none() | st.dictionaries(model_names(), rows, max_size=2)) if in_catalogue else None,
        release=draw(st.dictionaries(model_names(), released, max_size=3)) if kind == "release" else None,
        gc_seen=seen,
        gc_settled=draw(st.integers(0, seen)),
        stats=draw(st.none() | st.builds(CommitStats, counts(), counts(), counts(), counts())),
    )


@st.composite
def chunking_parameters(draw: st.DrawFn) -> ChunkingParameters:
    avg_bytes = draw(st.integers(256, MAX_AVG_BYTES))
    min_bytes = draw(st.integers(64, min(avg_bytes, MAX_MIN_BYTES)))
    return ChunkingParameters(min_bytes, avg_bytes, draw(st.integers(max(avg_bytes, 1024), MAX_CHUNK_BYTES)))


def formats() -> st.SearchStrategy[RegistryFormat]:
    return st.builds(
        RegistryFormat,
        registry=_hex_digits(32),
        created_ms=counts(),
        chunking=chunking_parameters(),
        pack_bytes=st.integers(MAX_CHUNK_BYTES, MAX_PACK_BYTES),
        single_writer=st.booleans(),
    )


@st.composite
def placements(draw: st.DrawFn, pack_bytes: int = MAX_PACK_BYTES) -> Placement:
    """Placements within the limits, inside a pack of that size."""
    stored = draw(st.integers(1, min(pack_bytes, MAX_CHUNK_BYTES)))
    codec = draw(st.sampled_from([codec for codec in Codec if codec is not Codec.DELTA]))
    raw = stored if codec is Codec.RAW else draw(st.integers(1, min(MAX_CHUNK_BYTES, stored * MAX_EXPANSION)))
    return Placement(
        draw(ids(ChunkId)), draw(st.integers(0, pack_bytes - stored)), stored, raw, codec, draw(st.sampled_from(ElementType))
    )


@st.composite
def located_chunks(draw: st.DrawFn) -> Located:
    pack = PackInfo(draw(ids(PackName)), draw(st.integers(1, MAX_PACK_BYTES)))
    placement = draw(placements(pack.size_bytes))
    if placement.codec is Codec.RAW or draw(st.booleans()):
        return Located(pack, placement)
    base = Located(pack, draw(placements(pack.size_bytes)))
    delta = replace(placement, codec=Codec.DELTA, base=base.placement.chunk)
    return Located(pack, delta, base, draw(st.integers(0, 2**16 - 1)), draw(st.integers(0, 2**32 - 1)))


@st.composite
def map_builders(draw: st.DrawFn) -> MapBuilder:
    """Maps whose files share chunks and repeat them."""
    pool = draw(st.lists(located_chunks(), min_size=1, max_size=5))
    builder = MapBuilder()
    for file in draw(st.lists(ids(FileId), max_size=5, unique=True)):
        chunks = draw(st.lists(st.sampled_from(pool), max_size=6))
        mark = draw(st.sampled_from(OnLoad))
        builder.add_file(file, sum(chunk.placement.raw_bytes for chunk in chunks), chunks, on_load=mark)
        if draw(st.booleans()):
            builder.add_index(file, draw(st.binary(max_size=20)))
    builder.trees.update(
        {
            identity.digest: attached
            for identity, attached in draw(st.lists(st.tuples(ids(TreeId), st.binary(max_size=20)), max_size=3))
        }
    )
    sizes = st.integers(56, 64 * 1024 * 1024)
    for key, name, size_bytes in draw(st.lists(st.tuples(ids(FileId) | ids(TreeId), ids(MapName), sizes), max_size=4)):
        builder.refer(
            Covers.FOLDER if isinstance(key, TreeId) else Covers.FILE,
            key,
            Reference(name, size_bytes, draw(st.sampled_from(OnLoad))),
        )
    return builder


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    digests = draw(st.lists(st.binary(min_size=32, max_size=32), max_size=4).map(tuple))
    first = draw(st.integers(0, 1000))
    total = first + len(digests) + draw(st.integers(0, 1000))
    return Recipe(draw(ids(FileId)), draw(counts()), total, first, digests)


# Examples: one plain value of each kind, in which every field is filled


def example_trees() -> list[Tree]:
    return [
        make_tree(
            [
                TreeEntry("model.safetensors", Mode.FILE, 5_000_000_000, FileId.of(b"weights")),
                TreeEntry("run.sh", Mode.EXECUTABLE, 12, FileId.of(b"run")),
                TreeEntry("tokenizer", Mode.FOLDER, 700, TreeId.of(b"tokenizer")),
                TreeEntry("模型.bin", Mode.FILE, 0, FileId.of(b"")),
            ]
        ),
        make_tree([]),
    ]


def example_commits() -> list[Commit]:
    return [
        Commit(
            tree=TreeId.of(b"tree"),
            parents=(CommitId.of(b"parent"), CommitId.of(b"other")),
            author="Ada <ada@example.org>",
            time_ms=1_793_491_200_123,
            message="first\n\n“quoted”\t\x01",
            log="fraud-detector",
            position=7,
            params={"lr": 1e-4, "layers": 12, "frozen": True, "note": "a", "none": None},
            metrics={"auc": 0.99, "loss": float("inf")},
            framework={"torch": "2.9"},
            labels={"owner": "risk", "reviewed": True},
            packages={"numpy": "2.4.0", "torch": "2.13.0"},
            environment={"python": "3.11.9", "cpus": 8},
            code={"commit": "9" * 40, "dirty": False},
            inputs=(
                Input("train", uri="s3://data/2025-11.parquet", digest="blake3:00ff"),
                Input("rows", uri="file:data.csv"),
                Input("base", model="bert", commit=CommitId.of(b"bert")),
            ),
            schema=Schema((Column("amount", "double"), Column(None, "float32", (None, 3))), (Column("score", "double"),)),
        ),
        Commit(TreeId.of(b"tree"), (), "", 0, "", "m", 0),
    ]


def example_version(name: bytes, number: int) -> VersionRow:
    """The row of a version called so, introduced by the entry of that number."""
    return VersionRow(CommitId.of(name), number, number, TreeId.of(name), MapName.of(name))


def example_ref_tables() -> list[RefTable]:
    first, second = example_version(b"first", 1), example_version(b"second", 2)
    return [
        RefTable({"main": Ref(second, 2), "old": Ref(None, 3)}, {"v1.4": Ref(first, 1), "env/prod": Ref(first, 4)}),
        RefTable(),
    ]


def example_entries() -> list[Entry]:
    table = example_ref_tables()[0]
    plain = Entry("0" * 31 + "a", "fraud", 1, None, "b" * 32, Operation.SET, 1_793_491_200_123, "ada", "", refs=table)
    full = Entry(
        plain.registry, plain.log, 2, EntryId.of(b"1"), "c" * 32, Operation.SET, 5, "ada", "because", table,
        commit=CommitId.of(b"c"), tree=TreeId.of(b"t"), map=MapName.of(b"m"), versions=2, remap=RemapId.of(b"r"), gc_seen=3,
        stats=CommitStats(4, 5_000, 300, 20),
    )  # fmt: skip
    spilled = Entry(
        plain.registry,
        plain.log,
        3,
        EntryId.of(b"2"),
        "d" * 32,
        Operation.BARRIER,
        6,
        "",
        "",
        RefTableId.of(b"table"),
        gc_seen=4,
        gc_settled=3,
    )
    catalogue = Entry(
        plain.registry, CATALOGUE, 1, None, "e" * 32, Operation.RETIRE, 7, "ada", "old",
        models={"fraud": ModelRow(2), "gone": ModelRow(1, retired=True)}, format='{"kind":"format"}',
        keep={EVERY_MODEL: Keep(20, 90, True, (Best("auc", 5),)), "fraud": Keep(best=(Best("loss", 1, smallest=True),))},
    )  # fmt: skip
    remapped = Entry(
        plain.registry,
        plain.log,
        4,
        EntryId.of(b"3"),
        "f" * 32,
        Operation.REMAP,
        8,
        "ada",
        "repack",
        table,
        remap=RemapId.of(b"s"),
    )
    noted = replace(
        plain,
        n=5,
        prev=EntryId.of(b"4"),
        op=Operation.NOTE,
        note=Note(CommitId.of(b"c"), {"owner": "risk", "draft": None}, {"auc": 0.93}, tag="prod", approved=True),
        notes=1,
    )
    released = replace(
        plain, log="release:prod", refs=None, release={"fraud": ReleaseRow(CommitId.of(b"c"), 2, 2, TreeId.of(b"t"))}
    )
    rule = TagRule(("ada@*",), 2, ("*@example.org",), "metrics.auc >= 0.9", ("safe", "card"), ("staging",))
    ruled = replace(catalogue, rules={"*": {"env/*": rule}, "fraud": {"prod": rule}}, releases={"prod": ModelRow(7)})
    return [plain, full, spilled, remapped, catalogue, noted, released, ruled]


def condemned_lists() -> st.SearchStrategy[Condemned]:
    """What a collection condemned, or deletes."""
    return st.builds(
        Condemned, _hex_digits(32), st.integers(1, MAX_EPOCH), st.frozensets(ids(MapName), max_size=4),
        st.frozensets(ids(PackName), max_size=4), counts(), counts(), stored_texts(),
    )  # fmt: skip


def example_condemned() -> list[Condemned]:
    maps = frozenset(MapName.of(bytes([number])) for number in range(3))
    packs = frozenset(PackName.of(bytes([number])) for number in range(4))
    return [
        Condemned("0" * 32, 1, maps, packs, 5_000, 1_793_491_200_123, "ada"),
        Condemned("a" * 32, 7, frozenset(), frozenset(), 0, 0, ""),
    ]


def example_formats() -> list[RegistryFormat]:
    parameters = chunking_around(DEFAULT_CHUNK_BYTES)
    return [
        RegistryFormat("0123456789abcdef" * 2, 1_793_491_200_123, parameters),
        RegistryFormat("f" * 32, 0, parameters, MAX_PACK_BYTES, single_writer=True),
    ]


def example_pack() -> bytes:
    """Four chunks, one of them a delta; two recipes."""
    builder = PackBuilder(b"n" * NONCE_BYTES)
    digests = []
    for size, codec in ((10, Codec.RAW), (20, Codec.ZSTD), (30, Codec.RAW)):
        digests.append(ChunkId.of(bytes([size])).digest)
        raw = size if codec is Codec.RAW else 600
        builder.add(digests[-1], bytes([size]) * size, raw_bytes=raw, codec=codec, element=size % 20)
    builder.add(ChunkId.of(b"delta").digest, b"d" * 40, raw_bytes=900, codec=Codec.DELTA, element=13, base=digests[0])
    builder.add_recipe(Recipe(FileId.of(b"one"), 640, 3, 0, tuple(digests)))
    builder.add_recipe(Recipe(FileId.of(b"two"), 10_000, 9, 4, tuple(digests[:2])))
    return bytes(builder.finish()[1])


def example_map() -> bytes:
    """Two packs, four placements (a delta and its base), three files (one repeats a chunk, one is empty), two trees, two references, an index."""
    near, far = PackInfo(PackName.of(b"near"), 5_000), PackInfo(PackName.of(b"far"), MAX_PACK_BYTES)
    one = Located(near, Placement(ChunkId.of(b"1"), HEADER_BYTES, 100, 100, Codec.RAW))
    two = Located(near, Placement(ChunkId.of(b"2"), 200, 50, 4_000, Codec.ZSTD, ElementType.U8))
    base = Located(far, Placement(ChunkId.of(b"0"), 2_000, 5, 9, Codec.PLANES, ElementType.F32))
    delta = Placement(ChunkId.of(b"3"), 1_000, 1, 1, Codec.DELTA, ElementType.F32, base.placement.chunk)
    three = Located(far, delta, base, 3, 4_000)
    builder = MapBuilder()
    builder.add_file(FileId.of(b"a"), 8_100, (one, two, two), on_load=OnLoad.PICKLE)
    builder.add_file(FileId.of(b"b"), 4_001, (two, three))
    builder.add_file(FileId.of(b""), 0, ())
    builder.trees.update({TreeId.of(b"t").digest: b"", TreeId.of(b"u").digest: b"attached"})
    builder.add_index(FileId.of(b"a"), b"an index")
    builder.refer(Covers.FILE, FileId.of(b"big"), Reference(MapName.of(b"m"), 56, OnLoad.NO_PICKLE_FOUND))
    builder.refer(Covers.FOLDER, TreeId.of(b"t"), Reference(MapName.of(b"n"), 64 * 1024 * 1024))
    return builder.encode(b"n" * 16)


# Mutations

_HOSTILE_TOKENS = (
    b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"1.0", b"1.", b".5", b"-0", b"01", b"+1", b"0x10", b"-1", b"0", b"1",
    b"2", b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808", b"18446744073709551616", b"9" * 5_000,
    b"true", b"false", b"null", b"True", b"[]", b"{}", b"[[]]", b'{"a":1,"a":1}', b'""', b'"\\u0041"', b'"\\u000A"', b'"\\/"',
    b'"\\ud800"', b'"\xed\xa0\x80"', b'"\xff"', b"\xef\xbb\xbf", b'"\\u0000"', b'"\x00"', b" ", b"\n", b"\t", b",", b":", b"[",
    b"]", b"{", b"}", b'"', b"[" * 2_000, b'{"a":' * 2_000, b"'a'", b"//", b"\x00",
)  # fmt: skip
_HOSTILE_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, 2, -1, 255, 65_536, 2**31, 2**32, 10**10, 2**53 + 1, MAX_INTEGER, MAX_INTEGER + 1, -MAX_INTEGER - 1,
    2**64, 10**30, 1.0, 0.5, 1e308, float("nan"), float("inf"), "", "x", "a" * 256, "a" * 70_000, "0" * 64, "F" * 64, "f" * 63,
    "g" * 64, "0" * 32, "live", "retired", "tree", "file", "set", "none", "single", "catalogue", "HEAD", "refs", "nan", "1.0",
    "../x", "/etc", "a/b", "CON", "nul.txt", ".git", "-rf", "a@{1}", "x.", "e\u0301", "\u202etxt", "\x00", "\ud800", "\r", "\ufeff",
    [], {}, [[]], [None], {"": {}}, {"a": []}, ["live"], ["live", 1], ["dead", True], [1], [True], [1, "0" * 64, 1, 1, "0" * 64, "0" * 64],
    ["x", "file", 1, "0" * 64], {"float": "nan"}, {"float": "-0.0"}, {"float": "1"}, {"float": 1}, {"float": "1.0", "x": 1},
    {"branches": {}, "tags": {}}, {"branches": {"CON": [1]}, "tags": {}}, {"branches": [], "tags": {}},
    {"files": 1, "raw": 1, "new": 1, "stored": -1}, {"m": ["live", 1]}, {"m": [[], 1]}, {"m": [{}, 1]},
)  # fmt: skip
_HOSTILE_NUMBERS = (0, 1, 2, 3, 31, 32, 48, 255, 65_535, 2**24, 2**24 + 1, 2**27, 2**27 + 1, 2**31, 2**32 - 2, 2**32 - 1)
_MAP_COUNTS_AT = 24
_MAP_ROW_BYTES = (40, 60, 48, 4, 36, 80, 36, 1)  # packs, placements, files, chunks, trees, references, indexes, attached bytes
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9]+|true|false|null|[\[\]{},:]')


def mutate_bytes(rng: random.Random, data: bytes) -> bytes:
    """Flip, cut, extend, repeat, remove or overwrite; one to three times."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randrange(len(changed) + 1)
        span = rng.choice((1, 1, 2, 4, 8, 32, 56))
        match rng.randrange(7):
            case 0 if changed:
                changed[at - 1] ^= 1 << rng.randrange(8)
            case 1:
                del changed[at:]
            case 2:
                changed += rng.randbytes(span)
            case 3:
                changed[at:at] = changed[at : at + span]
            case 4:
                del changed[at : at + span]
            case 5:
                changed[at : at + span] = rng.randbytes(span)
            case _:
                changed[at : at + span] = rng.choice((b"\x00", b"\xff")) * span
    return bytes(changed)


def mutate_text(rng: random.Random, data: bytes) -> bytes:
    """Replace, insert, repeat, drop or change the case of one token of JSON text; what comes out may be no JSON at all."""
    token = rng.choice(list(_TOKEN.finditer(data)) or [re.compile(b"").match(data)])
    start, end = token.span()
    match rng.randrange(6):
        case 0 | 1:
            return data[:start] + rng.choice(_HOSTILE_TOKENS) + data[end:]
        case 2:
            return data[:start] + rng.choice(_HOSTILE_TOKENS) + data[start:]
        case 3:
            return data[:end] + b"," + data[start:end] + data[end:]
        case 4:
            return data[:start] + data[end:]
        case _:
            return data[:start] + data[start:end].swapcase() + data[end:]


def mutate_value(rng: random.Random, data: bytes) -> bytes:
    """Change what a JSON object says and write it canonically again: this gets past the check of the spelling."""
    holder = [json.loads(data)]
    for _ in range(rng.choice((1, 1, 1, 2))):
        slots = list(_slots(holder))
        container, key = rng.choice(slots)
        value = container[key]
        match rng.randrange(8):
            case 0 | 1 | 2:
                container[key] = copy.deepcopy(rng.choice(_HOSTILE_VALUES))
            case 3:
                container[key] = _nudged(rng, value)
            case 4 if container is not holder:
                del container[key]
            case 5:
                other, other_key = rng.choice(slots)
                container[key] = copy.deepcopy(other[other_key])
            case 6 if isinstance(container, dict):
                container[_nudged(rng, key) or ""] = value
            case _ if isinstance(value, list):
                value.extend(value[-1:])
                rng.shuffle(value)
            case _ if isinstance(value, dict):
                value[str(rng.choice(_HOSTILE_VALUES))] = copy.deepcopy(rng.choice(_HOSTILE_VALUES))
            case _:
                container[key] = [value]
    spelled = json.dumps(holder[0], ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return spelled.encode("utf-8", "surrogatepass")


def mutate_json(rng: random.Random, data: bytes) -> bytes:
    """One of the three above, mostly the one that keeps the spelling canonical."""
    return rng.choice((mutate_value, mutate_value, mutate_value, mutate_text, mutate_bytes))(rng, data)


def mutate_sealed(kind: type[ObjectId]) -> Mutation:
    """Mutations of a sealed object's body, sealed again but for one in ten."""

    def mutate(rng: random.Random, data: bytes) -> bytes:
        if rng.randrange(10) == 0:
            return mutate_bytes(rng, data)
        return seal(mutate_json(rng, data[65:]), kind)

    return mutate


def mutate_pack(rng: random.Random, data: bytes) -> bytes:
    """Mutations of a pack's footer and trailer, with the footer's hash and length repaired but for one in ten."""
    if rng.randrange(10) == 0:
        return mutate_bytes(rng, data)
    head, footer, trailer = split_pack(data)
    rows, recipe_rows, bases = struct.unpack_from("<III", trailer, 36)
    match rng.randrange(6):
        case 0:
            footer = mutate_bytes(rng, footer)
        case 1:
            rows = rng.choice((*_HOSTILE_NUMBERS, rows - 1, rows + 1))
        case 2:
            recipe_rows = rng.choice((*_HOSTILE_NUMBERS, recipe_rows - 1, recipe_rows + 1))
        case 3:
            footer = _with_number(rng, footer)
        case 4:
            bases = rng.choice((*_HOSTILE_NUMBERS, bases - 1, bases + 1))
        case _:
            start = rng.randrange(rows) * 52
            row = bytearray(footer[start : start + 52])
            struct.pack_into("<I", row, rng.choice((32, 36, 40, 44, 48)), rng.choice((*_HOSTILE_NUMBERS, len(head))))
            footer = footer[:start] + bytes(row) + footer[start + 52 :]
    return head + footer + sealed_trailer(footer, rows, recipe_rows, bases)


def mutate_map(rng: random.Random, data: bytes) -> bytes:
    """Mutations of a map's counts, rows and numbers; rows added or taken are mostly counted."""
    counted = list(struct.unpack_from("<8I", data, _MAP_COUNTS_AT))
    tables: list[list[bytes]] = []
    position = _MAP_COUNTS_AT + 4 * len(counted)
    for count, width in zip(counted, _MAP_ROW_BYTES, strict=True):
        tables.append([data[at : at + width] for at in range(position, position + count * width, width)])
        position += count * width
    which = rng.randrange(len(_MAP_ROW_BYTES))
    table, width = tables[which], _MAP_ROW_BYTES[which]
    at = rng.randrange(len(table))
    match rng.randrange(8):
        case 0:
            return mutate_bytes(rng, data)
        case 1:
            counted[which] = rng.choice((*_HOSTILE_NUMBERS, counted[which] + 1, counted[which] - 1))
            return data[:_MAP_COUNTS_AT] + struct.pack("<8I", *counted) + data[_MAP_COUNTS_AT + 4 * len(counted) :]
        case 2:
            del table[at]
        case 3:
            table.insert(rng.randrange(len(table) + 1), table[at])
        case 4:
            table[at], table[-1] = table[-1], table[at]
        case 5:
            table[at] = rng.randbytes(width)
        case _:
            table[at] = _with_number(rng, table[at]) if width > 1 else b"\xff"
    return data[:_MAP_COUNTS_AT] + struct.pack("<8I", *map(len, tables)) + b"".join(b"".join(rows) for rows in tables)


def split_pack(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Header and chunks, footer, trailer."""
    trailer = data[-packs.TRAILER_BYTES :]
    end = len(data) - packs.TRAILER_BYTES
    start = end - packs.footer_bytes(trailer, pack_bytes=len(data))
    return data[:start], data[start:end], trailer


def sealed_trailer(footer: bytes, rows: int, recipe_rows: int, bases: int = 0) -> bytes:
    """The trailer that makes any footer whole."""
    return struct.pack("<32sIIII8s", blake3.blake3(footer).digest(), len(footer), rows, recipe_rows, bases, packs.END_MAGIC)


def map_header(*counted: int) -> bytes:
    """A map's header with these eight counts."""
    return struct.pack("<8s16s8I", maps.MAGIC, bytes(16), *counted)


def _accepted(check: Callable[[str], object], name: str) -> bool:
    try:
        check(name)
    except HostileNameError:
        return False
    return True


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _hex_digits(length: int) -> st.SearchStrategy[str]:
    return st.text("0123456789abcdef", min_size=length, max_size=length)


def _slots(container: Any) -> Any:
    """Every place in nested lists and objects, as (container, key)."""
    for key in list(container) if isinstance(container, dict) else range(len(container)):
        yield container, key
        if isinstance(container[key], (dict, list)):
            yield from _slots(container[key])


def _nudged(rng: random.Random, value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + rng.choice((-1, 1, 2**32, -value, -value - 1))
    if isinstance(value, str) and value:
        at = rng.randrange(len(value))
        return rng.choice((value[:at], value + value, value.upper(), value[:at] + rng.choice("\x00/.~Kİ0") + value[at:]))
    return rng.choice(("x", None, 0))


def _with_number(rng: random.Random, row: bytes) -> bytes:
    """A row with one aligned number (4 or 8 bytes) overwritten."""
    width = 8 if len(row) >= 8 and rng.random() < 0.3 else 4
    at = rng.randrange(0, len(row) - width + 1, 4)
    number = rng.choice((*_HOSTILE_NUMBERS, 2**63, 2**64 - 1)) % (1 << 8 * width)
    return row[:at] + number.to_bytes(width, "little") + row[at + width :]
