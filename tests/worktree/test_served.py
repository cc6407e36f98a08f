"""The folder that serves: what it takes for a version, what it remembers, and what survives whoever is stopped."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.errors import AccessError, BackendError, ConflictError, FormatError
from cas_registry.model.ids import CommitId, TreeId
from cas_registry.worktree import served as module
from cas_registry.worktree.binding import FolderState, write_state
from cas_registry.worktree.served import Refused, ServedFolder, ServedState, _parse
from cas_registry.worktree.target import TargetFolder

COMMIT, TREE = CommitId.of(b"commit"), TreeId.of(b"tree")
REGISTRY = "0" * 32


def write_version(root: Path, number: int, *, pending: bool = False) -> str:
    name = f"v{number}-{COMMIT.short}"
    with TargetFolder(root / name) as folder:
        write_state(folder, FolderState(REGISTRY, "m", ".", COMMIT.hex, TREE, (TREE,) if pending else ()))
    (root / name / "model.bin").write_bytes(b"weights")
    return name


def test_what_is_remembered_is_read_back(tmp_path: Path) -> None:
    with ServedFolder(tmp_path) as served:
        assert served.read_state() is None
        for state in (
            ServedState(REGISTRY, "m"),
            ServedState(REGISTRY, "m", f"v1-{COMMIT.short}", Refused(COMMIT.hex, 7), settled=False),
        ):
            served.write_state(state)
            assert served.read_state() == state


@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.sampled_from(["registry", "model", "previous", "refused", "settled", "commit", "moved"]), inner)).map(lambda value: module.json.dumps(value).encode()))  # fmt: skip
def test_bytes_of_strangers_are_a_state_or_a_format_error(data: bytes) -> None:
    try:
        state = _parse(data)
    except FormatError:
        return
    assert isinstance(state.registry, str)
    assert isinstance(state.settled, bool)


def test_current_is_switched_and_taken_away(tmp_path: Path) -> None:
    with ServedFolder(tmp_path) as served:
        assert served.current() is None
        served.switch(None)
        for number in (1, 2):
            name = write_version(tmp_path, number)
            served.switch(name)
            assert served.current() == name
            assert (tmp_path / "current" / "model.bin").read_bytes() == b"weights"
        served.switch(None)
        assert served.current() is None
    assert sorted(path.name for path in tmp_path.iterdir()) == [".reg", f"v1-{COMMIT.short}", f"v2-{COMMIT.short}"]


def test_a_version_is_a_folder_that_was_finished_and_is_of_the_commit_in_its_name(tmp_path: Path) -> None:
    with ServedFolder(tmp_path) as served:
        name = write_version(tmp_path, 3)
        found = served.version(name)
        assert found
        assert (found.number, found.commit, found.tree, found.name) == (3, COMMIT, TREE, name)
        assert served.version(write_version(tmp_path, 4, pending=True)) is None
        (tmp_path / name).rename(tmp_path / "v3-0123456789ab")
        for other in ("v3-0123456789ab", "v9-0123456789ab", "notes", None, "..", f"../{name}"):
            assert served.version(other) is None


def test_what_was_left_by_somebody_who_was_stopped_goes(tmp_path: Path) -> None:
    (tmp_path / ".current-0123").symlink_to("v1-0123456789ab")
    (tmp_path / ".removed-0123" / "deep").mkdir(parents=True)
    (tmp_path / ".removed-0123" / "deep" / "file").write_bytes(b"x")
    name = write_version(tmp_path, 1)
    (tmp_path / name / ".reg-tmp-0123").write_bytes(b"half")
    with ServedFolder(tmp_path) as served:
        served.switch(name)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".reg", "current", name]
    assert not (tmp_path / name / ".reg-tmp-0123").exists()


def test_a_folder_is_locked_as_long_as_it_is_open(tmp_path: Path) -> None:
    with ServedFolder(tmp_path), pytest.raises(ConflictError, match="another process"):
        ServedFolder(tmp_path).__enter__()
    with ServedFolder(tmp_path):
        pass


def test_a_file_system_without_links_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(95, "Operation not supported")

    with ServedFolder(tmp_path) as served:
        name = write_version(tmp_path, 1)
        monkeypatch.setattr(os, "symlink", refuse)
        with pytest.raises(BackendError, match="has no links"):
            served.switch(name)
        assert served.current() is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_an_access_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(AccessError):
        ServedFolder(tmp_path / "serve").__enter__()
    tmp_path.chmod(0o700)
