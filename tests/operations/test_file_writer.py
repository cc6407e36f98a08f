"""Checkouts with the cache of files: what is asked of the store, and what becomes of a cache that is not what it should be."""

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.opening import open_backend
from cas_registry.backends.wrappers import CountingBackend
from cas_registry.errors import IntegrityError, InvalidInputError
from cas_registry.model.ids import FileId
from cas_registry.operations import file_writer
from cas_registry.registry import Model, init_registry, registry_over
from cas_registry.settings import Settings
from cas_registry.store.layout import object_key
from cas_registry.worktree import copying, file_cache
from tests.support.folders import KIB, MIB, File, Folder, make_bytes, read_folder, write_folder
from tests.support.simulated import Clock, FarBackend, RoundTripBackend, make_registry, make_world

BIG = make_bytes(1, 3 * MIB)
VERSION: Folder = {
    "model.bin": File(BIG),
    "run.bin": File(make_bytes(2, 2 * MIB), executable=True),
    "config.json": File(b"{}"),
    "small.bin": File(make_bytes(3, 100 * KIB)),
}
SMALL_BYTES = 100 * KIB + 2
ALL_BYTES = 5 * MIB + SMALL_BYTES


@dataclass
class Bench:
    store: MemoryBackend
    backend: RoundTripBackend
    model: Model
    root: Path

    @property
    def cached(self) -> Path:
        """The cache's copy of the big file."""
        identity = FileId.of(BIG)
        return self.root / "cache/files" / identity.hex[:2] / identity.hex

    def areas(self) -> set[str]:
        return {key.partition("/")[0] for _, key in self.backend.keys}

    def files(self) -> list[Path]:
        return [path for path in (self.root / "cache/files").rglob("*") if path.is_file()]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    store = MemoryBackend("cache")
    backend = RoundTripBackend(FarBackend(store))
    model = make_registry(backend, make_world(tmp_path / "cache")).model("m")
    model.commit(write_folder(tmp_path / "in", VERSION))
    return Bench(store, backend, model, tmp_path)


# What is asked of the store


def test_a_second_checkout_elsewhere_fetches_no_byte_of_a_file(bench: Bench) -> None:
    first = bench.model.checkout("main", bench.root / "one")
    assert (first.cached_bytes, first.written_bytes) == (0, ALL_BYTES)
    assert first.fetched_bytes >= 5 * MIB
    bench.backend.reset()
    second = bench.model.checkout("main", bench.root / "two")
    assert read_folder(bench.root / "two") == VERSION
    assert (second.cached_bytes, second.seeded_bytes, second.fetched_bytes) == (ALL_BYTES, 0, 0)
    assert bench.backend.bytes_in < 4 * KIB
    assert not (bench.root / "two/model.bin").samefile(bench.cached)


def test_where_all_is_cached_metadata_alone_is_fetched(bench: Bench) -> None:
    bench.model.commit(write_folder(bench.root / "in", {"model.bin": File(BIG)}))
    bench.model.checkout("main", bench.root / "one")
    bench.backend.reset()
    report = bench.model.checkout("main", bench.root / "two")
    assert bench.areas() <= {"refs", "trees"}, "not even a map"
    assert (report.fetched_bytes, report.cached_bytes) == (0, 3 * MIB)


def test_the_same_on_a_real_store(s3_url: str, s3_options: dict[str, object], tmp_path: Path) -> None:
    world = make_world(tmp_path / "cache")
    init_registry(s3_url, world, storage_options=s3_options)
    counting = CountingBackend(open_backend(s3_url, s3_options))
    model = registry_over(counting, world).model("m")
    model.commit(write_folder(tmp_path / "in", VERSION))
    model.checkout("main", tmp_path / "one")
    counting.reset()
    report = model.checkout("main", tmp_path / "two")
    assert read_folder(tmp_path / "two") == VERSION
    assert report.cached_bytes == ALL_BYTES
    assert counting.bytes_in < 4 * KIB
    changed = {**VERSION, "model.bin": File(BIG[: 2 * MIB] + b"changed" + BIG[2 * MIB :])}
    model.commit(write_folder(tmp_path / "in", changed))
    counting.reset()
    report = model.checkout("main", tmp_path / "two")
    assert read_folder(tmp_path / "two") == changed
    assert report.seeded_bytes > 2 * MIB
    assert counting.bytes_in < 600 * KIB


def test_the_files_of_a_remote_registry_are_kept(bench: Bench, tmp_path: Path) -> None:
    bench.model.checkout("main", bench.root / "one")
    assert sorted(path.stat().st_size for path in bench.files()) == [2, 100 * KIB, 2 * MIB, 3 * MIB]
    near = make_registry(MemoryBackend("near"), make_world(tmp_path / "near cache")).model("m")
    near.commit(tmp_path / "in")
    near.checkout("main", tmp_path / "near out")
    assert not (tmp_path / "near cache/files").exists()


def test_of_very_many_small_files_none_is_kept_unless_all_are_wanted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_writer, "FEW_SMALL_FILES", 1)
    bench.model.checkout("main", bench.root / "one")
    assert sorted(path.stat().st_size for path in bench.files()) == [2 * MIB, 3 * MIB]
    bench.model.fetch("main")
    assert sorted(path.stat().st_size for path in bench.files()) == [2, 100 * KIB, 2 * MIB, 3 * MIB]


def test_links_to_a_registry_that_is_here_keep_large_files_alone(tmp_path: Path) -> None:
    near = make_registry(MemoryBackend("near"), make_world(tmp_path / "cache")).model("m")
    near.commit(write_folder(tmp_path / "in", VERSION))
    near.checkout("main", tmp_path / "out", link=True)
    assert sorted(path.stat().st_size for path in (tmp_path / "cache/files").glob("*/*")) == [2 * MIB, 3 * MIB]


def test_without_the_cache_nothing_is_taken_or_kept(bench: Bench) -> None:
    bench.model.checkout("main", bench.root / "one", cache=False)
    assert bench.files() == []
    bench.model.checkout("main", bench.root / "two")
    report = bench.model.checkout("main", bench.root / "three", cache=False)
    assert report.cached_bytes == 0
    assert report.fetched_bytes >= 5 * MIB


@pytest.mark.parametrize(
    "world", [make_world(None), Settings(author="ana", cache_folder=Path("/dev/null/x"), clock_ns=Clock())]
)
def test_a_world_without_a_cache_is_served_all_the_same(bench: Bench, world: Settings) -> None:
    report = registry_over(bench.backend, world).model("m").checkout("main", bench.root / "one")
    assert read_folder(bench.root / "one") == VERSION
    assert report.cached_bytes == 0


def test_the_limit_is_the_worlds(bench: Bench) -> None:
    world = Settings(author="ana", cache_folder=bench.root / "cache", cache_bytes=4 * MIB, clock_ns=Clock())
    registry_over(bench.backend, world).model("m").checkout("main", bench.root / "one")
    assert sorted(path.stat().st_size for path in bench.files()) == [2, 100 * KIB, 3 * MIB]


# A cache that is not what it should be


def _flip(path: Path) -> None:
    """Another byte, the size and the time as before."""
    status = path.stat()
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(MIB)
        file.write(b"\0\1\2")
    path.chmod(0o444)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _put(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


SPOILT: dict[str, Callable[[Path], object]] = {
    "damaged under its old time": _flip,
    "cut short": lambda path: os.truncate(path, MIB),
    "empty": lambda path: os.truncate(path, 0),
    "grown": lambda path: os.truncate(path, 4 * MIB),
    "a link": lambda path: _put(path, lambda path: path.symlink_to("/etc/hostname")),
    "a folder": lambda path: _put(path, lambda path: path.mkdir()),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("kind", SPOILT)
def test_a_spoilt_file_is_noticed_fetched_and_replaced(bench: Bench, kind: str, link: bool) -> None:
    bench.model.checkout("main", bench.root / "one")
    SPOILT[kind](bench.cached)
    report = bench.model.checkout("main", bench.root / "two", link=link)
    assert read_folder(bench.root / "two") == VERSION
    assert report.cached_bytes == 2 * MIB + SMALL_BYTES
    assert report.fetched_bytes >= 3 * MIB
    assert not list(bench.root.rglob(".reg-tmp-*"))
    if kind != "a folder":
        assert bench.cached.read_bytes() == BIG
        assert not bench.cached.is_symlink()


def test_a_file_that_gives_errors_is_fetched(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.model.checkout("main", bench.root / "one")
    monkeypatch.setattr(copying, "clone", lambda *_: False)
    monkeypatch.setattr(copying, "_read", _failing_once(copying._read))
    report = bench.model.checkout("main", bench.root / "two")
    assert read_folder(bench.root / "two") == VERSION
    assert report.cached_bytes == ALL_BYTES - 2, "all but config.json, which is read first"


def _failing_once(read: Callable[[int, int], bytes]) -> Callable[[int, int], bytes]:
    failed: list[bool] = []

    def attempt(handle: int, offset: int) -> bytes:
        if not failed:
            failed.append(True)
            raise IntegrityError("a bad sector")
        return read(handle, offset)

    return attempt


def test_a_file_that_goes_between_the_look_and_the_use_is_fetched(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.model.checkout("main", bench.root / "one")
    monkeypatch.setattr(file_cache.FileCache, "has", lambda *_: True)
    bench.cached.unlink()
    report = bench.model.checkout("main", bench.root / "two")
    assert read_folder(bench.root / "two") == VERSION
    assert report.fetched_bytes >= 3 * MIB


def test_a_full_disk_keeps_the_cache_from_growing_not_the_checkout(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(file_cache, "_write", full)
    bench.model.checkout("main", bench.root / "one")
    assert read_folder(bench.root / "one") == VERSION
    assert bench.files() == []


def test_room_is_left_for_the_files_that_are_still_to_be_written(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_cache, "_free_bytes", lambda _: 5 * MIB)
    bench.model.checkout("main", bench.root / "one")
    assert sorted(path.stat().st_size for path in bench.files()) == [100 * KIB, 2 * MIB], "run.bin, after which 100 KiB follow"
    monkeypatch.setattr(file_cache, "_free_bytes", lambda _: 5 * MIB + 100 * KIB)
    bench.model.checkout("main", bench.root / "two", cache=False)
    bench.model.checkout("main", bench.root / "three")
    assert sorted(path.stat().st_size for path in bench.files())[-2:] == [2 * MIB, 3 * MIB]


def test_a_map_that_is_missing_is_noticed_before_anything_changes(bench: Bench) -> None:
    bench.store.delete(object_key(bench.model.resolve("main").map))
    with pytest.raises(IntegrityError):
        bench.model.checkout("main", bench.root / "two")
    assert read_folder(bench.root / "two") == {}


def test_a_file_that_changed_right_after_it_was_written_is_not_kept(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    insert = file_cache.FileCache.insert

    def meddled(self: file_cache.FileCache, file: FileId, size_bytes: int, source: int, *, spare_bytes: int) -> bool:
        (bench.root / "one/model.bin").write_bytes(bytes(size_bytes))
        return insert(self, file, size_bytes, source, spare_bytes=spare_bytes)

    monkeypatch.setattr(file_cache.FileCache, "insert", meddled)
    bench.model.checkout("main", bench.root / "one", paths=["model.bin"])
    assert bench.files() == []


# Links


def test_linked_files_are_names_of_the_caches_own_read_only(bench: Bench) -> None:
    for name in ("one", "two"):
        bench.model.checkout("main", bench.root / name, link=True)
        assert read_folder(bench.root / name) == VERSION
        linked = bench.root / name / "model.bin"
        assert linked.samefile(bench.cached)
        assert stat.S_IMODE(linked.stat().st_mode) == 0o444
        assert (bench.root / name / "run.bin").stat().st_nlink == 1, "what may be run is copied"
        assert (bench.root / name / "small.bin").stat().st_nlink == 1
    assert bench.cached.stat().st_nlink == 3
    again = bench.model.checkout("main", bench.root / "two", link=True)
    assert (again.written, again.unchanged) == ((), 4)


def test_links_are_for_registries_in_folders_too(bench: Bench) -> None:
    near = make_registry(MemoryBackend("near"), make_world(bench.root / "cache")).model("m")
    near.commit(bench.root / "in")
    near.checkout("main", bench.root / "one", link=True)
    assert (bench.root / "one/model.bin").samefile(bench.cached)


def test_another_version_over_links_leaves_the_cache_as_it_is(bench: Bench) -> None:
    bench.model.checkout("main", bench.root / "one", link=True)
    bench.model.commit(write_folder(bench.root / "in", {"model.bin": File(b"small now")}))
    bench.model.checkout("main", bench.root / "one", link=True)
    assert read_folder(bench.root / "one") == {"model.bin": File(b"small now")}
    assert bench.cached.read_bytes() == BIG


def test_an_edit_through_a_link_reaches_no_other_checkout(bench: Bench) -> None:
    bench.model.checkout("main", bench.root / "one", link=True)
    _flip(bench.root / "one/model.bin")
    assert bench.cached.read_bytes() != BIG, "the danger of links"
    bench.model.checkout("main", bench.root / "two", link=True)
    assert read_folder(bench.root / "two") == VERSION
    bench.model.checkout("main", bench.root / "one", link=True, force=True)
    assert read_folder(bench.root / "one") == VERSION
    assert bench.cached.stat().st_nlink == 3


@pytest.mark.parametrize("mode", [0o644, 0o755])
def test_a_link_that_somebody_may_write_is_not_given_again(bench: Bench, mode: int) -> None:
    bench.model.checkout("main", bench.root / "one", link=True)
    bench.cached.chmod(mode)
    bench.model.checkout("main", bench.root / "two", link=True)
    assert read_folder(bench.root / "two") == VERSION
    assert not (bench.root / "two/model.bin").samefile(bench.cached)


def test_where_links_cannot_be_made_files_are_copied(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refuse)
    for name in ("one", "two"):
        bench.model.checkout("main", bench.root / name, link=True)
        assert read_folder(bench.root / name) == VERSION
        assert (bench.root / name / "model.bin").stat().st_nlink == 1


def test_links_without_the_cache_make_no_sense(bench: Bench) -> None:
    with pytest.raises(InvalidInputError, match="link"):
        bench.model.checkout("main", bench.root / "one", link=True, cache=False)
    assert not (bench.root / "one").exists()
