"""Ancestry: newest first, each once, in few round trips, over branches and over models."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import IntegrityError, NotFoundError
from cas_registry.registry import Model, Registry
from cas_registry.store.layout import object_key
from tests.support.folders import File, write_folder
from tests.support.simulated import RoundTripBackend, lengthen, make_registry, make_world


@dataclass
class Bench:
    store: MemoryBackend
    backend: RoundTripBackend
    registry: Registry
    work: Path

    @property
    def model(self) -> Model:
        return self.registry.model("m")

    def commit(self, content: str, *, branch: str = "main", model: str = "m") -> str:
        write_folder(self.work, {"a.txt": File(content.encode())})
        return self.registry.model(model).commit(self.work, branch=branch, message=content).commit.hex

    def messages(self, revision: str, limit: int | None = None) -> list[str]:
        return [record.commit.message for record in self.model.log(revision, limit=limit)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    store = MemoryBackend("history")
    backend = RoundTripBackend(store)
    return Bench(store, backend, make_registry(backend, make_world(tmp_path / "cache")), tmp_path / "work")


def test_two_hundred_commits_are_read_in_a_few_round_trips(bench: Bench) -> None:
    ids = [bench.commit(str(n)) for n in range(200)]
    bench.backend.reset()
    records = bench.model.log("main")
    assert [record.id.hex for record in records] == ids[::-1]
    assert [record.number for record in records] == list(range(200, 0, -1))
    assert bench.backend.round_trips <= 20
    assert bench.backend.requests.total() <= 2 * 200 + 20, bench.backend.by_area()
    assert bench.backend.requests["list"] == 0
    bench.backend.reset()
    assert bench.messages("main", limit=5) == ["199", "198", "197", "196", "195"]
    assert bench.backend.round_trips <= 6
    bench.backend.reset()
    assert bench.messages("main~150", limit=3) == ["49", "48", "47"]


def test_a_record_tells_what_the_commit_cost_and_which_refs_stand_there(bench: Bench) -> None:
    for n in range(3):
        bench.commit(str(n))
    bench.model.tag("prod", "main~1")
    bench.model.tag("r1", "main~1")
    bench.model.branch("try", "main~2")
    records = bench.model.log("main")
    assert [(record.branches, record.tags) for record in records] == [(("main",), ()), ((), ("prod", "r1")), (("try",), ())]
    assert all(record.stats and record.stats.files == 1 and record.stats.raw_bytes == 1 for record in records)
    assert [record.at for record in records] == [3, 2, 1]


def test_a_branch_tells_its_own_history_back_to_where_it_left(bench: Bench) -> None:
    for n in range(4):
        bench.commit(f"main {n}")
    bench.model.branch("try", "main~2")
    for n in range(3):
        bench.commit(f"try {n}", branch="try")
        bench.commit(f"main {4 + n}")
    assert bench.messages("try") == ["try 2", "try 1", "try 0", "main 1", "main 0"]
    assert bench.messages("main") == [f"main {n}" for n in range(6, -1, -1)]
    both = [record.commit.message for record in bench.model.walk("main", "try")]
    assert both == ["main 6", "try 2", "main 5", "try 1", "main 4", "try 0", "main 3", "main 2", "main 1", "main 0"]


def test_a_history_goes_on_over_many_entries_without_commits(bench: Bench) -> None:
    bench.commit("old")
    lengthen(bench.registry, "m", 300)
    bench.commit("new")
    bench.backend.reset()
    assert bench.messages("main") == ["new", "old"]
    assert bench.backend.requests["list"] == 0


def test_a_branch_that_slept_finds_its_parent_without_reading_all_that_came_between(bench: Bench) -> None:
    bench.commit("base")
    bench.model.branch("try", "main")
    lengthen(bench.registry, "m", 2_000)
    bench.commit("late", branch="try")
    bench.backend.reset()
    assert bench.messages("try", limit=2) == ["late", "base"]
    assert bench.backend.requests.total() <= 120, bench.backend.by_area()


def test_commits_between_come_and_go_without_disturbing_the_order(bench: Bench) -> None:
    for n in range(70):
        bench.commit(f"main {n}")
        if n % 10 == 0:
            bench.commit(f"side {n}", branch="side")
    assert bench.messages("side") == [f"side {n}" for n in range(60, -1, -10)]
    assert bench.messages("main") == [f"main {n}" for n in range(69, -1, -1)]


def test_every_branch_that_starts_from_nothing_has_a_history_of_its_own(bench: Bench) -> None:
    bench.commit("main 0")
    bench.commit("orphan 0", branch="orphan")
    bench.commit("orphan 1", branch="orphan")
    assert bench.messages("orphan") == ["orphan 1", "orphan 0"]
    assert bench.messages("main") == ["main 0"]


def test_the_history_of_a_deleted_branch_is_still_there_under_its_commits(bench: Bench) -> None:
    bench.commit("base")
    bench.model.branch("try", "main")
    last = bench.commit("tried", branch="try")
    bench.model.delete_branch("try")
    assert bench.messages(last) == ["tried", "base"]
    fresh = bench.commit("again", branch="try")
    assert bench.messages("try") == ["again"]
    assert bench.model.show(fresh).commit.parents == ()


def test_a_walk_reads_as_it_is_asked(bench: Bench) -> None:
    for n in range(100):
        bench.commit(str(n))
    walk = bench.model.walk("main")
    bench.backend.reset()
    next(walk)
    first = bench.backend.requests.total()
    assert first <= 80
    for _ in range(20):
        next(walk)
    assert bench.backend.requests.total() == first
    list(walk)
    assert bench.backend.requests.total() > first


def test_a_missing_commit_ends_the_walk_with_its_name(bench: Bench) -> None:
    first = bench.commit("0")
    for n in range(1, 4):
        bench.commit(str(n))
    version = bench.model.resolve(first)
    bench.store.delete(object_key(version.commit))
    with pytest.raises(IntegrityError, match=first):
        bench.model.log("main")


def test_a_revision_that_is_not_there_is_refused_when_the_walk_begins(bench: Bench) -> None:
    bench.commit("0")
    with pytest.raises(NotFoundError):
        bench.model.walk("nothing")
