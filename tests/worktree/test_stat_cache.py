"""The stat cache: a file that may have changed is read again, and a cache that is damaged is no cache."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import blake3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.model.ids import FileId, TreeId
from cas_registry.worktree.scan import FileStat, Snapshot, scan
from cas_registry.worktree.stat_cache import COARSE_TICK_NS, TICK_NS, StatCache
from tests.support.folders import File, write_folder

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


def _know(cache: StatCache, snapshot: Snapshot, *, read_at_ns: int | None = None) -> None:
    for file in snapshot.files:
        newest = max(file.stat.mtime_ns, file.stat.ctime_ns)
        cache.put(file.disk, file.stat, FileId.of(file.path.encode()), read_at_ns=read_at_ns or newest + COARSE_TICK_NS)


def _work(folder: Path) -> Path:
    return write_folder(folder, {"a": File(b"a"), "b/c": File(b"c"), "b/d": File(b"d"), "empty": None})


def test_files_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    work = _work(tmp_path / "work")
    cache = StatCache(tmp_path / "cache")
    before = scan([work])
    _know(cache, before)
    (work / "b/c").unlink()
    cache.keep_only(scan([work]))
    cache.save()
    again = StatCache(tmp_path / "cache")
    assert {file.path: again.get(file.disk, file.stat) for file in before.files} == {
        "a": FileId.of(b"a"), "b/c": None, "b/d": FileId.of(b"b/d"),
    }  # fmt: skip


def test_a_folder_is_looked_up_in_one_go(tmp_path: Path) -> None:
    work = _work(tmp_path / "work")
    (work / "e\u0301").write_text("taken under its NFC name, remembered under that on disk")
    cache = StatCache(tmp_path / "cache")
    _know(cache, scan([work]))
    cache.save()
    (work / "b/d").write_text("longer")
    (work / "new").write_text("new")
    snapshot = scan([work])
    ids, unknown = StatCache(tmp_path / "cache").look_up(snapshot)
    assert ids == {path: FileId.of(path.encode()) for path in ("a", "b/c", "\u00e9")}
    assert unknown == [file for file in snapshot.files if file.path in {"b/d", "new"}]


# The tree of the whole folder

TREE = TreeId.of(b"tree")


def _whole(tmp_path: Path) -> tuple[Path, Path]:
    """A folder, and the cache that knows its tree."""
    work, location = _work(tmp_path / "work"), tmp_path / "cache"
    cache = StatCache(location)
    _know(cache, scan([work]))
    cache.put_tree(scan([work]), TREE)
    cache.save()
    return work, location


def test_the_tree_of_an_untouched_folder_is_known_without_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work, location = _whole(tmp_path)
    monkeypatch.setattr("cas_registry.worktree.stat_cache._read_table", lambda _: pytest.fail("the table was read"))
    cache = StatCache(location)
    assert cache.tree(scan([work])) == TREE
    before = location.stat()
    cache.save()
    assert location.stat() == before
    assert StatCache(None).tree(scan([work])) is None


@pytest.mark.parametrize(
    "touch",
    [
        lambda work: (work / "a").write_bytes(b"b"),
        lambda work: (work / "new").write_bytes(b""),
        lambda work: (work / "a").unlink(),
        lambda work: (work / "a").rename(work / "z"),
        lambda work: (work / "a").rename(work / "b/a"),
        lambda work: (work / "a").chmod(0o755),
        lambda work: os.utime(work / "a", ns=(1, 1)),
        lambda work: (work / "b").rename(work / "f"),
        lambda work: (work / "empty").rmdir(),
        lambda work: (work / "hollow").mkdir(),
        lambda work: ((work / "x").write_bytes(b"a"), (work / "x").replace(work / "a")),
        lambda work: ((work / "x").write_bytes(b"a"), (work / "a").unlink(), (work / "a").symlink_to("x")),
    ],
)
def test_the_tree_of_a_folder_that_was_touched_is_not(tmp_path: Path, touch: Callable[[Path], object]) -> None:
    work, location = _whole(tmp_path)
    touch(work)
    assert StatCache(location).tree(scan([work])) is None


def test_a_tree_is_remembered_only_if_every_file_is(tmp_path: Path) -> None:
    """A file touched in the moment of reading spoils the whole: it may change again and look the same."""
    work = _work(tmp_path / "work")
    snapshot = scan([work])
    cache = StatCache(tmp_path / "cache")
    _know(cache, snapshot)
    other = StatCache(tmp_path / "other")
    _know(other, scan([work / "b"]))
    _know(other, scan([work / "a"]), read_at_ns=snapshot.files[0].stat.ctime_ns)
    for found, known in ((cache, TREE), (other, None)):
        found.put_tree(snapshot, TREE)
        assert found.tree(snapshot) == known


def test_times_and_inodes_beyond_63_bits_are_told_apart(tmp_path: Path) -> None:
    work, _ = _whole(tmp_path)
    seen = scan([work])
    trees: set[TreeId | None] = set()
    for inode in (2**63, 2**63 + 1, 2**64 - 1):
        (top,) = (listing for listing in seen.listings if listing.names == ("a",))
        odd = Snapshot((replace(top, inodes=(inode,)),), frozenset())
        cache = StatCache(tmp_path / "odd")
        trees.add(cache.tree(odd))
        _know(cache, odd)
        cache.put_tree(odd, TREE)
        cache.save()
        assert StatCache(tmp_path / "odd").tree(odd) == TREE
        assert StatCache(tmp_path / "odd").look_up(odd)[1] == []
    assert trees == {None}
    late = Snapshot((replace(top, mtimes=(2**63,)),), frozenset())
    _know(cache, late)
    cache.put_tree(late, TREE)
    assert cache.tree(late) is None


def test_every_flipped_bit_of_what_the_tree_depends_on_makes_it_unknown(tmp_path: Path) -> None:
    work, location = _whole(tmp_path)
    snapshot = scan([work])
    data = location.read_bytes()
    for at in range(104):
        for bit in range(8):
            location.write_bytes(data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :])
            assert StatCache(location).tree(snapshot) is None
            assert len(StatCache(location).look_up(snapshot)[1]) == 3
    location.write_bytes(data[:103])
    assert StatCache(location).tree(snapshot) is None


@given(body=st.binary(max_size=300), counts=st.lists(st.integers(0, 300), min_size=3, max_size=3))
def test_a_forged_table_is_none_and_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, body: bytes, counts: list[int]
) -> None:
    location = tmp_path_factory.getbasetemp() / "forged"
    head = b"CASSTAT\x02" + bytes(64)
    head += blake3.blake3(head).digest()
    for table in (body, b"".join(count.to_bytes(4, "little") for count in counts) + body):
        location.write_bytes(head + table + blake3.blake3(head + table).digest())
        cache = StatCache(location)
        assert cache.get(PATH, OLD) is None
        cache.put(PATH, OLD, ID, read_at_ns=NOW_NS)
        cache.save()
        assert StatCache(location).get(PATH, OLD) == ID
