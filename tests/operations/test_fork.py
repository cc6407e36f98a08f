"""Forks: models made of a version, without a byte of any file."""

from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.wrappers import CountingBackend
from cas_registry.errors import AlreadyExistsError, ConflictError, HostileNameError, NotFoundError
from cas_registry.registry import Model, Registry, registry_over
from cas_registry.store.layout import entry_key
from tests.support.folders import File, make_bytes, read_folder, write_folder
from tests.support.simulated import HookedBackend, make_registry, make_world

BIG = make_bytes(1, 2_000_000)


class Bench:
    def __init__(self, work: Path) -> None:
        self.work = work
        self.store = MemoryBackend()
        self.registry = make_registry(self.store)

    @property
    def model(self) -> Model:
        return self.registry.model("fraud")

    def commit(self, seed: str, model: str = "fraud", **more: File) -> str:
        write_folder(self.work, {"c.json": File(seed.encode()), "model.bin": File(BIG), **more})
        return self.registry.model(model).commit(self.work, message=seed).commit.hex

    def hooked(self, action, method: str, key: str) -> Registry:
        """The registry through a store that runs `action` before the first such request."""
        left = [action]

        def hook(asked: str, on: str) -> None:
            if asked == method and on == key and left:
                left.pop()()

        return registry_over(HookedBackend(self.store, hook), make_world())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "work")


def test_a_fork_is_one_entry_and_no_bytes_and_its_history_goes_on(bench: Bench, tmp_path: Path) -> None:
    first, second = bench.commit("one"), bench.commit("two")
    counted = CountingBackend(bench.store)
    report = registry_over(counted, make_world()).model("fraud").fork("fraud-eu", reason="for Europe")
    assert (report.model, report.origin, report.branch, report.commit.hex, report.number) == (
        "fraud-eu",
        "fraud",
        "main",
        second,
        1,
    )
    made = sorted(key for method, key in counted.keys if method == "create")
    assert made == ["catalogue/0000000003", "refs/fraud-eu/0000000001"]
    assert counted.bytes_out < 4_000
    assert counted.bytes_in < 20_000
    assert not [key for _, key in counted.keys if key.startswith(("packs/", "maps/", "trees/"))]
    fork = bench.registry.model("fraud-eu")
    assert [record.id.hex for record in fork.log()] == [second, first]
    third = bench.commit("three", "fraud-eu")
    assert [record.id.hex for record in fork.log()] == [third, second, first]
    assert bench.model.resolve("main").commit.hex == second
    fork.checkout("main~1", tmp_path / "out")
    assert read_folder(tmp_path / "out")["model.bin"] == File(BIG)
    assert bench.registry.fsck(read_data=True).exit_code == 0


def test_what_the_origin_retires_lives_on_in_the_fork(bench: Bench, tmp_path: Path) -> None:
    first = bench.commit("one", extra=File(make_bytes(7, 300_000)))
    bench.model.fork("fraud-eu")
    bench.commit("two")
    bench.model.retire(first)
    bench.registry.gc(delete=True, grace_s=0, trash_window_s=0)
    bench.registry.gc(delete=True, grace_s=0, trash_window_s=0)
    bench.registry.model("fraud-eu").checkout("main", tmp_path / "out")
    assert read_folder(tmp_path / "out")["extra"] == File(make_bytes(7, 300_000))
    bench.registry.model("fraud-eu").fork("fraud-us", first)
    assert bench.registry.fsck(read_data=True).exit_code == 0


def test_the_first_version_of_a_fork_is_retired_and_restored_as_any(bench: Bench, tmp_path: Path) -> None:
    first = bench.commit("one")
    bench.model.fork("eu")
    bench.commit("two", "eu")
    fork = bench.registry.model("eu")
    fork.retire("v1")
    with pytest.raises(NotFoundError, match=r"version 1 of model 'eu'.*was retired"):
        fork.resolve("v1")
    assert bench.model.resolve("main").commit.hex == first
    fork.restore("v1")
    assert fork.resolve("v1").commit.hex == first
    with pytest.raises(ConflictError, match="not retired"):
        fork.restore("v1")
    fork.checkout("v1", tmp_path / "out")
    assert bench.registry.fsck(read_data=True).exit_code == 0


def test_a_model_that_is_there_is_not_forked_over(bench: Bench) -> None:
    bench.commit("one")
    bench.commit("other", "ranker")
    for name in ("fraud", "ranker"):
        with pytest.raises(AlreadyExistsError, match=f"a model '{name}' already"):
            bench.model.fork(name)
    with pytest.raises(ConflictError, match="in case only"):
        bench.model.fork("Ranker")
    with pytest.raises(HostileNameError):
        bench.model.fork("a/b")
    with pytest.raises(HostileNameError):
        bench.model.fork("fraud-eu", branch="x@y")
    with pytest.raises(NotFoundError):
        bench.model.fork("fraud-eu", "nothing")
    assert bench.registry.model_names() == ["fraud", "ranker"]


def test_a_model_that_was_taken_away_may_be_forked_anew(bench: Bench) -> None:
    bench.commit("one")
    bench.model.fork("fraud-eu")
    bench.registry.retire("fraud-eu")
    assert bench.model.fork("fraud-eu").number == 2
    assert bench.registry.model_names() == ["fraud", "fraud-eu"]
    assert bench.registry.fsck().exit_code == 0


def test_of_two_who_fork_to_one_name_one_is_refused(bench: Bench) -> None:
    first = bench.commit("one")
    bench.commit("two")
    other = bench.hooked(lambda: bench.model.fork("fraud-eu", first), "create", entry_key("fraud-eu", 1))
    with pytest.raises(AlreadyExistsError):
        other.model("fraud").fork("fraud-eu")
    assert bench.registry.model("fraud-eu").resolve("main").commit.hex == first


@pytest.mark.parametrize("moment", [("get", "catalogue/HEAD"), ("create", entry_key("fraud-eu", 1))])
def test_a_version_that_is_retired_and_collected_meanwhile_is_never_named(bench: Bench, moment: tuple[str, str]) -> None:
    """Wherever the collection comes, the fork is refused or holds a whole version."""
    first = bench.commit("one", extra=File(make_bytes(7, 300_000)))
    bench.commit("two")

    def take_away() -> None:
        bench.model.retire(first)
        for _ in range(3):
            bench.registry.gc(delete=True, grace_s=0, trash_window_s=0)

    other = bench.hooked(take_away, *moment)
    with pytest.raises((NotFoundError, ConflictError)):
        other.model("fraud").fork("fraud-eu", first)
    assert bench.registry.fsck(read_data=True).exit_code == 0


def test_a_ref_is_not_set_at_a_version_that_was_collected_before_its_log_was_read(bench: Bench) -> None:
    """The version is resolved first, and its own log knows nothing of a collection that was over by then."""
    bench.commit("one")
    tip = bench.commit("other", "eu", extra=File(make_bytes(7, 300_000)))
    bench.commit("another", "eu")

    def take_away() -> None:
        eu = bench.registry.model("eu")
        eu.retire(tip)
        for _ in range(3):
            bench.registry.gc(delete=True, grace_s=0, trash_window_s=0)
        eu.retire(bench.commit("more", "eu", extra=File(make_bytes(8, 300_000))), force=True)
        begun = bench.registry.gc(delete=True, grace_s=0)
        bench.registry.undo_gc(begun.collections[-1].epoch)  # so that no list speaks of what is gone

    other = bench.hooked(take_away, "get", "refs/fraud/HEAD")
    with pytest.raises(NotFoundError, match="retired"):
        other.model("fraud").tag("best", f"eu@{tip}")
    assert bench.registry.fsck(read_data=True).exit_code == 0
