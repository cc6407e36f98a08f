"""The golden registry of format 1 opens for ever and gives back every byte; and docs/format.md suffices to read and write one."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from cas_registry.errors import (
    ConflictError,
    FormatError,
    IntegrityError,
    NotFoundError,
    RegistryError,
    RuleError,
    UnsupportedFormatError,
)
from cas_registry.model.commit import decode_commit
from cas_registry.model.entry import RefKind, decode_ref_table
from cas_registry.model.tree import decode_tree
from cas_registry.operations import placing
from cas_registry.registry import Model, Registry, open_registry
from cas_registry.settings import Settings
from tests.golden import by_the_book
from tests.golden.by_the_book import Files
from tests.golden.make_golden import EXPECTED, GOLDEN, NOON_NS, describe_contents, forked, merged, versions, write_folder

EXPECTATION = json.loads(EXPECTED.read_text(encoding="utf-8"))
REVISIONS = {"prod@{1}": 0, "prod@{2025-12-01T12:10}": 0, "main~1": 0, "prod": 1, "main": 1, "candidate": 1, "experiment": 2}


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    return shutil.copytree(GOLDEN, tmp_path / "golden")


def _open(root: Path) -> Registry:
    return open_registry(root, Settings(author="test", cache_folder=None, clock_ns=lambda: 2 * NOON_NS))


def _with_parents(files: Files) -> dict[str, tuple[str, bytes]]:
    parents = {"/".join(path.split("/")[:depth]) for path in files for depth in range(1, path.count("/") + 1)}
    return {**dict.fromkeys(parents, ("tree", b"")), **files}


def _on_disk(root: Path) -> dict[str, tuple[str, bytes]]:
    found: dict[str, tuple[str, bytes]] = {}
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        if path.is_dir():
            found[name] = ("tree", b"")
        else:
            found[name] = ("exec" if path.stat().st_mode & 0o100 else "file", path.read_bytes())
    return {name: item for name, item in found.items() if name.partition("/")[0] != ".reg"}


def _objects(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): blake3(path.read_bytes()).hexdigest() for path in root.rglob("*") if path.is_file()
    }


def test_every_object_is_the_one_that_was_written() -> None:
    assert _objects(GOLDEN) == EXPECTATION["objects"]


def test_log_refs_and_measurements_read_as_they_were_written(golden: Path) -> None:
    found = json.loads(json.dumps(describe_contents(_open(golden))))
    assert found == {name: EXPECTATION[name] for name in found}
    assert found.keys() == EXPECTATION.keys() - {"objects"}


def test_the_golden_registry_has_what_is_hard_to_read() -> None:
    """Guards the fixture itself: each of these is in it."""
    log = by_the_book.read_log(GOLDEN, "digits")
    assert isinstance(log[-1]["refs"], str), "a ref table stored apart"
    assert by_the_book.read_refs(GOLDEN, log[-1])["tags"]["v0.1"] == [7], "a deleted tag"
    rows, recipes = zip(*(by_the_book.read_pack(path.read_bytes()) for path in (GOLDEN / "packs").iterdir()), strict=True)
    assert (log[7]["op"], log[7]["gc_seen"]) == ("barrier", 1), "an entry that tells of a collection"
    assert log[8]["op"] == "remap", "an entry that gives versions other maps"
    assert log[8]["remap"] == log[9]["remap"], "the next one carries them on"
    scratch = by_the_book.read_log(GOLDEN, "scratch")
    assert {entry["op"] for entry in scratch} == {"set", "retire", "barrier"}
    assert by_the_book.read_remap(GOLDEN, scratch[-1]) == {1: None, 2: None}, "retired versions"
    catalogue = by_the_book.read_log(GOLDEN, "catalogue")
    assert ["retired", 4] in [entry["models"].get("scratch") for entry in catalogue], "a retired model"
    assert catalogue[-1]["keep"]["*"]["best"] == [["accuracy", "max", 5], ["loss", "min", 3]], "a retention policy"
    assert {path.name for path in (GOLDEN / "gc" / "0000000001").iterdir()} == {"condemned", "delete", "verdict", "done"}
    remap = by_the_book.read_remap(GOLDEN, log[-1])
    assert sorted(remap) == [1, 4, 6], "all versions repacked"
    assert all(log[at - 1]["map"] != name for at, name in remap.items())
    bases = [{row[7] for row in pack if row[7]} for pack in rows]
    assert any(
        base in {row[0].hex() for row in pack if row[4] != 3} for pack, found in zip(rows, bases, strict=True) for base in found
    ), "a delta in one pack with its base"
    assert {row[4] for pack in rows for row in pack} == {0, 1, 2, 3}, "chunks of all four codecs"
    assert max(total for pack in recipes for total, _ in pack.values()) > 10, "a file of many chunks"
    roots = [by_the_book.Map(GOLDEN, entry["map"]) for entry in log if entry["map"]]
    assert {covers for root in roots for covers, _ in root.references} == {1, 2}, "references to files and to folders"
    maps = [by_the_book.Map(GOLDEN, path.name) for path in (GOLDEN / "maps").iterdir()]
    assert any(found.indexes for found in maps), "tensor indexes"
    assert any(data for root in roots for data in root.trees.values()), "attached trees"
    pickled = blake3(versions()[0]["scaler.bin"][1]).hexdigest()
    assert {found.marks[pickled] for found in maps if pickled in found.marks} == {2}, "a file that runs code on loading"
    assert {mark for found in maps for mark in found.marks.values()} == {1, 2}, "and files without a pickle"


def test_the_golden_registry_has_what_is_said_of_versions() -> None:
    """Likewise."""
    said = _commit(by_the_book.read_log(GOLDEN, "digits")[0]["commit"])
    assert all(
        said[field]
        for field in ("params", "metrics", "labels", "framework", "packages", "environment", "code", "inputs", "schema")
    )
    log = by_the_book.read_log(GOLDEN, "digits-eu")
    v2, experiment = (_ref("digits", kind, name)[1] for kind, name in (("tags", "prod"), ("branches", "experiment")))
    assert (log[0]["commit"], log[0]["versions"], log[0]["stats"]) == (v2, 1, None), "a fork"
    made, merge = (_commit(log[at]["commit"]) for at in (1, 2))
    assert [item["model"] for item in made["inputs"]] == ["digits", None], "an input that is a version, and one from elsewhere"
    assert merge["parents"] == [log[1]["commit"], experiment], "a merge, of a version of another model"
    notes = by_the_book.read_notes(GOLDEN, "digits-eu")
    assert notes[0]["note"]["labels"]["region"] is None, "a label that is taken away"
    assert {entry["who"] for entry in notes} == {"ada@example.org", "eve@example.org"}
    assert {entry["note"]["approved"] for entry in by_the_book.read_notes(GOLDEN, "serving")} == {True, False}
    catalogue = by_the_book.read_log(GOLDEN, "catalogue")[-1]
    rules = [rule for of_model in catalogue["rules"].values() for rule in of_model.values()]
    assert all(any(rule[field] for rule in rules) for field in rules[0]), "rules that ask for everything"
    first, second = by_the_book.read_log(GOLDEN, "release:handwriting")
    assert (first["release"].keys(), second["release"].keys()) == ({"digits", "serving"}, {"digits-eu", "serving"})


@pytest.mark.parametrize("revision", REVISIONS)
def test_checkout_gives_back_every_byte(golden: Path, tmp_path: Path, revision: str) -> None:
    _open(golden).model("digits").checkout(revision, tmp_path / "out")
    assert _on_disk(tmp_path / "out") == _with_parents(versions()[REVISIONS[revision]])


def test_files_read_one_by_one_in_both_models(golden: Path) -> None:
    registry = _open(golden)
    first = versions()[0]
    for model, revision in (("digits", "main~1"), ("serving", "main")):
        files = registry.model(model).files(revision)
        assert {file.path for file in files} <= first.keys()
        for file in files:
            assert registry.model(model).read_bytes(revision, file.path) == first[file.path][1]


def test_another_models_version_reads_like_ones_own(golden: Path, tmp_path: Path) -> None:
    registry = _open(golden)
    serving = registry.model("serving")
    serving.checkout("trusted", tmp_path / "out")
    assert _on_disk(tmp_path / "out") == _with_parents(versions()[1])
    assert [record.id for record in serving.log("trusted")] == [record.id for record in registry.model("digits").log("prod")]
    row = by_the_book.read_refs(golden, by_the_book.read_log(golden, "serving")[-1])["tags"]["trusted"]
    assert (row[0], row[2], row[3]) == (2, 2, 2)
    assert by_the_book.read_version(golden, row) == _with_parents(versions()[1])


def test_a_full_check_finds_nothing_wrong(golden: Path) -> None:
    report = _open(golden).fsck(read_data=True)
    assert [finding for finding in report.findings if finding.severity != "note"] == []
    assert (report.exit_code, report.models, report.versions) == (0, 4, 9)


def test_an_old_registry_takes_new_versions_and_keeps_every_old_object(golden: Path, tmp_path: Path) -> None:
    model = _open(golden).model("digits")
    first, second, _ = versions()
    changed = {**second, "weights.bin": ("file", second["weights.bin"][1] + b"one more step")}
    report = model.commit(write_folder(_fresh(tmp_path), changed), message="fourth")
    assert (report.number, report.parent) == (4, model.resolve("main~1").commit)
    assert report.new_bytes < 20_000
    model.tag("prod", "main")
    model.checkout("prod", tmp_path / "out")
    assert _on_disk(tmp_path / "out") == _with_parents(changed)
    model.checkout("prod@{2}", tmp_path / "out")
    assert _on_disk(tmp_path / "out") == _with_parents(first)
    after = _objects(golden)
    assert {key for key, digest in EXPECTATION["objects"].items() if after[key] != digest} == {"refs/digits/HEAD"}


def test_hints_in_an_old_registry_save_storing_a_file_again(
    golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placing, "BIG_FILE_BYTES", 16 * 1024)
    weights = {"renamed.bin": versions()[1]["weights.bin"]}
    model = _open(golden).model("third")
    report = model.commit(write_folder(_fresh(tmp_path), weights))
    assert (report.new_bytes, report.packs) == (0, 0)
    assert model.read_bytes("main", "renamed.bin") == weights["renamed.bin"][1]


def test_a_tag_at_another_models_version_introduces_it(golden: Path) -> None:
    registry = _open(golden)
    registry.model("serving").tag("next", "digits@experiment")
    entry = by_the_book.read_log(golden, "serving")[-1]
    row = by_the_book.read_refs(golden, entry)["tags"]["next"]
    assert row == [entry["n"], entry["commit"], entry["n"], 3, entry["tree"], entry["map"]]
    assert entry["commit"] == registry.model("digits").resolve("experiment").commit.hex
    assert by_the_book.read_version(golden, row) == _with_parents(versions()[2])


def test_a_merge_of_a_fork_gives_back_every_byte(golden: Path, tmp_path: Path) -> None:
    fork = _open(golden).model("digits-eu")
    for revision, files in (
        ("main", merged()),
        ("main~1", forked()),
        ("v1", versions()[1]),
        ("release:handwriting/digits-eu", merged()),
    ):
        fork.checkout(revision, tmp_path / revision)
        assert _on_disk(tmp_path / revision) == _with_parents(files)


def test_what_was_said_of_a_version_is_found_and_more_can_be_said(golden: Path) -> None:
    fork = _open(golden).model("digits-eu")
    found = fork.search("labels.reviewed = true and labels.region is null and metrics.accuracy = 0.97")
    assert [row.number for row in found] == [3]
    fork.note("main", labels={"reviewed": False})
    assert by_the_book.read_said(golden, "digits-eu", fork.resolve("main").commit.hex)["labels"] == {"reviewed": False}


def test_the_rules_of_a_tag_hold(golden: Path) -> None:
    serving = _open(golden).model("serving")  # "test" is nobody of example.org
    for move in (
        lambda: serving.tag("prod", "main"),
        lambda: serving.delete_tag("prod"),
        lambda: serving.promote("v1", "env/a", reason="x"),
    ):
        with pytest.raises(RuleError):
            move()
    assert [verdict.passed for verdict in serving.assess("trusted", "prod").verdicts] == [False, True, True, True]


def test_a_release_goes_on_and_protects_what_it_names(golden: Path) -> None:
    registry = _open(golden)
    registry.model("digits-eu").branch("main", "v2", force=True)
    with pytest.raises(ConflictError, match="release handwriting names"):
        registry.model("digits-eu").retire("v3")
    registry.release("handwriting", {"digits": "experiment"})
    last = by_the_book.read_log(golden, "release:handwriting")[-1]
    assert (last["n"], last["release"].keys()) == (3, {"digits", "digits-eu", "serving"})
    assert registry.rollback_release("handwriting").versions.keys() == {"digits-eu", "serving"}
    assert registry.fsck().exit_code == 0


# Another implementation


def test_another_reader_made_from_the_page_reads_every_version_ever_named() -> None:
    expected = [_with_parents(files) for files in versions()]
    seen = []
    for entry in by_the_book.read_log(GOLDEN, "digits"):
        table = by_the_book.read_refs(GOLDEN, entry)
        rows = [row for section in table.values() for row in section.values() if len(row) > 1]
        for row in rows:
            seen.append(row[3])
            assert by_the_book.read_version(GOLDEN, row) == expected[row[3] - 1]
    assert set(seen) == {1, 2, 3}


def test_another_reader_reads_forks_merges_and_releases() -> None:
    log = by_the_book.read_log(GOLDEN, "digits-eu")
    expected = [versions()[1], forked(), merged()]
    for entry, files in zip([entry for entry in log if entry["commit"]], expected, strict=True):
        row = [0, entry["commit"], entry["n"], entry["versions"], entry["tree"], entry["map"]]
        assert by_the_book.read_version(GOLDEN, row) == _with_parents(files)
    released = by_the_book.read_release(GOLDEN, "handwriting")
    assert {model: by_the_book.read_version(GOLDEN, row) for model, row in released.items()} == {
        "digits-eu": _with_parents(merged()), "serving": _with_parents(versions()[1]),
    }  # fmt: skip


def test_another_reader_finds_what_is_said_and_which_rules_hold() -> None:
    last, before = (_ref("digits-eu", "branches", "main")[1], by_the_book.read_log(GOLDEN, "digits-eu")[1]["commit"])
    assert by_the_book.read_said(GOLDEN, "digits-eu", last) == {
        "labels": {"reviewed": True}, "metrics": {"accuracy": {"float": "0.97"}, "drift": {"float": "0.02"}}, "words": {},
    }  # fmt: skip
    assert by_the_book.read_said(GOLDEN, "digits-eu", before)["labels"] == {"region": "eu"}
    words = {
        name: by_the_book.read_said(GOLDEN, "serving", _ref("serving", kind, name)[1])["words"]
        for kind, name in (("branches", "main"), ("tags", "trusted"))
    }
    assert words == {"main": {("eve@example.org", "prod"): False}, "trusted": {("eve@example.org", "prod"): True}}
    assert by_the_book.read_rules(GOLDEN, "serving", "prod").keys() == {"prod"}
    assert by_the_book.read_rules(GOLDEN, "digits", "env/staging").keys() == {"env/*"}
    assert by_the_book.read_rules(GOLDEN, "digits", "prod") == {}


def test_another_reader_finds_every_version_by_its_entry() -> None:
    log = by_the_book.read_log(GOLDEN, "digits")
    remap = by_the_book.read_remap(GOLDEN, log[-1])
    introduced = [entry for entry in log if entry["commit"]]
    assert len(introduced) == len(versions())
    for entry, files in zip(introduced, versions(), strict=True):
        for name in (entry["map"], remap[entry["n"]]):
            row = [0, entry["commit"], entry["n"], entry["versions"], entry["tree"], name]
            assert by_the_book.read_version(GOLDEN, row) == _with_parents(files)


def test_packs_alone_tell_where_every_file_lies() -> None:
    rows_of: dict[str, tuple[Any, ...]] = {}
    recipes: dict[str, tuple[int, dict[int, str]]] = {}
    for path in (GOLDEN / "packs").iterdir():
        rows, found = by_the_book.read_pack(path.read_bytes())
        for row in rows:
            if row[4] != 3 or row[0].hex() not in rows_of:
                rows_of[row[0].hex()] = (path.name, *row[1:5], row[0].hex(), path.stat().st_size, row[5], row[7])

        recipes.update(found)

    def chunk(identity: str) -> tuple[Any, ...]:
        *row, base = rows_of[identity]
        return (*row, chunk(base) if base else None)

    for data in {data for files in versions() for _, data in files.values() if data}:
        total, ids = recipes[blake3(data).hexdigest()]
        assert data == b"".join(by_the_book.read_chunk(GOLDEN, *chunk(ids[number])) for number in range(total))


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A registry that another implementation wrote."""
    by_the_book.write_registry(tmp_path / "foreign", "digits", versions()[0], time_ms=NOON_NS // 10**6)
    return tmp_path / "foreign"


def test_a_registry_written_from_the_page_alone_checks_out(foreign: Path, tmp_path: Path) -> None:
    model = _open(foreign).model("digits")
    (record,) = model.log("prod")
    assert (record.commit.message, record.commit.params, record.branches, record.tags) == (
        "by the book",
        {"lr": 1e-05},
        ("main",),
        ("prod",),
    )
    model.checkout("prod", tmp_path / "out")
    assert _on_disk(tmp_path / "out") == _with_parents(versions()[0])
    assert _open(foreign).fsck(read_data=True).exit_code == 0


def test_a_registry_written_from_the_page_alone_goes_on(foreign: Path, tmp_path: Path) -> None:
    model = _open(foreign).model("digits")
    report = model.commit(write_folder(_fresh(tmp_path), versions()[1]), message="second")
    assert report.number == 2
    row = by_the_book.read_refs(foreign, by_the_book.read_log(foreign, "digits")[-1])["branches"]["main"]
    assert by_the_book.read_version(foreign, row) == _with_parents(versions()[1])
    assert _open(foreign).fsck(read_data=True).exit_code == 0


# What a newer version writes


Change = Callable[[dict[str, Any]], object]
NEWER: dict[str, Change] = {
    "v of format": lambda value: value.update(v=2, more="fields"),
    "format": lambda value: value.update(format=2),
    "encryption": lambda value: value.update(encryption="aead"),
    "chunking": lambda value: value["chunking"].update(algorithm="tensors"),
}


def _rewrite(path: Path, kind: str, change: Change) -> None:
    value = json.loads(path.read_bytes()[65:])
    change(value)
    path.write_bytes(by_the_book.sealed(value, kind))


@pytest.mark.parametrize("what", NEWER)
def test_a_newer_format_is_refused_and_left_alone(golden: Path, what: str) -> None:
    _rewrite(golden / "format", "format", NEWER[what])
    before = _objects(golden)
    with pytest.raises(UnsupportedFormatError, match="upgrade"):
        _open(golden)
    assert _objects(golden) == before


def _uses_of_a_head(model: Model, folder: Path) -> Iterator[Callable[[], object]]:
    yield lambda: model.resolve("main")
    yield model.log
    yield lambda: model.checkout("main", folder / "out")
    yield lambda: model.tag("new", "main")
    yield lambda: model.commit(write_folder(_fresh(folder), versions()[0]))


def test_a_newer_entry_is_refused_by_readers_and_writers(golden: Path, tmp_path: Path) -> None:
    _rewrite(golden / "refs" / "digits" / "0000000010", "entry", lambda value: value.update(v=2, more=1))
    before = _objects(golden)
    for use in _uses_of_a_head(_open(golden).model("digits"), tmp_path):
        with pytest.raises(UnsupportedFormatError, match="upgrade"):
            use()
    assert _objects(golden) == before
    assert not (tmp_path / "out").exists()


def test_what_a_log_knows_of_collections_goes_on(golden: Path) -> None:
    for model in ("digits", "digits-eu", "serving", "scratch"):
        _open(golden).model(model).tag("new", "main")
        last = by_the_book.read_log(golden, model)[-1]
        assert (last["op"], last["gc_seen"], last["gc_settled"]) == ("set", 1, 0)


def test_a_retired_version_says_so(golden: Path) -> None:
    retired = by_the_book.read_log(golden, "scratch")[0]["commit"]
    with pytest.raises(NotFoundError, match="was retired"):
        _open(golden).model("scratch").resolve(retired)


DECODERS: dict[str, Callable[[bytes], object]] = {"commit": decode_commit, "tree": decode_tree, "refs": decode_ref_table}


def _metadata() -> dict[str, bytes]:
    log = by_the_book.read_log(GOLDEN, "digits")
    areas = {"commit": ("commits", log[0]["commit"]), "tree": ("trees", log[0]["tree"]), "refs": ("trees", log[-1]["refs"])}
    return {kind: (GOLDEN / area / name).read_bytes() for kind, (area, name) in areas.items()}


@pytest.mark.parametrize("kind", DECODERS)
@pytest.mark.parametrize(
    ("change", "refusal"),
    [({"v": 2, "more": 1}, UnsupportedFormatError), ({"more": 1}, FormatError), ({"v": 0}, FormatError), ({"kind": "x"}, FormatError)],
)  # fmt: skip
def test_newer_and_unknown_metadata_is_refused(kind: str, change: dict[str, Any], refusal: type[RegistryError]) -> None:
    data = _metadata()[kind]
    DECODERS[kind](data)
    with pytest.raises(refusal):
        DECODERS[kind](by_the_book.canonical({**json.loads(data), **change}))


def test_the_history_of_a_ref_never_runs_in_a_circle(golden: Path) -> None:
    def claim_a_later_move(entry: dict[str, Any]) -> None:
        entry["refs"]["tags"]["prod"][0] = 10

    _rewrite(golden / "refs" / "digits" / "0000000009", "entry", claim_a_later_move)
    model = _open(golden).model("digits")
    for use in (lambda: model.history(RefKind.TAG, "prod"), lambda: model.resolve("prod@{1}")):
        with pytest.raises(IntegrityError, match="refs/digits/0000000009"):
            use()


def test_an_entry_in_anothers_place_is_refused(golden: Path) -> None:
    following = len(by_the_book.read_log(golden, "serving")) + 1
    shutil.copy(golden / "refs" / "digits" / "0000000001", golden / "refs" / "serving" / f"{following:010d}")
    with pytest.raises(IntegrityError, match="another's place"):
        _open(golden).model("serving").resolve("main")


def _commit(identity: str) -> dict[str, Any]:
    return json.loads((GOLDEN / "commits" / identity).read_bytes())


def _ref(model: str, kind: str, name: str) -> list[Any]:
    return by_the_book.read_refs(GOLDEN, by_the_book.read_log(GOLDEN, model)[-1])[kind][name]


def _fresh(parent: Path) -> Path:
    folder = parent / "source"
    folder.mkdir(exist_ok=True)
    return folder
