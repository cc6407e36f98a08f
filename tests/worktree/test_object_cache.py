"""The cache of objects: never an obstacle, bounded, for its owner alone, and shared by processes without a lock."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cas_registry.worktree.object_cache import TRIM_SHARE, ObjectCache, find_place, remember_place

A, B = "a" * 32, "b" * 32
DAY_NS = 24 * 3600 * 10**9


class Ticks:
    """A clock of which every look is two hours later."""

    def __init__(self) -> None:
        self.now_ns = 10**18

    def __call__(self) -> int:
        self.now_ns += 2 * 3600 * 10**9
        return self.now_ns


def make_cache(folder: Path, registry: str = A, *, limit_bytes: int = 10**7, clock: Ticks | None = None) -> ObjectCache:
    return ObjectCache(folder, registry, limit_bytes=limit_bytes, clock_ns=clock or Ticks())


def test_what_was_put_is_there_for_its_owner_alone(tmp_path: Path) -> None:
    cache = make_cache(tmp_path / "cache")
    assert cache.get("commits/aa") is None
    cache.put("commits/aa", b"bytes")
    cache.put("commits/aa", b"others")
    assert make_cache(tmp_path / "cache").get("commits/aa") == b"others"
    assert make_cache(tmp_path / "cache", B).get("commits/aa") is None
    path = tmp_path / "cache/objects" / A / "commits/aa"
    assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "cache/objects").stat().st_mode & 0o777 == 0o700
    assert [found.name for found in (tmp_path / "cache/objects").glob("tmp-*")] == []
    cache.discard("commits/aa")
    cache.discard("commits/aa")
    assert cache.get("commits/aa") is None


def test_keys_are_listed_by_how_they_begin(tmp_path: Path) -> None:
    cache = make_cache(tmp_path)
    for key in ("commits/aab", "commits/aac", "commits/b", "trees/aa"):
        cache.put(key, b"1234")
    assert sorted(cache.list("commits/aa")) == [("commits/aab", 4), ("commits/aac", 4)]
    assert list(cache.list("packs/")) == []


def test_the_least_recently_used_go_first_and_the_limit_holds(tmp_path: Path) -> None:
    clock = Ticks()
    limit = 64 * 4096
    cache, other = (make_cache(tmp_path, registry, limit_bytes=limit, clock=clock) for registry in (A, B))
    other.put("trees/old", b"x")
    other.put("trees/used", b"x")
    for number in range(200):
        cache.put(f"commits/{number}", b"x" * 100)
        assert other.get("trees/used") == b"x"
        kept = [path for path in (tmp_path / "objects").glob("?*/*/*") if path.is_file()]
        assert len(kept) * 4096 <= limit + limit // TRIM_SHARE + 4096
    assert other.get("trees/old") is None
    assert cache.get("commits/0") is None
    assert cache.get("commits/199") is not None


def test_what_is_large_beside_the_limit_is_not_kept(tmp_path: Path) -> None:
    cache = make_cache(tmp_path, limit_bytes=10**6)
    cache.put("maps/a", bytes(10**6 // TRIM_SHARE + 1))
    assert cache.get("maps/a") is None
    none = make_cache(tmp_path, limit_bytes=0)
    none.put("maps/a", b"x")
    assert none.get("maps/a") is None


def test_when_something_was_so_last_is_known(tmp_path: Path) -> None:
    clock = Ticks()
    cache = make_cache(tmp_path, clock=clock)
    assert cache.modified_ms("refs/m/HEAD") is None
    cache.confirm("refs/m/HEAD", b"3")
    first = cache.modified_ms("refs/m/HEAD")
    cache.confirm("refs/m/HEAD", b"3")
    second = cache.modified_ms("refs/m/HEAD")
    assert first
    assert second
    assert second > first
    cache.get("refs/m/HEAD")
    assert cache.modified_ms("refs/m/HEAD") == second, "a look is no confirmation"
    cache.confirm("refs/m/HEAD", b"4")
    assert cache.get("refs/m/HEAD") == b"4"


def test_whatever_stands_in_the_way_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "objects").write_bytes(b"a file")
    cache = make_cache(tmp_path)
    cache.put("commits/a", b"x")
    cache.confirm("refs/m/HEAD", b"1")
    cache.trim()
    assert cache.get("commits/a") is None
    assert cache.get("commits/" + "a" * 5000) is None
    remember_place(tmp_path, "s3://a/b", A)
    assert find_place(tmp_path, "s3://a/b") is None


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/etc/hostname"), lambda path: path.mkdir(), os.mkfifo])
def test_nothing_but_plain_files_is_read(tmp_path: Path, make) -> None:
    cache = make_cache(tmp_path)
    cache.put("commits/other", b"x")
    make(tmp_path / "objects" / A / "commits" / "a")
    assert cache.get("commits/a") is None


def test_what_was_left_half_written_goes_after_a_day(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path, A, limit_bytes=10**6, clock_ns=lambda: 10**18)
    cache.put("commits/a", b"x")
    for name, age_ns in (("tmp-old", 2 * DAY_NS), ("tmp-new", 0)):
        (tmp_path / "objects" / name).write_bytes(b"half")
        os.utime(tmp_path / "objects" / name, ns=(10**18 - age_ns, 10**18 - age_ns))
    cache.trim()
    assert sorted(path.name for path in (tmp_path / "objects").glob("tmp-*")) == ["tmp-new"]
    assert cache.get("commits/a") == b"x"


def test_places_tell_which_registry_was_seen_there_last(tmp_path: Path) -> None:
    assert find_place(tmp_path, "s3://a/b") is None
    for registry in (A, A, B):
        remember_place(tmp_path, "s3://a/b", registry)
    assert find_place(tmp_path, "s3://a/b") == B
    assert find_place(tmp_path, "s3://a/c") is None
    for path in (tmp_path / "objects/places").iterdir():
        path.write_bytes(b"../../etc")
    assert find_place(tmp_path, "s3://a/b") is None


def test_processes_that_fill_one_cache_give_each_other_whole_objects_only(tmp_path: Path) -> None:
    script = (
        "import sys, time, pathlib\n"
        "from cas_registry.worktree.object_cache import ObjectCache\n"
        f"cache = ObjectCache(pathlib.Path(sys.argv[1]), {A!r}, limit_bytes=40 * 4096, clock_ns=time.time_ns)\n"
        "for turn in range(300):\n"
        "    number = turn % 60\n"
        "    found = cache.get(f'commits/{number}')\n"
        "    assert found in (None, bytes([number]) * 3000), (number, found)\n"
        "    cache.put(f'commits/{number}', bytes([number]) * 3000)\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) for _ in range(3)]
    assert [process.wait(timeout=120) for process in running] == [0, 0, 0]
    kept = list((tmp_path / "objects" / A / "commits").iterdir())
    assert 0 < len(kept) <= 40 + 3 * (40 // TRIM_SHARE + 1)
