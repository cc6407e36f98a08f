"""Watching a name: what is told, what it costs, and that a failing store is waited out."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import BackendError, InvalidInputError, RollbackError
from cas_registry.operations import watching
from cas_registry.operations.watching import LONGEST_WAIT_S, Change, Pace, Standing, What, watch
from cas_registry.registry import Model, registry_over
from tests.support.faulty import Fault, FaultKind, FaultyBackend
from tests.support.folders import File, write_folder
from tests.support.simulated import RoundTripBackend, make_registry, make_world, memory_with, objects_of


@dataclass
class Bench:
    """`model` moves what `watched` looks at, over a backend that counts."""

    store: MemoryBackend
    model: Model
    counted: RoundTripBackend
    folder: Path

    def commit(self, text: str, **options: object) -> str:
        return self.model.commit(write_folder(self.folder, {"config.json": File(text.encode())}), **options).commit.hex

    def source(self, revision: str = "prod", backend: object = None) -> watching.Source:
        model = registry_over(backend or self.counted, make_world()).model("m")
        parsed = watching.Revision(revision, text=revision)
        return watching.source_of(model._stores, "m", parsed)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    store = MemoryBackend("watch")
    model = make_registry(store, make_world()).model("m")
    return Bench(store, model, RoundTripBackend(store), tmp_path / "in")


@dataclass
class Waits:
    """Says to stop after so many waits, and does something before each look but the first."""

    actions: list[object]
    waited: list[float] = field(default_factory=list)

    def __call__(self, seconds: float) -> bool:
        self.waited.append(seconds)
        if not self.actions:
            return True
        action = self.actions.pop(0)
        if callable(action):
            action()
        return False


def told(standing: Standing | None) -> tuple[What, str | None, str | None] | None:
    if standing is None:
        return None
    change = standing.change
    return change.what, change.commit and change.commit.hex, change.previous and change.previous.hex


# What is told


def test_where_it_stands_is_told_first_and_each_move_once_with_who_and_why(bench: Bench) -> None:
    first = bench.commit("1", tags=["prod"])
    source = bench.source()
    assert told(source.look()) == (What.STANDS, first, None)
    assert source.look() is None
    second = bench.commit("2")
    assert source.look() is None, "another name moved"
    bench.model.tag("prod", "main", reason="beats v1")
    found = source.look()
    assert told(found) == (What.MOVED, second, first)
    assert found
    assert (found.change.why, found.change.who, found.change.number) == ("beats v1", "tester@bench", 2)
    assert found.version == bench.model.resolve("prod")
    assert source.look() is None


def test_of_several_moves_between_two_looks_the_last_is_told_however_many_entries_lie_between(bench: Bench) -> None:
    first = bench.commit("1", tags=["prod"])
    last = bench.commit("2")
    source = bench.source()
    source.look()
    for number in range(75):
        bench.model.tag("prod", last if number % 2 == 0 else first)
    assert told(source.look()) == (What.MOVED, last, first)


def test_a_name_that_moved_away_and_back_is_told_as_a_move(bench: Bench) -> None:
    first = bench.commit("1", tags=["prod"])
    second = bench.commit("2")
    source = bench.source()
    source.look()
    bench.model.tag("prod", second)
    bench.model.tag("prod", first)
    assert told(source.look()) == (What.MOVED, first, first)


def test_a_branch_is_watched_too(bench: Bench) -> None:
    first = bench.commit("1")
    source = bench.source("main")
    assert told(source.look()) == (What.STANDS, first, None)
    assert told_after(source, lambda: bench.commit("2"))[2] == first


def told_after(source: watching.Source, action: object) -> tuple[What, str | None, str | None]:
    action()
    found = told(source.look())
    assert found
    return found


def test_a_name_that_is_not_there_yet_is_told_when_it_comes_even_of_a_model_without_versions(bench: Bench) -> None:
    source = bench.source()
    assert told(source.look()) == (What.ABSENT, None, None)
    assert source.look() is None
    first = bench.commit("1")
    assert source.look() is None
    bench.model.tag("prod", "main")
    assert told(source.look()) == (What.MOVED, first, None)


def test_a_deleted_name_is_told_and_so_is_its_coming_back(bench: Bench) -> None:
    first = bench.commit("1", tags=["prod"])
    source = bench.source()
    source.look()
    bench.model.delete_tag("prod", reason="recalled")
    found = source.look()
    assert told(found) == (What.DELETED, None, first)
    assert found
    assert found.change.why == "recalled"
    assert source.look() is None
    bench.model.tag("prod", "main")
    assert told(source.look()) == (What.MOVED, first, None)


def test_a_version_that_was_retired_under_the_name_is_told_as_that(bench: Bench) -> None:
    first = bench.commit("1", tags=["prod"])
    bench.commit("2")
    source = bench.source()
    source.look()
    bench.model.retire(first, force=True, reason="wrong split")
    found = source.look()
    assert told(found) == (What.RETIRED, None, first)
    assert found
    assert found.change.why == "wrong split"


@pytest.mark.parametrize("revision", ["main~1", "main@{1}", "prod@{yesterday}", "prod:config.json", "v1", "0123456789abcdef"])
def test_what_never_becomes_another_version_is_not_watched(bench: Bench, revision: str) -> None:
    with pytest.raises(InvalidInputError, match="is no branch or tag"):
        next(bench.model.changes(revision, once=True))


# What it costs


def test_a_look_at_a_log_with_nothing_new_is_one_request_whatever_its_length(bench: Bench) -> None:
    bench.commit("1", tags=["prod"])
    source = bench.source()
    source.look()
    for _ in range(3):
        bench.counted.reset()
        assert source.look() is None
        assert bench.counted.keys == [("get", "refs/m/0000000002")]


def test_a_move_is_told_after_two_round_trips(bench: Bench) -> None:
    bench.commit("1", tags=["prod"])
    bench.commit("2")
    source = bench.source()
    source.look()
    bench.model.tag("prod", "main")
    bench.counted.reset()
    source.look()
    assert bench.counted.round_trips == 2


# Time and trouble


class Scripted:
    """A source that answers, or fails, by script."""

    def __init__(self, answers: list[object]) -> None:
        self._answers = answers

    def look(self) -> Standing | None:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


TOLD = Change(What.ERROR, "m", "prod")
NEWS = Standing(Change(What.MOVED, "m", "prod"), None)
DOWN = BackendError("the store is down", transient=True)


def _watch(answers: list[object], *, give_up_s: float | None = None) -> tuple[Iterator[Change], Waits]:
    waits = Waits([None] * (len(answers) - 1))
    return watch(Scripted(answers), TOLD, Pace(10.0, give_up_s, waits)), waits


def test_looks_are_an_interval_apart_more_or_less() -> None:
    changes, waits = _watch([NEWS, *[None] * 99])
    assert [change.what for change in changes] == [What.MOVED]
    assert all(8 <= wait <= 12 for wait in waits.waited)
    assert len(set(waits.waited)) > 50, "watchers that start together do not stay together"


def test_errors_are_told_and_waited_out_longer_and_longer_up_to_a_limit() -> None:
    changes, waits = _watch([*[DOWN] * 40, NEWS, None, DOWN])
    found = list(changes)
    assert [change.what for change in found] == [*[What.ERROR] * 40, What.MOVED, What.ERROR]
    assert found[0].error is DOWN
    assert [change.retry_s for change in found[:40]] == waits.waited[:40]
    assert 16 <= waits.waited[0] <= 24
    assert 32 <= waits.waited[1] <= 48
    assert all(LONGEST_WAIT_S * 0.8 <= wait <= LONGEST_WAIT_S * 1.2 for wait in waits.waited[6:40])
    assert 8 <= waits.waited[40] <= 12
    assert 16 <= waits.waited[-1] <= 24, "one that comes after success begins anew"


def test_errors_that_last_too_long_are_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(0, 1000, 10))
    monkeypatch.setattr(watching, "monotonic", lambda: next(now))
    changes, _ = _watch([DOWN] * 40, give_up_s=45)
    told_of: list[Change] = []
    with pytest.raises(BackendError, match="down"):
        told_of.extend(changes)
    monkeypatch.setattr(watching, "monotonic", lambda: 0.0)
    changes, _ = _watch([DOWN] * 40, give_up_s=0)
    with pytest.raises(BackendError):
        next(changes)


def test_a_call_that_is_wrong_is_not_waited_out() -> None:
    changes, _ = _watch([InvalidInputError("no such option")])
    with pytest.raises(InvalidInputError):
        next(changes)


def test_a_move_whose_look_failed_is_told_by_the_next_look(bench: Bench) -> None:
    bench.commit("1", tags=["prod"])
    second = bench.commit("2")
    faulty = FaultyBackend(bench.store, [Fault("get", FaultKind.FAIL_BEFORE, "0000000004", times=1)])
    source = bench.source(backend=faulty)
    source.look()
    bench.model.tag("prod", second)
    with pytest.raises(BackendError):
        source.look()  # entry 3 was there, and what follows it could not be asked for
    faulty.assert_all_hit()
    found = told(source.look())
    assert found
    assert found[:2] == (What.MOVED, second)


def test_a_log_that_does_not_go_on_from_what_was_seen_is_told_and_nothing_is_believed(bench: Bench) -> None:
    bench.commit("1", tags=["prod"])
    before = objects_of(bench.store)
    bench.commit("2")
    source = bench.source()
    source.look()
    other = memory_with(before)
    forked = registry_over(other, make_world()).model("m")
    forked.commit(write_folder(bench.folder, {"config.json": File(b"forged")}))
    forked.tag("prod", "main")
    bench.store.delete("refs/m/0000000002")
    for key, data in objects_of(other).items():
        bench.store.put(key, data)
    with pytest.raises(RollbackError, match="does not follow"):
        source.look()
    with pytest.raises(RollbackError):
        source.look()


# The face


def test_an_iterator_of_changes_ends_when_it_is_told_to(bench: Bench) -> None:
    import threading

    first = bench.commit("1", tags=["prod"])
    stop = threading.Event()
    found = []
    for change in bench.model.changes("prod", interval_s=0.001, stop=stop):
        found.append((change.what, change.commit and change.commit.hex))
        if len(found) == 1:
            bench.commit("2", tags=["prod"])
        else:
            stop.set()
    assert found[0] == (What.STANDS, first)
    assert [what for what, _ in found] == [What.STANDS, What.MOVED]


def test_a_callback_gets_them_and_what_it_raises_ends_the_watch(bench: Bench) -> None:
    import threading

    bench.commit("1", tags=["prod"])
    stop = threading.Event()
    seen: list[Change] = []

    def callback(change: Change) -> None:
        seen.append(change)
        if change.number == 2:
            raise KeyError("enough")
        bench.commit("2", tags=["prod"])

    with pytest.raises(KeyError, match="enough"):
        bench.model.watch("prod", callback, interval_s=0.001, stop=stop)
    assert [change.number for change in seen] == [1, 2]


def test_a_hook_that_fails_is_told_with_the_change_and_the_watch_goes_on(bench: Bench) -> None:
    bench.commit("1", tags=["prod"])

    def hook(reload: object) -> None:
        raise RuntimeError("out of memory")

    (change,) = bench.model.changes("prod", once=True, hook=hook)
    assert (change.number, change.failure) == (1, "out of memory")


def test_a_model_may_be_named_and_an_interval_of_nothing_is_refused(bench: Bench) -> None:
    bench.commit("1", tags=["prod"])
    other = registry_over(bench.store, make_world()).model("other")
    (change,) = other.changes("m@prod", once=True)
    assert (change.model, change.number) == ("m", 1)
    with pytest.raises(InvalidInputError, match="interval"):
        other.changes("m@prod", interval_s=0)
