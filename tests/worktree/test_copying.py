"""Copies of open files: what they hold is known, however they were made. Real clones where the file system of the tests can."""

import errno
import os
from pathlib import Path

import pytest

from cas_registry.errors import IntegrityError
from cas_registry.model.ids import FileId
from cas_registry.worktree import copying
from cas_registry.worktree.copying import clone, copy_file, hash_file, write_all
from tests.support.folders import MIB, make_bytes


def _open_pair(folder: Path, data: bytes) -> tuple[int, int]:
    (folder / "source").write_bytes(data)
    target = os.open(folder / "target", os.O_RDWR | os.O_CREAT | os.O_EXCL)
    return os.open(folder / "source", os.O_RDONLY), target


@pytest.mark.parametrize("size_bytes", [0, 1, 4096, MIB, 2 * MIB + 3])
def test_a_copy_holds_what_its_id_says(tmp_path: Path, size_bytes: int) -> None:
    data = make_bytes(1, size_bytes)
    source, target = _open_pair(tmp_path, data)
    assert copy_file(source, target) == FileId.of(data) == hash_file(target)
    assert (tmp_path / "target").read_bytes() == data


def test_source_and_copy_do_not_see_what_becomes_of_each_other(tmp_path: Path) -> None:
    data = make_bytes(1, MIB)
    source, target = _open_pair(tmp_path, data)
    copy_file(source, target)
    os.pwrite(target, b"mine", 0)
    assert (tmp_path / "source").read_bytes() == data


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.EPERM, errno.ETXTBSY])
def test_where_blocks_cannot_be_shared_bytes_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    asked: list[int] = []

    def refuse(_: int, request: int, __: int) -> int:
        asked.append(request)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.ioctl", refuse)
    source, target = _open_pair(tmp_path, b"bytes")
    assert not clone(source, target)
    assert copy_file(source, target) == FileId.of(b"bytes")
    assert asked == [copying._FICLONE] * 2


def test_of_a_clone_what_was_written_is_hashed_not_what_was_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source changed in the moment of the clone."""

    def other(target: int, _: int, __: int) -> int:
        write_all(target, b"other")
        return 0

    monkeypatch.setattr("fcntl.ioctl", other)
    source, target = _open_pair(tmp_path, b"bytes")
    assert copy_file(source, target) == FileId.of(b"other")


def test_a_source_that_cannot_be_read_is_told_from_a_target_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"bytes")
    readable = os.open(tmp_path / "file", os.O_RDONLY)
    unreadable = os.open(tmp_path / "file", os.O_WRONLY)
    with pytest.raises(IntegrityError, match="cannot be read"):
        copy_file(unreadable, os.open(tmp_path / "target", os.O_RDWR | os.O_CREAT))
    with pytest.raises(OSError, match="Bad file descriptor"):
        copy_file(readable, readable)
