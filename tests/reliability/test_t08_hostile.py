"""T8: registries written by an enemy, who may create what he likes with ids and seals that are right.

Each case is built here, opened, and gone through with every verb. What is hostile is refused by a typed error, the good version beside it
still comes out, nothing outside the checkout's target changes, and it takes neither long nor much memory.
"""

import os
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import (
    ConflictError,
    HostileNameError,
    IntegrityError,
    LimitError,
    LocalEditsError,
    NotFoundError,
    RegistryError,
    RuleError,
    UnsupportedFormatError,
)
from cas_registry.model.entry import RefKind
from cas_registry.model.ids import FileId, TreeId
from cas_registry.model.placement import Codec
from cas_registry.registry import Registry, registry_over
from cas_registry.store.layout import object_key
from tests.reliability import forge as forging
from tests.reliability.forge import GOOD, MODEL, Build, Forge, row, spelled
from tests.reliability.matrix import Row
from tests.support.folders import File, read_folder, write_folder
from tests.support.simulated import RoundTripBackend, make_world, memory_with, objects_of
from tests.support.strategies import sealed_trailer, split_pack

ROW = "T8"
SLOWEST_S = 20.0  # of the processor, for any verb: what never ends is found, a busy machine is not
MOST_BYTES = 256 * 2**20
REFUSALS = (IntegrityError, HostileNameError, LimitError, UnsupportedFormatError)
HARMLESS = (*REFUSALS, NotFoundError, ConflictError)
Outcome = Any


@dataclass(frozen=True)
class Case:
    """Builders of registries that are alike. `refused` are the ways in which one must fail, each at least one of these; the tag `good` must
    still come out, unless `all_is_lost`. `reads` says that nothing at all may be refused, `unseen` that `reg fsck` does not tell."""

    builds: list[Build]
    refused: tuple[str, ...] = ("checkout main",)
    all_is_lost: bool = False
    reads: bool = False
    unseen: bool = False


def _case(*builds: list[Build], refused: tuple[str, ...] = ("checkout main",), **more: bool) -> Case:
    return Case([build for group in builds for build in group], refused, **more)


def _nested(depth: int) -> Build:
    def build(forge: Forge) -> None:
        tree = forge.tree([row("f", b"")])
        for _ in range(depth):
            tree = forge.tree([["d", "tree", 0, tree]])
        forge.publish(tree)

    return build


def _bomb(forge: Forge) -> None:
    """Ten folders in ten folders in ten: 10^10 files from 600 bytes."""
    tree = forge.tree([row(name, b"") for name in "abcdefghij"])
    for _ in range(9):
        tree = forge.tree([[name, "tree", 0, tree] for name in "abcdefghij"])
    forge.publish(tree)


def _itself(forge: Forge) -> None:
    identity = TreeId.of(b"a tree that holds itself")
    forge.store.put(object_key(identity), spelled({"v": 1, "kind": "tree", "entries": [["d", "tree", 0, identity.hex]]}))
    forge.publish(identity.hex)


def _file_as_commit(forge: Forge) -> None:
    data = forge.store.get(f"commits/{forge.good}", length=2**20)
    name = FileId.of(data).hex
    forge.store.put(f"commits/{name}", data)
    forge.publish(forge.tree([]), commit=name)


def _tree_as_commit(forge: Forge) -> None:
    tree = forge.tree([row("f", b"")])
    forge.store.put(f"commits/{tree}", forge.store.get(f"trees/{tree}", length=2**20))
    forge.publish(tree, commit=tree)


def _tree_as_tree_kind(forge: Forge) -> None:
    """A commit's bytes under the id that they have as a tree."""
    forge.publish(forge.put(TreeId, forge.store.get(f"commits/{forge.good}", length=2**20)))


def _with_number(at: int, number: int, width: int = 4) -> Callable[[bytearray], None]:
    def change(data: bytearray) -> None:
        data[at : at + width] = number.to_bytes(width, "little")

    return change


MAP_ROW = 56 + 40  # of the first placement: behind the header and one row of packs
OFFSET, STORED, RAW, CODEC, BASE = MAP_ROW + 36, MAP_ROW + 40, MAP_ROW + 44, MAP_ROW + 48, MAP_ROW + 52


def _delta_to_itself(data: bytearray) -> None:
    data[CODEC] = Codec.DELTA
    data[BASE : BASE + 4] = bytes(4)


def _inflating(size_bytes: int, *, window_log: int = 20) -> Build:
    def build(forge: Forge) -> None:
        stored = forging.rle_frame(size_bytes, window_log=window_log)
        forge.file(bytes(1024), stored=stored, codec=Codec.ZSTD, raw_bytes=1024)

    return build


def _footer(rows: int, recipes: int) -> Build:
    """The pack of the good version announces so many rows; nobody's map has moved."""

    def build(forge: Forge) -> None:
        key = next(info.key for info in forge.store.list("packs/"))
        head, footer, _ = split_pack(forge.store.get(key, length=2**20))
        forge.store.put(key, head + footer + sealed_trailer(footer, rows, recipes))

    return build


def _condemned(*more: str) -> Build:
    def build(forge: Forge) -> None:
        for name in ("condemned", *more):
            extra = {"verdict": {"verdict": "delete", "why": ""}, "done": {"objects": 2, "bytes": 1}}.get(name, {})
            forge.record(name, **extra)
        forge.store.put("gc/HEAD", b"1")

    return build


def _rubbish(forge: Forge) -> None:
    for name in ("condemned", "delete", "verdict", "done", "x"):
        forge.store.put(f"gc/0000000001/{name}", b"\xff" * 1000)
    forge.store.put("gc/HEAD", b"9" * 16)
    forge.store.put("gc/9999999999/condemned", b"")


def _hint(text: bytes) -> Build:
    def build(forge: Forge) -> None:
        for log in (f"refs/{MODEL}", "catalogue"):
            forge.store.put(f"{log}/HEAD", text)

    return build


def _file_hint(forge: Forge) -> None:
    for data in GOOD.values():
        forge.store.put(f"files/{FileId.of(data.data).hex}", b"../../etc/passwd")


def _gap(forge: Forge) -> None:
    forge.append(commit=None, tree=None, map=None)
    forge.append(number=3, commit=None, tree=None, map=None)
    forge.store.delete("refs/m/0000000002")


def _message(text: str) -> Build:
    return lambda forge: forge.publish(forge.tree([]), message=text, author=text[:500])


def _prefixes(count: int) -> Build:
    """Refs a, a/a, a/a/a …, and as many whose names begin alike."""

    def build(forge: Forge) -> None:
        stands = forge.refs["branches"]["main"]
        many = {"/".join("a" * depth): stands for depth in range(1, 128)}
        many |= {f"r/{'0' * (number % 100)}{number}": stands for number in range(count)}
        table = {"v": 1, "kind": "refs", "table": {**forge.refs, "branches": {**many, "main": stands}}}
        from cas_registry.model.ids import RefTableId

        forge.append(refs=forge.put(RefTableId, spelled(table)), commit=None, tree=None, map=None)

    return build


def _other_version(commit: str, tree: str) -> dict[str, Any]:
    return {"other": [commit, 1, 1, tree]}


def _release_of_another_models(forge: Forge) -> None:
    """The other model's only version, said to be this one's first."""
    work = write_folder(forge.folder, {"o": File(b"other")})
    other = registry_over(forge.store, make_world()).model("other").commit(work, capture=False)
    forge.release({MODEL: [other.commit.hex, 1, 1, other.tree.hex]})


def _release_for_a_model(forge: Forge) -> None:
    forge.release({})
    forge.store.put("refs/m/0000000002", forge.store.get("releases/prod/0000000001", length=2**20))
    forge.store.put("refs/m/HEAD", b"2")


def _model_for_a_release(forge: Forge) -> None:
    forge.release({})
    forge.store.put("releases/prod/0000000001", forge.store.get("refs/m/0000000001", length=2**20))


def _two_notes_that_count_for_one(forge: Forge) -> None:
    forge.note(labels={"a": 1})
    forge.note(number=3, labels={"b": 1})


def _numbered_otherwise(forge: Forge) -> None:
    _, commit, _, _, tree, chunk_map = forge.refs["branches"]["main"]
    row = [1, commit, 1, 7, tree, chunk_map]
    forge.append(refs={"branches": {"main": row}, "tags": {"good": row}}, commit=None, tree=None, map=None)


MANY = [row("a"), row("b")]
TWICE = b'{"entries":[],"entries":[],"kind":"tree","v":1}'
READS = ("ls main", "checkout main", "read main")
TREE = '{"entries":[["f","file",%s,"%s"]],"kind":"tree","v":1}'
CASES = {
    "1 a path upwards": _case(forging.names("../x", "..")),
    "2 an absolute path": _case(forging.names("/etc/x", "/")),
    "3 upwards in the middle": _case(forging.names("a/../../x")),
    "4 a folder called ..": _case(forging.trees([["..", "tree", 0, TreeId.of(b"").hex]], [[".", "tree", 0, TreeId.of(b"").hex]])),
    "5 a name with a slash": _case(forging.names("a/b", "a/")),
    "6 Windows' separators": _case(forging.names("a\\..\\..\\x", "\\x")),
    "7 a drive, a share": _case(forging.names("C:x", "C:\\x", "\\\\srv\\s")),
    "8 NUL": _case(forging.names("a\0b", "\0")),
    "9 no name": _case(forging.names("")),
    "10 a dot": _case(forging.names(".")),
    "11 devices": _case(forging.names("CON", "nul.txt", "COM¹", "aux .x", "CONIN$")),
    "12 dots and spaces at the end": _case(forging.names("x.", "x ", "x. .")),
    "13 siblings that differ in case": _case(forging.trees([row("A"), row("a")], [row("K"), row("k")])),
    "14 twins in normal form": _case(forging.trees([row("e\u0301"), row("é")], [row("e\u0301")])),
    "15 folders of tools": _case(forging.names(".git", ".GIT", "GIT~1", ".g\u200cit", ".reg", ".gıt~2")),
    "16 a stream": _case(forging.names("file:stream", "x::$DATA")),
    "17 bidi": _case(forging.names("\u202egpj.exe", "a\u2066b", "\u200f")),
    "18 long and deep": _case(forging.names("x" * 256, "é" * 128, "x" * 4096) ),
    "18b deeper than any path": _case([_nested(64), _nested(400)], refused=("checkout main", "ls main")),
    "19 not Unicode": _case(
        forging.names("\ud800", "a\udfff"), forging.raw_trees(TREE.encode().replace(b'"f"', b'"\xff"') % (b"0", b"0" * 64))
    ),
    "20 a carriage return at the end": _case(forging.names("sub\r", "x\n", "\t")),
    "21 a link": _case(forging.trees([row("l", b"/etc/passwd", mode="link")], [row("l", b"/etc", mode="symlink")])),
    "22 other modes": _case(forging.trees(*([row("x", mode=mode)] for mode in ("120000", "160000", "4755", "", "dir", "FILE")))),
    "28 a tree that holds itself": _case([_itself], refused=READS),
    "28b ten folders in ten folders": _case([_bomb], refused=("ls main", "checkout main", "diff")),
    "29 a file as a commit": _case([_file_as_commit], refused=("show main", "log main")),
    "30 a tree as a commit": _case([_tree_as_commit], refused=("show main", "log main")),
    "30b a commit as a tree": _case([_tree_as_tree_kind], refused=READS),
    "31 a key twice": _case(forging.raw_trees(TWICE), refused=READS),
    "32 other spellings": _case(
        forging.raw_trees(
            b'{"entries": [],"kind":"tree","v":1}', b'{"v":1,"kind":"tree","entries":[]}', b'\xef\xbb\xbf{"entries":[],"kind":"tree","v":1}',
            (TREE % ("1", "A" * 64)).encode(), b'{"entries":[],"\\u006bind":"tree","v":1}', b'{"entries":[],"kind":"tree","v":1}\n',
        ),
        refused=READS,
    ),
    "33 sizes that are no integers": _case(
        forging.raw_trees(*((TREE % (size, "0" * 64)).encode() for size in ("1.0", "NaN", "1e400", "Infinity", "true", '"1"', "1e2")))
    ),
    "34 sizes beyond": _case(
        forging.raw_trees(*((TREE % (size, "0" * 64)).encode() for size in ("-1", "9223372036854775808", "-0", "9" * 4000))),
        forging.trees([row("a", size=2**63 - 1), row("b", size=1)]),
    ),
    "35 order": _case(forging.trees([row("b"), row("a")], [row("a"), row("a")]), refused=READS),
    "36 nesting": _case(forging.raw_trees(*(b'{"entries":' + token * 100_000 for token in (b"[", b'{"a":'))), refused=READS),
    "37 a size that the map denies": _case(
        [lambda forge: forge.publish(forge.tree([row("f", b"x", size=7)])), lambda forge: forge.file(b"x" * 500, size=501)]
    ),
    "37b another chunk than the map says": _case(
        [lambda forge: forge.file(b"x" * 400, stored=b"y" * 400)], refused=("checkout main", "read main"), unseen=True
    ),
    "38 a map beyond its pack": _case(
        forging.maps(
            _with_number(OFFSET, 2**31), _with_number(STORED, 2**27), _with_number(STORED, 0), _with_number(RAW, 2**32 - 1),
            _with_number(56 + 32, 2**63, 8), _with_number(56 + 32, 1, 8), _with_number(28, 10**9), _with_number(36, 10**9),
            _with_number(RAW, 0), _with_number(MAP_ROW + 32, 7),
        ),
        refused=("checkout main", "read main"),
    ),
    "38b a map beside its chunk": _case(
        forging.maps(_with_number(OFFSET, 0), _with_number(OFFSET, 33)), refused=("checkout main", "read main"), unseen=True
    ),
    "39 a delta to itself": _case(
        forging.maps(_delta_to_itself, _with_number(CODEC, 3, 1), _with_number(BASE, 0)), refused=("checkout main", "read main")
    ),
    "40 a chunk that inflates": _case([_inflating(10 * 2**30), _inflating(2**20)], refused=("checkout main", "read main"), unseen=True),
    "41 a footer of 2^32 rows": _case([_footer(2**32 - 1, 0), _footer(1, 2**32 - 1)], refused=(), reads=True),
    "42 a window of 2 GiB": _case(
        [_inflating(2**20, window_log=31), _inflating(2**20, window_log=41)], refused=("checkout main", "read main"), unseen=True
    ),
    "44 a log with a gap": _case([_gap], refused=("models",)),
    "44b entries of another place": _case(
        forging.entries(
            {"n": 3, "commit": None, "tree": None, "map": None}, {"registry": "f" * 32, "commit": None, "tree": None, "map": None}, {"gc_settled": 5}, {"op": "barrier"}, {"refs": None},
            {"n": 0}, {"n": True}, {"time": 1.5}, {"nonce": "A" * 32},
        ),
        refused=("show main", "refs"), all_is_lost=True,
    ),
    "44c a broken chain": _case(
        forging.entries(
            {"prev": "0" * 64, "commit": None, "tree": None, "map": None},
            {"remap": "0" * 64, "op": "remap", "commit": None, "tree": None, "map": None},
        ),
        refused=(),
    ),
    "45 lists that name what lives": _case(
        [_condemned(), _condemned("delete"), _condemned("delete", "verdict"), _condemned("delete", "verdict", "done")], refused=(), reads=True
    ),
    "45b rubbish in gc/": _case([_rubbish], refused=(), reads=True),
    "46 refs": _case(
        forging.refs("../../x", "-rf", "a@{1}", "refs//x", "CON", "x" * 300, "0" * 64, "a~1", "", "a\r", ".git/config", "a/../b"),
        refused=("show main", "refs"), all_is_lost=True,
    ),
    "47 formats": _case(
        forging.formats({"format": 2}, {"v": 2}, {"encryption": "rot13"}, {"pack_bytes": 0}, {"pack_bytes": 2**40}, {"writers": "none"},
            *({"chunking": {"algorithm": "fastcdc-2020", "min": 16384, "avg": 65536, "max": 262144, "elements": 262144, **odd}}
              for odd in ({"avg": 0}, {"min": 0}, {"max": 2**31}, {"elements": 0}, {"min": 2**20, "avg": 64}, {"algorithm": "w"}))),
        refused=("open",), all_is_lost=True,
    ),
    "48 hints": _case(
        [_hint(text) for text in (b"1" + b"0" * 18, b"9999999999", b"9999999998", b"-1", b"1.5", b"\xff", b"", "٣".encode(), b" 7 ")],
        [_file_hint], refused=(), reads=True,
    ),
    "49 texts": _case([_message("x" * 70_000)], refused=("show main", "log main")),
    "49b texts that a terminal would obey": _case([_message("\x1b]0;x\x07\x1b[2J<script>\r\u202e")], refused=()),
    "44d entries that count versions otherwise": _case(
        forging.entries({"versions": 7, "commit": None, "tree": None, "map": None}, {"versions": 0, "commit": None, "tree": None, "map": None}),
        [_numbered_otherwise], refused=(),
    ),
    "51 a release of what is no version of its model": _case(
        [_release_of_another_models],
        forging.releases(
            _other_version, lambda commit, tree: {MODEL: [commit, 2, 1, tree]}, lambda commit, tree: {MODEL: [commit, 9_999_999_999, 1, tree]},
            lambda commit, tree: {MODEL: [commit, 1, 1, "0" * 64]}, lambda commit, tree: {MODEL: [tree, 1, 1, tree]},
        ),
        refused=("released",),
    ),
    "51b a release of another number, of no model": _case(
        forging.releases(lambda commit, tree: {MODEL: [commit, 1, 7, tree]}, lambda commit, tree: {"ghost": [commit, 1, 1, tree]}), refused=()
    ),
    "51c releases that are none": _case(
        forging.releases(
            lambda commit, tree: {"../x": [commit, 1, 1, tree]}, lambda commit, tree: {MODEL: [commit, 1, tree]},
            lambda commit, tree: {MODEL: [commit, -1, 1, tree]}, lambda commit, tree: {MODEL: []},
            lambda commit, tree: {f"m{number}": [commit, 1, 1, tree] for number in range(10_001)},
        ),
        [lambda forge: forge.release(None), lambda forge: forge.release({}, refs=forge.refs), lambda forge: forge.release({}, versions=1.5)],
        refused=("releases", "released"),
    ),
    "51d names of releases": _case(
        [
            lambda forge, name=name: forge.catalogue(releases={name: ["live", 3]})  # type: ignore[misc]
            for name in ("../x", "a/b", "release:prod", "HEAD", "catalogue", "")
        ],
        refused=("models", "releases"),
    ),
    "52 a release's log in a model's place": _case([_release_for_a_model], refused=("show main", "refs", "notes"), all_is_lost=True),
    "52b a model's log in a release's place": _case([_model_for_a_release], refused=("releases", "released")),
    "53 counts of notes": _case(
        forging.entries(*({"notes": notes, "commit": None, "tree": None, "map": None} for notes in (1, 5, 9_999_999_999))),
        [_two_notes_that_count_for_one], refused=("notes",),
    ),
    "53b a note that does not count": _case(forging.notes({"notes": 0}), refused=()),
    "54 notes that are none": _case(
        forging.notes(
            {"tag": "../x", "approved": True}, {"tag": "prod"}, {"approved": True}, {"tag": "prod", "approved": 1}, {"labels": {"a": [1]}},
            {"labels": {"x" * 256: 1}}, {"metrics": {"a": 1.5}}, {"commit": "x"}, {"commit": None}, {"extra": 1},
        ),
        forging.entries({"note": None, "op": "note", "commit": None, "tree": None, "map": None}, {"notes": -1, "commit": None, "tree": None, "map": None}),
        [lambda forge: forge.note(entry={"commit": forge.good, "tree": "0" * 64, "map": "0" * 64}), lambda forge: forge.note(entry={"op": "set"})],
        refused=("show main", "refs", "notes"), all_is_lost=True,
    ),
    "54b a note on no version": _case(
        forging.notes({"commit": "ab" * 32, "labels": {"a": 1}}, {"commit": "ab" * 32, "tag": "prod", "approved": True}),
        refused=(), reads=True, unseen=True,
    ),
    "55 rules that are none": _case(
        forging.rules(
            {}, {"../*": {}}, {"prod": {"approvals": -1}}, {"prod": {"approvals": 101}}, {"prod": {"approvals": True}}, {"prod": {"extra": 1}},
            {"prod": {"who": ["a"] * 101}}, {"prod": {"who": "a"}}, {"prod": {"who": ["x" * 1025]}}, {"prod": {"after": ["../x"]}},
            {"prod": {"when": "x" * 4097}}, {f"tag{number}": {} for number in range(1_001)},
        ),
        refused=("models", "rules"),
    ),
    "55b rules that are a burden": _case(
        forging.rules(
            {"*" * count: {"who": ["*a*a*a*a*b"] * 20, "approvals": 1, "approvers": ["*e*" * 200]} for count in range(1, 200)},
            {"p*": {"when": "(" * 4_000}}, {"p*": {"when": "not " * 1_000}}, {"p*": {"when": "metrics.a > 0 or " * 240}},
            {"p*": {"when": "metrics.a > nowhere and x"}}, {"p*": {"checks": ["frobnicate", "signed"] * 50}},
            {"p*": {"after": [f"t{number}" for number in range(100)], "approvals": 100}},
        ),
        refused=(), reads=True, unseen=True,
    ),
    "50 refs that begin alike": _case([_prefixes(1_500)], refused=(), reads=True),
}  # fmt: skip


@pytest.fixture
def area(tmp_path: Path) -> Path:
    """A folder with things that nobody may touch, in which the target of checkouts is."""
    area = tmp_path / "area"
    write_folder(area, {"x": File(b"victim"), "sub/x": File(b"victim"), "etc/passwd": File(b"victim")})
    (area / "link").symlink_to(area / "etc")
    return area


def snapshot(area: Path) -> dict[str, tuple[Any, ...]]:
    """All that is below a folder but for the target: kind, bytes, and which file it is."""
    found: dict[str, tuple[Any, ...]] = {}
    for folder, folders, files in os.walk(area):
        folders[:] = [name for name in folders if Path(folder, name) != area / "target"]
        for name in [*folders, *files]:
            path = Path(folder, name)
            status = path.lstat()
            data = (
                path.read_bytes()
                if path.is_file() and not path.is_symlink()
                else os.readlink(path)
                if path.is_symlink()
                else ""
            )
            found[str(path.relative_to(area))] = (data, status.st_mode, status.st_ino, status.st_nlink, status.st_mtime_ns)
    return found


def go_through(store: MemoryBackend, area: Path, good: str) -> tuple[dict[str, Outcome], float]:
    """Every verb: what it gave, or the typed error that it raised; anything else passes through. And how long the slowest took."""
    found: dict[str, Outcome] = {}
    slowest_s = 0.0

    def attempt(way: str, action: Callable[[Registry], Outcome], over: MemoryBackend = store) -> None:
        nonlocal slowest_s
        started = time.process_time()
        try:
            found[way] = action(registry_over(over, make_world(None)))
        except RegistryError as error:
            found[way] = error
        slowest_s = max(slowest_s, time.process_time() - started)

    target = area / "target"

    def check_out(registry: Registry, revision: str) -> Outcome:
        shutil.rmtree(target, ignore_errors=True)
        registry.model(MODEL).checkout(revision, target, remember=False)
        return read_folder(target)

    attempt("open", lambda registry: registry.id)
    attempt("models", lambda registry: [row.model for row in registry.models()])
    attempt("refs", lambda registry: (registry.model(MODEL).branches(), registry.model(MODEL).tags()))
    attempt("history", lambda registry: registry.model(MODEL).history(RefKind.BRANCH, "main"))
    for revision in ("main", "good"):
        attempt(f"log {revision}", lambda registry, at=revision: registry.model(MODEL).log(at, limit=10))
        attempt(f"show {revision}", lambda registry, at=revision: registry.model(MODEL).show(at))
        attempt(f"ls {revision}", lambda registry, at=revision: registry.model(MODEL).files(at))
        attempt(f"checkout {revision}", lambda registry, at=revision: check_out(registry, at))
        attempt(f"read {revision}", lambda registry, at=revision: _read_all(registry, at))
    attempt("show id", lambda registry: registry.model(MODEL).show(good[:10]))
    attempt("notes", lambda registry: registry.model(MODEL).notes())
    attempt("rules", lambda registry: (registry.rules(), registry.stages()))
    attempt("assess", lambda registry: registry.model(MODEL).assess("good", "prod"))
    attempt("releases", lambda registry: registry.releases())
    if any(store.list("releases/prod/")):
        attempt("released", _released)
    attempt("search", lambda registry: registry.search("labels.a = 1 or tag = good"))
    attempt("diff", lambda registry: registry.model(MODEL).diff("good", "main"))
    attempt("stats", lambda registry: registry.stats())
    attempt("fsck", lambda registry: registry.fsck(read_data=True))
    attempt("gc", lambda registry: registry.gc())
    attempt("gc delete", lambda registry: registry.gc(delete=True, grace_s=0, trash_window_s=0), memory_with(objects_of(store)))
    return found, slowest_s


def _released(registry: Registry) -> Outcome:
    return [registry.resolve(f"release:prod/{model}").commit.hex for model in registry.show_release("prod").versions]


def _read_all(registry: Registry, revision: str) -> Outcome:
    model = registry.model(MODEL)
    return {file.path: model.read_bytes(revision, file.path) for file in model.files(revision) if not file.is_folder}


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_registry_is_refused_by_name_and_touches_nothing(name: str, area: Path, tmp_path: Path, matrix: Row) -> None:
    case = CASES[name]
    before = snapshot(area)
    for number, build in enumerate(case.builds):
        forge = Forge(tmp_path / f"good{number}")
        build(forge)
        objects = objects_of(forge.store)
        found, slowest_s = go_through(forge.store, area, forge.good)
        assert slowest_s < SLOWEST_S, (name, number)
        assert objects_of(forge.store) == objects, (name, number)
        assert snapshot(area) == before, (name, number)
        for way, outcome in found.items():
            if isinstance(outcome, RegistryError):
                assert isinstance(outcome, HARMLESS), (name, number, way, outcome)
                assert not case.reads or way.startswith("gc"), (name, number, way, outcome)
        for way in case.refused:
            assert isinstance(found[way], REFUSALS), (name, number, way, found[way])
        if not case.all_is_lost:
            assert found["checkout good"] == GOOD, (name, number)
            assert found["read good"] == {path: file.data for path, file in GOOD.items()}, (name, number)
        if not isinstance(found.get("fsck"), RegistryError | None):
            harmless = case.unseen or name[:3] in ("45 ", "45b", "49b", "50 ")
            assert bool(found["fsck"].exit_code) is not harmless or name.startswith("48"), (name, number, found["fsck"])
        matrix.count()


def test_the_good_registry_is_read_by_every_verb(area: Path, tmp_path: Path) -> None:
    """Or a case would be refused for what every registry is."""
    forge = Forge(tmp_path / "good")
    forge.publish(forge.tree([row("empty")]))
    forge.note(number=3, labels={"a": 1})
    forge.release({MODEL: [forge.good, 1, 1, forge.refs["branches"]["main"][4]]})
    found, _ = go_through(forge.store, area, forge.good)
    assert not [outcome for outcome in found.values() if isinstance(outcome, RegistryError)]
    assert found["fsck"].exit_code == 0
    assert (found["released"], [version.number for version in found["search"]]) == ([forge.good], [1])
    forge = Forge(tmp_path / "again")
    forge.file(b"some bytes that are stored" * 9)
    found, _ = go_through(forge.store, area, forge.good)
    assert found["checkout main"] == {"f.bin": File(b"some bytes that are stored" * 9)}


FORGED_RECORDS = {name: CASES[name].builds for name in ("45 lists that name what lives", "45b rubbish in gc/")}


@pytest.mark.parametrize("told", [False, True], ids=["nobody has told of it", "the log tells of it"])
@pytest.mark.parametrize("name", FORGED_RECORDS)
def test_forged_records_of_a_collection_delete_nothing_that_a_version_needs(
    name: str, told: bool, tmp_path: Path, matrix: Row
) -> None:
    for number, build in enumerate(FORGED_RECORDS[name]):
        forge = Forge(tmp_path / f"good{number}")
        build(forge)
        if told:
            forge.append(op="barrier", commit=None, tree=None, map=None, gc_seen=1)
            forge.append(log="catalogue", number=3, op="barrier", gc_seen=1)
        registry = registry_over(forge.store, make_world())
        for _ in range(2):
            try:
                registry.gc(delete=True, grace_s=0, trash_window_s=0, confirmed=2)
            except HARMLESS:
                break
        model = registry_over(forge.store, make_world()).model(MODEL)
        assert {path: model.read_bytes("good", path) for path in GOOD} == {path: file.data for path, file in GOOD.items()}, (
            number
        )
        matrix.count()


@pytest.mark.parametrize(
    ("who", "rule", "passes"),
    [
        ("boss@bench", {"approvers": ["boss@*"]}, True),  # where names count, anybody may write any: docs/promotion.md says so
        ("boss@bench", {"approvers": ["boss@*"], "checks": ["signed"]}, False),
        ("TESTER@BENCH", {}, False),  # the author, by another spelling
        ("boss@bench.example", {"approvers": ["boss@bench"]}, False),
    ],
)
def test_a_forged_approval_counts_where_names_do_and_nowhere_else(
    who: str, rule: dict[str, Any], passes: bool, tmp_path: Path, matrix: Row
) -> None:
    forge = Forge(tmp_path / "good")
    forge.note(who=who, tag="prod", approved=True)
    (protect,) = forging.rules({"prod": {"approvals": 1, **rule}})
    protect(forge)
    model = registry_over(forge.store, make_world(None)).model(MODEL)
    if passes:
        model.tag("prod", "good")
    else:
        with pytest.raises(RuleError, match="1 approval"):
            model.tag("prod", "good")
    assert [tag.name for tag in model.tags()] == (["good", "prod"] if passes else ["good"])
    matrix.count()


WAYS_IN = {
    "23 a link for a folder": lambda target, area: (target / "sub").symlink_to(area / "sub"),
    "24 a link at the file's path": lambda target, area: (target / "good.txt").symlink_to(area / "x"),
    "24b a dangling link": lambda target, area: (target / "good.txt").symlink_to(area / "none"),
    "25 a hard link of a victim": lambda target, area: os.link(area / "x", target / "good.txt"),
    "26 a folder where a file is": lambda target, area: (target / "good.txt").mkdir(),
    "26b a file where a folder is": lambda target, area: (target / "sub").write_bytes(b"mine"),
    "26c a pipe": lambda target, area: os.mkfifo(target / "good.txt"),
}


@pytest.mark.parametrize("way", WAYS_IN)
@pytest.mark.parametrize("force", [False, True])
def test_what_lies_in_the_target_already_leads_nowhere(way: str, force: bool, area: Path, tmp_path: Path, matrix: Row) -> None:
    model = registry_over(Forge(tmp_path / "good").store, make_world(None)).model(MODEL)
    target = area / "target"
    target.mkdir()
    WAYS_IN[way](target, area)
    before = {name: state[:2] for name, state in snapshot(area).items()}
    try:
        model.checkout("good", target, force=force)
    except LocalEditsError:
        assert not force or way[:2] in ("23", "26"), way
    else:
        assert read_folder(target) == GOOD
    assert {name: state[:2] for name, state in snapshot(area).items()} == before
    assert (area / "x").read_bytes() == b"victim"
    matrix.count()


def test_a_folder_swapped_for_a_link_during_checkouts_leads_nowhere(area: Path, tmp_path: Path, matrix: Row) -> None:
    """27: whoever may write in the target swaps a folder of it for a link and back, as fast as he can."""
    model = registry_over(Forge(tmp_path / "good").store, make_world(None)).model(MODEL)
    target, before, stop = area / "target", snapshot(area), threading.Event()

    def swap() -> None:
        while not stop.is_set():
            try:
                (target / "sub").rename(target / "aside")
                (target / "sub").symlink_to(area / "sub")
                time.sleep(0.0005)
                (target / "sub").unlink()
                (target / "aside").rename(target / "sub")
            except OSError:
                time.sleep(0.0001)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(40):
            try:
                model.checkout("good", target, force=True)
            except RegistryError:
                continue
    finally:
        stop.set()
        thread.join()
    assert snapshot(area) == before
    matrix.count()


def test_reading_the_head_of_a_long_log_of_barriers_takes_few_requests(tmp_path: Path, matrix: Row) -> None:
    """44d: thousands of entries that move nothing, and a hint that is wrong on top."""
    forge = Forge(tmp_path / "good")
    for number in range(2, 3_000):
        forge.append(number=number, op="barrier", commit=None, tree=None, map=None, gc_seen=0 if number < 3 else 1)
    forge.store.put(f"refs/{MODEL}/HEAD", b"1")
    counted = RoundTripBackend(forge.store)
    model = registry_over(counted, make_world(None)).model(MODEL)
    counted.reset()
    assert model.resolve("good").commit.hex == forge.good
    assert counted.round_trips < 30
    matrix.count()


def _safetensors(header: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + bytes(64)


def _tensors(count: int) -> bytes:
    rows = ",".join(f'"t{number}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}' for number in range(count))
    return _safetensors(f"{{{rows}}}".encode())


def test_files_whose_headers_lie_are_committed_and_come_back(tmp_path: Path, matrix: Row) -> None:
    """43: a header of 2^63 bytes, tensors that overlap, run backwards or lie beyond the file, more of them than anybody has."""
    one = b'{"a":{"dtype":"U8","shape":[%d],"data_offsets":[%d,%d]}}'
    folder = {
        "huge.safetensors": File(_safetensors(b'{"a":1}', 2**63)),
        "back.safetensors": File(_safetensors(one % (4, 4, 0))),
        "beyond.safetensors": File(_safetensors(one % (2**60, 0, 2**60))),
        "overlap.safetensors": File(
            _safetensors((one[:-1] + b"," + one[1:].replace(b'"a"', b'"b"')) % (40, 0, 40, 40, 20, 60))
        ),
        "many.safetensors": File(_tensors(210_000)),
        "deep.safetensors": File(_safetensors(b'{"a":' + b"[" * 100_000)),
        "huge.gguf": File(b"GGUF\3\0\0\0" + b"\xff" * 100),
        "huge.npy": File(b"\x93NUMPY\x01\x00\xff\xff{"),
    }
    model = Forge(tmp_path / "good")
    registry = registry_over(model.store, make_world(None))
    registry.model("t").commit(write_folder(tmp_path / "work", folder))
    registry.model("t").checkout("main", tmp_path / "out")
    assert read_folder(tmp_path / "out") == folder
    matrix.count(len(folder))


def _many_values(unit: bytes, size_bytes: int) -> Build:
    head, tail = b'{"entries":[', b'],"kind":"tree","v":1}'
    return lambda forge: forge.publish(forge.put(TreeId, head + (unit * (size_bytes // len(unit)))[:-1] + tail))


SIZES: dict[str, Build] = {
    "36b a tree of 64 MiB of empty lists": _many_values(b"[],", 63 * 2**20),
    "36c a tree of 64 MiB of numbers": _many_values(b"999,", 63 * 2**20),
    "36d a tree of over 64 MiB": _many_values(b"[],", 65 * 2**20),
    "40 a chunk of 1 KiB that inflates to 10 GiB": _inflating(10 * 2**30),
    "41 a footer of 2^32 rows": _footer(2**32 - 1, 2**32 - 1),
    "42 a window of 2 TiB": _inflating(2**20, window_log=41),
    "49 a message of 50 MB": _message("x" * 50_000_000),
    "50 10,000 refs that begin alike": _prefixes(10_000),
    "51 a release of 20,000 models": lambda forge: forge.release(
        {f"m{number}": ["0" * 64, 1, 1, "0" * 64] for number in range(10**6)}
    ),
    "55 a rule with a million patterns": forging.rules({"prod": {"who": [f"*{number}*" for number in range(10**6)]}})[0],
}

VERBS = """
import re, sys
from cas_registry.errors import RegistryError
from cas_registry.backends.local import LocalBackend
from cas_registry.registry import registry_over
from cas_registry.settings import Settings
from pathlib import Path
model = registry_over(LocalBackend(Path(sys.argv[1])), Settings(author="a", cache_folder=None)).model("m")
registry = registry_over(LocalBackend(Path(sys.argv[1])), Settings(author="a", cache_folder=None))
for verb in (
    lambda: model.show("main"), lambda: model.log("main"), lambda: model.files("main"), lambda: model.tags(),
    lambda: model.checkout("main", sys.argv[2], remember=False), lambda: model.read_bytes("main", "f.bin"),
    lambda: registry.releases(), lambda: registry.show_release("prod"), lambda: model.assess("good", "prod"), lambda: model.notes(),
    lambda: registry.fsck(read_data=True), lambda: model.checkout("good", sys.argv[2] + "2", remember=False),
):
    try:
        verb()
    except RegistryError as error:
        print(type(error).__name__)
    else:
        print("ok")
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024)  # ru_maxrss would be the parent's
"""


@pytest.mark.parametrize("name", SIZES)
def test_what_is_large_takes_little_memory(name: str, tmp_path: Path, matrix: Row) -> None:
    forge = Forge(tmp_path / "good")
    SIZES[name](forge)
    for key, data in objects_of(forge.store).items():
        path = tmp_path / "registry" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    words = [sys.executable, "-c", VERBS, str(tmp_path / "registry"), str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert not done.stderr
    *outcomes, peak_bytes = done.stdout.split()
    assert outcomes[-1] == "ok", (name, outcomes)
    assert int(peak_bytes) < MOST_BYTES, (name, f"{int(peak_bytes):,}")
    matrix.count()
