"""What has to change in a folder is found by what the files hold, and nothing is lost unasked."""

import os
from collections.abc import Iterator
from pathlib import Path

import blake3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cas_registry.errors import LocalEditsError
from cas_registry.model.ids import FileId, TreeId
from cas_registry.model.tree import Mode, TreeEntry
from cas_registry.operations.folder_changes import FolderChanges, Held, arrange_folders, identifier, plan_changes
from cas_registry.operations.version_files import VersionFile
from cas_registry.worktree.stat_cache import StatCache
from cas_registry.worktree.target import TargetFolder

FOLDER = TreeId(bytes(32))


def a_file(path: str, data: bytes, mode: Mode = Mode.FILE) -> VersionFile:
    return VersionFile(path, TreeEntry(Path(path).name, mode, len(data), FileId(blake3.blake3(data).digest())), FOLDER)


def held(*files: VersionFile, folders: tuple[str, ...] = ()) -> Held:
    return Held({file.path: file for file in files}, frozenset(folders))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[TargetFolder]:
    with TargetFolder(tmp_path) as opened:
        yield opened


def plan(folder: TargetFolder, root: Path, wanted: list[VersionFile], *before: Held, whole: bool = True) -> FolderChanges:
    identify = identifier(folder, root, StatCache(None), lambda: 0)
    return plan_changes(folder, wanted, [], before, identify, whole=whole)


def paths_of(files: list[VersionFile]) -> list[str]:
    return [file.path for file in files]


def test_what_is_there_stays(folder: TargetFolder, tmp_path: Path) -> None:
    (tmp_path / "same").write_bytes(b"1")
    changes = plan(folder, tmp_path, [a_file("same", b"1"), a_file("new", b"2")])
    assert (paths_of(changes.write), changes.unchanged, changes.edits) == (["new"], 1, [])
    assert changes


def test_a_file_that_no_held_version_knows_is_an_edit(folder: TargetFolder, tmp_path: Path) -> None:
    (tmp_path / "edited").write_bytes(b"mine")
    (tmp_path / "theirs").write_bytes(b"old")
    wanted = [a_file("edited", b"new"), a_file("theirs", b"new")]
    changes = plan(folder, tmp_path, wanted, held(a_file("theirs", b"old"), a_file("edited", b"old")))
    assert (paths_of(changes.write), changes.edits) == (["edited", "theirs"], ["edited"])
    with pytest.raises(LocalEditsError, match="edited") as refused:
        changes.refuse(tmp_path, force=False)
    assert "theirs" not in str(refused.value)
    changes.refuse(tmp_path, force=True)


def test_what_the_version_lacks_goes_if_a_held_one_had_it(folder: TargetFolder, tmp_path: Path) -> None:
    for name in ("held", "changed", "foreign"):
        (tmp_path / name).write_bytes(name.encode())
    changes = plan(folder, tmp_path, [], held(a_file("held", b"held"), a_file("changed", b"before"), a_file("gone", b"")))
    assert (changes.remove, changes.edits) == (["changed", "held"], ["changed"])
    changes.finish(folder)
    assert sorted(os.listdir(tmp_path)) == ["foreign"]


def test_of_a_part_nothing_is_removed(folder: TargetFolder, tmp_path: Path) -> None:
    (tmp_path / "held").write_bytes(b"held")
    assert not plan(folder, tmp_path, [], held(a_file("held", b"held")), whole=False)


def test_permissions_are_changed_where_a_file_has_one_name_alone(folder: TargetFolder, tmp_path: Path) -> None:
    for name in ("run", "linked"):
        (tmp_path / name).write_bytes(b"#!")
    os.link(tmp_path / "linked", tmp_path / "other")
    wanted = [a_file("run", b"#!", Mode.EXECUTABLE), a_file("linked", b"#!", Mode.EXECUTABLE)]
    changes = plan(folder, tmp_path, wanted)
    assert (paths_of(changes.chmod), paths_of(changes.write)) == (["run"], ["linked"])
    changes.finish(folder)
    assert os.access(tmp_path / "run", os.X_OK)
    assert not os.access(tmp_path / "linked", os.X_OK)


def test_a_held_folder_makes_room_for_a_file_and_a_foreign_one_does_not(folder: TargetFolder, tmp_path: Path) -> None:
    for name in ("ours", "mixed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_bytes(b"a")
    (tmp_path / "mixed" / "mine").write_bytes(b"mine")
    before = held(a_file("ours/a", b"a"), a_file("mixed/a", b"a"))

    changes = plan(folder, tmp_path, [a_file("ours", b"now a file")], before)
    assert not changes.obstacles
    changes.clear_the_way(folder)
    assert not (tmp_path / "ours").exists()

    (tmp_path / "mixed" / "a").write_bytes(b"a")
    changes = plan(folder, tmp_path, [a_file("mixed", b"now a file")], before)
    assert changes.obstacles == {"mixed/mine"}
    with pytest.raises(LocalEditsError, match="mixed/mine"):
        changes.refuse(tmp_path, force=True)


def test_empty_folders_of_earlier_versions_go(folder: TargetFolder, tmp_path: Path) -> None:
    (tmp_path / "old" / "below").mkdir(parents=True)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine").write_bytes(b"")
    arrange_folders(folder, ["new"], [held(folders=("old", "old/below", "used"))])
    assert sorted(os.listdir(tmp_path)) == ["new", "used"]


CONTENTS = st.dictionaries(st.sampled_from("abcd"), st.sampled_from([b"1", b"2"]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(on_disk=CONTENTS, before=CONTENTS, wanted=CONTENTS)
def test_only_what_was_held_is_touched_without_force(
    tmp_path: Path, on_disk: dict[str, bytes], before: dict[str, bytes], wanted: dict[str, bytes]
) -> None:
    for name in "abcd":
        (tmp_path / name).unlink(missing_ok=True)
        if name in on_disk:
            (tmp_path / name).write_bytes(on_disk[name])
    with TargetFolder(tmp_path) as folder:
        changes = plan(
            folder, tmp_path, [a_file(*item) for item in wanted.items()], held(*(a_file(*item) for item in before.items()))
        )
    touched = {*paths_of(changes.write), *changes.remove} & on_disk.keys()
    assert set(changes.edits) == {name for name in touched if on_disk[name] != before.get(name)}
    assert touched == {name for name in on_disk if name in wanted.keys() | before.keys() and on_disk[name] != wanted.get(name)}
