"""The stat cache: a file that may have changed is read again, and a cache that is damaged is no cache."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cas_registry.model.ids import FileId
from cas_registry.worktree.scan import FileStat
from cas_registry.worktree.stat_cache import COARSE_TICK_NS, TICK_NS, StatCache

ID = FileId.of(b"content")
NOW_NS = 1_762_000_000_123_456_789
OLD = FileStat(size_bytes=7, mtime_ns=NOW_NS - 10**10, ctime_ns=NOW_NS - 10**10, inode=42)
PATH = Path("/work/model/config.json")


def _cache(location: Path | None = None) -> StatCache:
    cache = StatCache(location)
    cache.put(PATH, OLD, ID, read_at_ns=NOW_NS)
    return cache


def test_an_untouched_file_is_known_and_others_are_not() -> None:
    assert _cache().get(PATH, OLD) == ID
    assert _cache().get(PATH.with_name("other"), OLD) is None
    assert StatCache(None).get(PATH, OLD) is None


@pytest.mark.parametrize("field", ["size_bytes", "mtime_ns", "ctime_ns", "inode"])
def test_a_file_of_another_size_time_or_inode_is_not_known(field: str) -> None:
    assert _cache().get(PATH, replace(OLD, **{field: getattr(OLD, field) + 1})) is None


@pytest.mark.parametrize(
    ("mtime_ns", "ctime_ns", "known"),
    [
        (NOW_NS - TICK_NS, NOW_NS - TICK_NS, True),
        (NOW_NS - TICK_NS + 1, NOW_NS - 10**10, False),  # written in the tick in which it was read
        (NOW_NS - 10**10, NOW_NS - TICK_NS + 1, False),  # its times were set back afterwards
        (NOW_NS + 10**9, NOW_NS - 10**10, False),  # written in the future
        (NOW_NS // 10**9 * 10**9, NOW_NS // 10**9 * 10**9, False),  # whole seconds: a file system that keeps no others
        ((NOW_NS - COARSE_TICK_NS) // 10**9 * 10**9, (NOW_NS - COARSE_TICK_NS) // 10**9 * 10**9, True),
        (NOW_NS // 10**9 * 10**9, NOW_NS - TICK_NS, True),  # whole by a tool that set it: the other time tells
    ],
)
def test_a_file_touched_in_the_moment_of_reading_is_not_remembered(mtime_ns: int, ctime_ns: int, known: bool) -> None:
    cache = StatCache(None)
    stat = replace(OLD, mtime_ns=mtime_ns, ctime_ns=ctime_ns)
    cache.put(PATH, stat, ID, read_at_ns=NOW_NS)
    assert (cache.get(PATH, stat) is not None) is known


def test_a_tick_is_longer_than_that_of_this_disk(tmp_path: Path) -> None:
    """Two writes a tick apart have different times."""
    file = tmp_path / "file"
    for attempt in range(5):
        file.write_text(f"{attempt}")
        before = file.stat()
        time.sleep(TICK_NS / 1e9)
        file.write_text(f"{attempt}")
        assert file.stat().st_mtime_ns > before.st_mtime_ns
        assert file.stat().st_ctime_ns > before.st_ctime_ns


def test_what_is_saved_is_known_to_the_next(tmp_path: Path) -> None:
    location = tmp_path / "deep/cache.json"
    _cache(location).save()
    assert StatCache(location).get(PATH, OLD) == ID
    assert os.listdir(location.parent) == ["cache.json"]


def test_a_path_that_is_no_unicode_is_remembered_too(tmp_path: Path) -> None:
    odd = Path(os.fsdecode(b"/work/\xff\xfe/config.json"))
    cache = StatCache(tmp_path / "cache.json")
    cache.put(odd, OLD, ID, read_at_ns=NOW_NS)
    cache.save()
    assert StatCache(tmp_path / "cache.json").get(odd, OLD) == ID


def test_nothing_is_written_where_nothing_changed(tmp_path: Path) -> None:
    location = tmp_path / "cache.json"
    _cache(location).save()
    before = location.stat()
    again = StatCache(location)
    again.get(PATH, OLD)
    again.save()
    assert location.stat() == before


def test_every_flipped_bit_of_the_cache_makes_it_none(tmp_path: Path) -> None:
    location = tmp_path / "cache.json"
    _cache(location).save()
    data = location.read_bytes()
    for at in range(len(data)):
        for bit in range(8):
            location.write_bytes(data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :])
            assert StatCache(location).get(PATH, OLD) is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda location: location.write_bytes(b""),
        lambda location: location.write_bytes(b"\xff\xfe"),
        lambda location: location.write_text("[" * 100_000),
        lambda location: location.write_bytes(location.read_bytes()[:-3]),
        lambda location: location.unlink(),
        lambda location: (location.unlink(), location.mkdir()),
    ],
)
def test_a_cache_that_cannot_be_read_is_none_and_can_be_written_again(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    location = tmp_path / "cache.json"
    _cache(location).save()
    spoil(location)
    cache = StatCache(location)
    assert cache.get(PATH, OLD) is None
    cache.put(PATH, OLD, ID, read_at_ns=NOW_NS)
    cache.save()
    if not location.is_dir():
        assert StatCache(location).get(PATH, OLD) == ID


def test_a_cache_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    _cache(tmp_path / "file/cache.json").save()
    assert (tmp_path / "file").read_text() == "in the way"


def test_files_can_be_forgotten(tmp_path: Path) -> None:
    cache = _cache(tmp_path / "cache.json")
    other = PATH.with_name("other")
    cache.put(other, OLD, ID, read_at_ns=NOW_NS)
    cache.keep_only({str(other)})
    cache.save()
    assert StatCache(tmp_path / "cache.json").get(PATH, OLD) is None
    assert StatCache(tmp_path / "cache.json").get(other, OLD) == ID
