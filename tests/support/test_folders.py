"""The folders that tests are made of: written as they are described, read as they are, and such as any disk can hold."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings

from cas_registry.model.names import check_path, fold
from tests.support.folders import File, Folder, folders, make_bytes, put, read_folder, versions, write_folder


@settings(max_examples=20)
@given(versions())
def test_a_folder_that_is_written_reads_back_whatever_was_there(
    tmp_path_factory: pytest.TempPathFactory, made: list[dict[str, File | None]]
) -> None:
    root = tmp_path_factory.mktemp("folder")
    for decomposed in (False, True):
        for folder in made:
            write_folder(root, folder, decomposed=decomposed)
            assert read_folder(root) == folder


@settings(max_examples=50)
@given(folders())
def test_generated_folders_hold_names_that_the_format_takes_and_no_two_alike(folder: dict[str, File | None]) -> None:
    for path in folder:
        check_path(path)
    parents = {"/".join(path.split("/")[:depth]) for path in folder for depth in range(1, len(path.split("/")) + 1)}
    assert len({"/".join(fold(part) for part in path.split("/")) for path in parents}) == len(parents)
    assert not any(folder.get(parent) for parent in parents if parent not in folder or folder[parent] is None)


def test_only_what_differs_is_touched(tmp_path: Path) -> None:
    folder: Folder = {"same": File(b"same"), "d/same": File(b"same"), "other": File(b"1")}
    write_folder(tmp_path, folder)
    before = {path: (tmp_path / path).stat().st_ctime_ns for path in folder}
    write_folder(tmp_path, {**folder, "other": File(b"2")})
    after = {path: (tmp_path / path).stat().st_ctime_ns for path in folder}
    assert [path for path in folder if before[path] != after[path]] == ["other"]


def test_a_folder_can_be_written_as_macos_spells_it(tmp_path: Path) -> None:
    write_folder(tmp_path, {"é/ü.txt": File(b"x")}, decomposed=True)
    assert [path.name for path in tmp_path.iterdir()] == [unicodedata.normalize("NFD", "é")]
    assert read_folder(tmp_path) == {"é/ü.txt": File(b"x")}


def test_what_no_disk_can_hold_side_by_side_is_not_put_in() -> None:
    folder: dict[str, File | None] = {}
    assert put(folder, "a/b", File(b""))
    assert not put(folder, "A/c", File(b""))
    assert not put(folder, "a", File(b""))
    assert not put(folder, "a/b/c", File(b""))
    assert put(folder, "a/c", None)
    assert put(folder, "a/c/d", File(b""))
    assert folder == {"a/b": File(b""), "a/c/d": File(b"")}


def test_longer_bytes_start_as_shorter_ones_do() -> None:
    assert make_bytes(1, 1_000)[:10] == make_bytes(1, 10)
    assert make_bytes(1, 100) != make_bytes(2, 100)
    assert [len(make_bytes(0, size)) for size in range(20)] == list(range(20))
