"""The cache of files: never an obstacle, never beyond its limit, and shared by processes without a lock."""

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cas_registry.model.ids import FileId
from cas_registry.worktree import file_cache
from cas_registry.worktree.file_cache import FileCache
from tests.support.folders import MIB, make_bytes

DAY_NS = 24 * 3600 * 10**9


class Ticks:
    """A clock of which every look is a second later."""

    def __init__(self) -> None:
        self.now_ns = 10**18

    def __call__(self) -> int:
        self.now_ns += 10**9
        return self.now_ns


def make_cache(folder: Path, limit_bytes: int = 100 * MIB, clock: Callable[[], int] | None = None) -> FileCache:
    return FileCache(folder, limit_bytes=limit_bytes, clock_ns=clock or Ticks())


def insert(cache: FileCache, data: bytes, scratch: Path, *, name: FileId | None = None, spare_bytes: int = 0) -> bool:
    scratch.write_bytes(data)
    handle = os.open(scratch, os.O_RDONLY)
    try:
        return cache.insert(name or FileId.of(data), len(data), handle, spare_bytes=spare_bytes)
    finally:
        os.close(handle)


def take(cache: FileCache, data: bytes) -> bytes | None:
    with cache.open(FileId.of(data), len(data)) as handle:
        return None if handle is None else os.pread(handle, len(data) + 1, 0)


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_file_is_kept_read_only_under_its_id(tmp_path: Path) -> None:
    data = make_bytes(1, MIB)
    cache = make_cache(tmp_path / "cache")
    identity = FileId.of(data)
    assert not cache.has(identity, MIB)
    assert insert(cache, data, tmp_path / "source")
    path = tmp_path / "cache/files" / identity.hex[:2] / identity.hex
    assert files_of(tmp_path / "cache/files") == {f"{identity.hex[:2]}/{identity.hex}"}
    assert path.stat().st_mode & 0o777 == 0o444
    assert (tmp_path / "cache/files").stat().st_mode & 0o777 == 0o700
    assert cache.has(identity, MIB)
    assert take(cache, data) == data
    assert insert(cache, data, tmp_path / "source"), "again is free of effect"
    assert not cache.has(identity, MIB + 1)


def test_what_is_not_the_file_is_not_kept(tmp_path: Path) -> None:
    cache = make_cache(tmp_path)
    assert not insert(cache, make_bytes(1, MIB), tmp_path / "source", name=FileId.of(b"another"))
    assert files_of(tmp_path / "files") == set()


@pytest.mark.parametrize("size_bytes", [0, 3 * MIB + 1])
def test_empty_files_and_those_beyond_the_limit_are_not_kept(tmp_path: Path, size_bytes: int) -> None:
    cache = make_cache(tmp_path / "cache", 3 * MIB)
    assert not insert(cache, make_bytes(1, size_bytes), tmp_path / "source")
    assert not (tmp_path / "cache").exists()


def test_no_folder_or_no_room_at_all_is_no_cache(tmp_path: Path) -> None:
    for cache in (FileCache(None, limit_bytes=MIB, clock_ns=Ticks()), make_cache(tmp_path / "cache", 0)):
        assert not insert(cache, make_bytes(1, MIB), tmp_path / "source")
        assert take(cache, make_bytes(1, MIB)) is None
        cache.discard(FileId.of(b""), MIB)
        cache.trim()
    assert not (tmp_path / "cache").exists()


# The limit


def test_the_least_recently_used_go_first_and_the_limit_holds_at_every_moment(tmp_path: Path) -> None:
    clock = Ticks()
    datas = [make_bytes(number, MIB) for number in range(5)]
    for data in datas[:3]:
        assert insert(make_cache(tmp_path, 3 * MIB, clock), data, tmp_path / "source")
    for data in (datas[0], datas[2]):
        assert take(make_cache(tmp_path, 3 * MIB, clock), data) == data
    assert insert(make_cache(tmp_path, 3 * MIB, clock), datas[3], tmp_path / "source")
    there = [make_cache(tmp_path, 3 * MIB).has(FileId.of(data), MIB) for data in datas]
    assert there == [True, False, True, True, False]


def test_what_one_checkout_uses_is_not_removed_for_what_it_adds(tmp_path: Path) -> None:
    """A version larger than the cache keeps its first files there, instead of each removing the one before."""
    datas = [make_bytes(number, MIB) for number in range(5)]
    cache = make_cache(tmp_path, 3 * MIB)
    assert [insert(cache, data, tmp_path / "source") for data in datas] == [True, True, True, False, False]
    cache.trim()
    assert len(files_of(tmp_path / "files")) == 3


def test_a_smaller_limit_and_what_others_added_are_trimmed(tmp_path: Path) -> None:
    clock = Ticks()
    datas = [make_bytes(number, MIB) for number in range(4)]
    for data in datas:
        assert insert(make_cache(tmp_path, 9 * MIB, clock), data, tmp_path / "source")
    make_cache(tmp_path, 2 * MIB, clock).trim()
    assert [make_cache(tmp_path).has(FileId.of(data), MIB) for data in datas] == [False, False, True, True]


def test_what_was_left_half_written_goes_after_a_day(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    for name, age_ns in (("tmp-old", DAY_NS + 10**11), ("tmp-new", 0)):
        (tmp_path / "files" / name).write_bytes(b"half")
        os.utime(tmp_path / "files" / name, ns=(0, 10**18 - age_ns))
    cache = make_cache(tmp_path)
    cache.trim()
    assert files_of(tmp_path / "files") == {"tmp-new"}


def test_the_disk_is_not_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = make_cache(tmp_path)
    monkeypatch.setattr(file_cache, "_free_bytes", lambda _: 3 * MIB)
    assert not insert(cache, make_bytes(1, MIB), tmp_path / "source", spare_bytes=2 * MIB + 1)
    assert insert(cache, make_bytes(1, MIB), tmp_path / "source", spare_bytes=2 * MIB)


# What goes wrong


@pytest.mark.parametrize("stage", ["mkdir", "open", "write", "fchmod", "rename", "statvfs"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, number: int
) -> None:
    hit: list[str] = []

    def fail(*_: object, **__: object) -> object:
        hit.append(stage)
        raise OSError(number, os.strerror(number))

    cache = make_cache(tmp_path / "cache")
    (tmp_path / "source").write_bytes(make_bytes(1, MIB))
    handle = os.open(tmp_path / "source", os.O_RDONLY)
    with monkeypatch.context() as patch:
        patch.setattr("fcntl.ioctl", fail)  # so that bytes are written
        patch.setattr(os, stage, fail)
        hit.clear()
        assert not cache.insert(FileId.of(make_bytes(1, MIB)), MIB, handle, spare_bytes=0)
    assert hit.count(stage) >= 1
    assert files_of(tmp_path / "cache") == set()
    assert cache.insert(FileId.of(make_bytes(1, MIB)), MIB, handle, spare_bytes=0), "once it can"


LIMITED = """
import resource, sys
from pathlib import Path
from tests.support.folders import MIB, make_bytes
from tests.worktree.test_file_cache import files_of, insert, make_cache

root = Path(sys.argv[1])
cache = make_cache(root / "cache")
data = make_bytes(1, MIB)
(root / "source").write_bytes(data)
resource.setrlimit(resource.RLIMIT_FSIZE, (MIB // 2, MIB // 2))
import os
from cas_registry.model.ids import FileId
assert not cache.insert(FileId.of(data), MIB, os.open(root / "source", os.O_RDONLY), spare_bytes=0)
assert files_of(root / "cache") == set()
"""


def test_a_file_beyond_what_the_system_lets_this_process_write(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path)], check=True, cwd=Path(__file__).parents[2])


def test_a_cache_below_a_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"a file")
    cache = make_cache(tmp_path / "cache")
    assert not insert(cache, make_bytes(1, MIB), tmp_path / "source")
    assert take(cache, make_bytes(1, MIB)) is None
    cache.trim()


def _entry(folder: Path, data: bytes) -> Path:
    identity = FileId.of(data)
    return folder / "files" / identity.hex[:2] / identity.hex


STRANGE: dict[str, Callable[[Path], object]] = {
    "a link": lambda path: path.symlink_to("/etc/hostname"),
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
}


@pytest.mark.parametrize("kind", STRANGE)
def test_what_stands_in_the_place_of_a_file_is_not_taken_for_one(tmp_path: Path, kind: str) -> None:
    data = make_bytes(1, MIB)
    _entry(tmp_path, data).parent.mkdir(parents=True)
    STRANGE[kind](_entry(tmp_path, data))
    cache = make_cache(tmp_path)
    assert not cache.has(FileId.of(data), MIB)
    assert insert(cache, data, tmp_path / "source") == (kind != "a folder")
    cache.discard(FileId.of(data), MIB)
    cache.trim()


def test_a_file_that_another_process_removes_meanwhile_is_no_failure(tmp_path: Path) -> None:
    datas = [make_bytes(number, MIB) for number in range(3)]
    first, second = make_cache(tmp_path, 2 * MIB), make_cache(tmp_path, 2 * MIB)
    assert insert(first, datas[0], tmp_path / "source")
    assert second._make_room(MIB)
    first.discard(FileId.of(datas[0]), MIB)
    assert insert(second, datas[1], tmp_path / "source")
    assert insert(second, datas[2], tmp_path / "source")
    assert take(first, datas[0]) is None


# Several processes

CONTENDER = """
import os, random, sys, time
from pathlib import Path
from cas_registry.model.ids import FileId
from cas_registry.worktree.file_cache import FileCache
from cas_registry.worktree.target import TargetFolder
from tests.support.folders import MIB, make_bytes

root, seed = Path(sys.argv[1]), int(sys.argv[2])
datas = [make_bytes(number, MIB + number) for number in range(4)]
chance = random.Random(seed)
copied = 0
with TargetFolder(root / f"out{seed}") as folder:
    for turn in range(120):
        cache = FileCache(root / "cache", limit_bytes=2 * MIB + 10, clock_ns=time.time_ns)
        data = chance.choice(datas)
        file = FileId.of(data)
        with cache.open(file, len(data)) as handle:
            stat = folder.copy("model.bin", handle, file, executable=False) if handle is not None else None
            assert handle is None or stat is not None, "whole, or not there"
        if stat is None:
            folder.write("model.bin", iter([data]), executable=False)
            source = folder.open_file("model.bin")
            cache.insert(file, len(data), source, spare_bytes=0)
            os.close(source)
        else:
            copied += 1
        assert (root / f"out{seed}/model.bin").read_bytes() == data
        cache.trim()
print(copied)
"""


def test_processes_that_fill_and_empty_one_cache_give_each_other_whole_files_only(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    running = [
        subprocess.Popen([sys.executable, "-c", CONTENDER, str(tmp_path), str(seed)], cwd=root, stdout=subprocess.PIPE)
        for seed in (1, 2)
    ]
    copied = [int(process.communicate()[0]) for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert all(copied), "each found something there"
    assert sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*") if path.is_file()) <= 2 * MIB + 10


@contextmanager
def user(number: int) -> Iterator[None]:
    os.setegid(number)
    os.seteuid(number)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be somebody else")
def test_users_share_a_cache_that_somebody_made_for_them() -> None:
    data, other = make_bytes(1, MIB), make_bytes(2, MIB)
    with tempfile.TemporaryDirectory() as shared:
        folder = Path(shared)
        folder.chmod(0o755)
        (folder / "files").mkdir()
        (folder / "files").chmod(0o1777)
        (folder / "scratch").mkdir()
        (folder / "scratch").chmod(0o1777)
        with user(12345):
            assert insert(make_cache(folder), data, folder / "scratch/first")
        with user(12346):
            cache = make_cache(folder)
            assert take(cache, data) == data
            beside = next(
                made for number in range(2000) if FileId.of(made := b"%d" % number).hex[:2] == FileId.of(data).hex[:2]
            )
            assert insert(cache, beside, folder / "scratch/second")  # into a folder that the first one made
            assert insert(cache, other, folder / "scratch/third")
        with user(12345):
            assert take(make_cache(folder), other) == other


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be somebody else")
def test_a_cache_that_nobody_made_for_others_is_its_owners() -> None:
    data = make_bytes(1, MIB)
    with tempfile.TemporaryDirectory() as shared:
        folder = Path(shared)
        folder.chmod(0o1777)
        with user(12345):
            assert insert(make_cache(folder), data, folder / "first")
        with user(12346):
            assert take(make_cache(folder), data) is None
