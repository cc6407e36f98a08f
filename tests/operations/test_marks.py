"""Marks through the life of a version: committed, kept, found again, repacked, and refused by a checkout that wants others only."""

import json
import pickle
from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import IntegrityError, UnsafeFileError
from cas_registry.model.on_load import OnLoad
from cas_registry.operations import placing, repack, repack_writing, storing, version_files
from cas_registry.registry import Model
from tests.golden import by_the_book
from tests.support.folders import KIB, File, Folder, make_bytes, read_folder, write_folder
from tests.support.simulated import RoundTripBackend, make_registry, make_world

PICKLE = pickle.dumps({"a": print}, 4)
NONE, RUNS, UNSEEN = OnLoad.NO_PICKLE_FOUND, OnLoad.PICKLE, OnLoad.NOT_LOOKED_AT
FILES: Folder = {
    "big.bin": File(make_bytes(1, 100 * KIB)),
    "big.pkl": File(PICKLE + make_bytes(2, 100 * KIB)),
    "small.json": File(b"{}"),
    "tiny.pkl": File(PICKLE),
    "empty": File(b""),
    "plain/a.txt": File(b"a" * 2000),
    "plain/b.txt": File(b"b" * 2000),
    "pickles/a": File(PICKLE * 100),
}
MARKS = {
    "big.bin": NONE, "big.pkl": RUNS, "empty": NONE, "pickles/a": RUNS, "plain/a.txt": NONE, "plain/b.txt": NONE, "small.json": NONE,
    "tiny.pkl": RUNS,
}  # fmt: skip


def _marks(model: Model, revision: str = "main") -> dict[str, OnLoad | None]:
    return {file.path: file.on_load for file in model.files(revision)}


@pytest.fixture(params=[False, True], ids=["in the root", "in maps of their own"])
def model(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    if request.param:
        for module in (placing, repack_writing):
            monkeypatch.setattr(module, "BIG_FILE_BYTES", 16 * KIB)
            monkeypatch.setattr(module, "INLINE_BYTES", 0)
    return make_registry(RoundTripBackend(MemoryBackend("marks")), make_world(tmp_path / "cache")).model("m")


def test_every_file_has_its_mark(model: Model, tmp_path: Path) -> None:
    model.commit(write_folder(tmp_path / "work", FILES))
    assert _marks(model) == MARKS
    assert [(entry.path, entry.on_load, entry.runs_code) for entry in model.ls("main:pickles")] == [("pickles/a", RUNS, True)]
    folder = next(entry for entry in model.ls("main") if entry.is_folder)
    assert (folder.on_load, folder.runs_code) == (None, False)


def test_marks_stay_with_files_that_are_kept_moved_and_known(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.commit(write_folder(tmp_path / "work", FILES))
    monkeypatch.setattr(storing, "look", lambda _: UNSEEN)
    moved = {**FILES, "small.json": File(b"[]"), "again/tiny": FILES["tiny.pkl"], "again/big": FILES["big.pkl"]}
    model.commit(write_folder(tmp_path / "moved", moved))
    assert _marks(model) == {**MARKS, "small.json": UNSEEN, "again/tiny": RUNS, "again/big": RUNS}
    assert _marks(model, "main~1") == MARKS


def test_a_file_that_nobody_looked_at_gets_its_mark_when_it_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path / "cache")
    model = make_registry(MemoryBackend("marks"), world).model("m")
    big: Folder = {"a": File(PICKLE + make_bytes(3, 1024 * KIB))}
    with monkeypatch.context() as patch:
        patch.setattr(storing, "look", lambda _: UNSEEN)
        model.commit(write_folder(tmp_path / "one", big))
    assert _marks(model) == {"a": UNSEEN}
    model.commit(write_folder(tmp_path / "two", {**big, "b": File(b"b")}))
    assert _marks(model) == {"a": RUNS, "b": NONE}


def test_a_repack_carries_marks_over(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model.commit(write_folder(tmp_path / "work", FILES))
    model.commit(write_folder(tmp_path / "work", {**FILES, "more": File(PICKLE)}))
    monkeypatch.setattr(repack, "WORTH_SHARE", 0)
    assert model.repack().remapped
    assert _marks(model) == {**MARKS, "more": RUNS}
    assert _marks(model, "main~1") == MARKS


def test_the_root_alone_tells_the_marks_of_big_files_and_of_folders_that_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placing, "BIG_FILE_BYTES", 16 * KIB)
    monkeypatch.setattr(placing, "INLINE_BYTES", 0)
    backend = RoundTripBackend(MemoryBackend("marks"))
    model = make_registry(backend, make_world(tmp_path / "cache")).model("m")
    model.commit(write_folder(tmp_path / "work", FILES))
    read: list[object] = []
    load = version_files.VersionFiles.load
    monkeypatch.setattr(
        version_files.VersionFiles,
        "load",
        lambda self, references: load(self, [read.append(item) or item for item in references]),
    )
    model.files("main", ["big.bin", "big.pkl", "plain", "pickles"])
    assert read == []
    model.files("main", ["tiny.pkl"])
    assert len(set(read)) == 1, "the small files at the top differ"


def test_safe_only_refuses_before_anything_is_written(model: Model, tmp_path: Path) -> None:
    model.commit(write_folder(tmp_path / "work", FILES))
    with pytest.raises(UnsafeFileError, match="Nothing was written") as caught:
        model.checkout("main", tmp_path / "out", safe_only=True)
    assert caught.value.fields["paths"] == ["big.pkl", "pickles/a", "tiny.pkl"]
    assert not (tmp_path / "out").exists()
    model.checkout("main", tmp_path / "out", paths=["plain", "*.bin", "empty"], safe_only=True)
    assert read_folder(tmp_path / "out").keys() >= {"big.bin", "plain/a.txt", "empty"}


def test_safe_only_refuses_what_nobody_looked_at(tmp_path: Path) -> None:
    """Another writer need not look; what he leaves is not taken for cleared."""
    root = tmp_path / "registry"
    by_the_book.write_registry(root, "m", {"a.json": ("file", json.dumps([1]).encode()), "empty": ("file", b"")}, time_ms=1)
    from cas_registry.registry import open_registry

    model = open_registry(root, make_world(tmp_path / "cache")).model("m")
    assert _marks(model) == {"a.json": UNSEEN, "empty": NONE}
    with pytest.raises(UnsafeFileError, match=r"were not looked at: a\.json"):
        model.checkout("main", tmp_path / "out", safe_only=True)
    model.checkout("main", tmp_path / "out", paths=["empty"], safe_only=True)


def test_files_are_listed_without_their_maps_and_count_as_not_looked_at(tmp_path: Path) -> None:
    store = MemoryBackend()
    registry = make_registry(store)
    write_folder(tmp_path / "work", {"a.txt": File(b"hello"), "empty": File(b"")})
    registry.model("m").commit(tmp_path / "work")
    assert {file.path: file.on_load for file in registry.model("m").files("main")} == {
        "a.txt": OnLoad.NO_PICKLE_FOUND,
        "empty": OnLoad.NO_PICKLE_FOUND,
    }
    for info in list(store.list("maps/")):
        store.delete(info.key)
    assert {file.path: file.on_load for file in registry.model("m").files("main")} == {
        "a.txt": OnLoad.NOT_LOOKED_AT,
        "empty": OnLoad.NO_PICKLE_FOUND,
    }
    with pytest.raises((IntegrityError, UnsafeFileError)):
        registry.model("m").checkout("main", tmp_path / "out", safe_only=True)
