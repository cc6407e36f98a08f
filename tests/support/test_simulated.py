"""The doubles that watch and interfere do what they say."""

import time
from pathlib import Path

import pytest

from cas_registry.backends import is_remote
from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import AlreadyExistsError
from tests.support.folders import File, write_folder
from tests.support.simulated import (
    CheckThenWriteBackend,
    Clock,
    FarBackend,
    HookedBackend,
    OpenedFiles,
    PauseAt,
    RoundTripBackend,
    TracingBackend,
    lengthen,
    make_registry,
    make_world,
    memory_with,
    objects_of,
)


def test_a_hook_is_called_before_each_request_and_once_for_each_key() -> None:
    store = MemoryBackend()
    seen: list[tuple[str, str, int]] = []
    hooked = HookedBackend(store, lambda method, key: seen.append((method, key, len(objects_of(store)))))
    hooked.create("a", b"1")
    hooked.put("b", b"2")
    assert hooked.get("a", length=5) == b"1"
    assert hooked.get_many(["a", "c"], length=5) == [b"1", None]
    assert [info.key for info in hooked.list("")] == ["a", "b"]
    assert hooked.stat("b").size_bytes == 1
    hooked.delete("a")
    hooked.flush()
    assert hooked.url == store.url
    assert seen == [
        ("create", "a", 0), ("put", "b", 1), ("get", "a", 2), ("get", "a", 2), ("get", "c", 2), ("list", "", 2), ("stat", "b", 2),
        ("delete", "a", 2), ("flush", "", 1),
    ]  # fmt: skip


def test_a_trace_holds_what_took_effect_in_order() -> None:
    tracing = TracingBackend(MemoryBackend())
    tracing.create("a", b"1")
    with pytest.raises(AlreadyExistsError):
        tracing.create("a", b"2")
    tracing.put("a", b"3")
    tracing.flush()
    tracing.delete("a")
    assert [(written.method, written.key, written.data) for written in tracing.trace] == [
        ("create", "a", b"1"), ("put", "a", b"3"), ("flush", "", b""), ("delete", "a", b""),
    ]  # fmt: skip


def test_round_trips_are_calls_and_requests_are_keys() -> None:
    counting = RoundTripBackend(memory_with({"packs/a": b"1", "refs/b": b"2"}))
    counting.get_many(["packs/a", "refs/b", "refs/c"], length=1)
    counting.get("packs/a", length=1)
    assert (counting.round_trips, counting.requests.total(), counting.requests_besides("packs/")) == (2, 4, 2)
    assert counting.by_area() == {"get packs": 2, "get refs": 2}
    counting.reset()
    assert (counting.round_trips, counting.requests.total()) == (0, 0)


def test_a_far_store_is_remote_and_the_same_otherwise() -> None:
    store = memory_with({"packs/a": b"1"})
    assert (is_remote(FarBackend(store).url), is_remote(store.url)) == (True, False)
    assert FarBackend(store).get("packs/a", length=1) == b"1"


def test_a_store_that_looks_first_lets_whoever_looked_before_write() -> None:
    store = MemoryBackend()
    interrupted = CheckThenWriteBackend(store, lambda: store.put("a", b"theirs"))
    interrupted.create("a", b"mine")
    assert store.get("a", length=10) == b"mine"
    with pytest.raises(AlreadyExistsError):
        CheckThenWriteBackend(store).create("a", b"again")


def test_opened_files_are_those_below_the_folder_while_it_is_watched(tmp_path: Path) -> None:
    write_folder(tmp_path, {"in/a": File(b"a"), "in/b": File(b"b"), "out": File(b"o")})
    (tmp_path / "in/a").read_bytes()
    with OpenedFiles(tmp_path / "in") as opened:
        (tmp_path / "in/b").read_bytes()
        (tmp_path / "out").read_bytes()
        (tmp_path / "in/a").stat()
    (tmp_path / "in/a").read_bytes()
    assert opened.paths == ["b"]


def test_a_pause_comes_once_at_its_stage() -> None:
    calls: list[str] = []
    pause = PauseAt("store", lambda: calls.append("called"))
    pause.update("hash", 0, 1)
    assert not pause.was_reached
    pause.update("store", 0, 1)
    pause.update("store", 1, 1)
    assert calls == ["called"]
    assert pause.was_reached


def test_a_clock_runs_ahead_or_stands() -> None:
    assert Clock()() > time.time_ns() + 2_000_000_000
    assert Clock(ahead_ns=5, frozen_ns=10)() == 15


def test_a_log_made_longer_is_a_log_as_any_other(tmp_path: Path) -> None:
    registry = make_registry(MemoryBackend(), make_world(None))
    registry.model("m").commit(write_folder(tmp_path, {"a": File(b"a")}))
    lengthen(registry, "m", 25)
    head = registry._stores.refs("m").head()
    assert head is not None
    assert head[0].n == 26
    assert registry.fsck(read_data=True).exit_code == 0
    registry.model("m").tag("prod", "main")
    assert registry.model("m").resolve("prod").number == 1
