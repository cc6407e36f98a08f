"""Retired versions and models: nobody finds them, the history keeps them, and they come back while they can."""

from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import ConflictError, InvalidInputError, NotFoundError
from cas_registry.model.entry import Operation, RefKind
from cas_registry.operations.retire import Action
from cas_registry.registry import Model, Registry, registry_over
from cas_registry.store.layout import entry_key
from tests.support.folders import File, write_folder
from tests.support.simulated import HookedBackend, make_registry, make_world


class Bench:
    def __init__(self, work: Path) -> None:
        self.work = work
        self.store = MemoryBackend()
        self.registry = make_registry(self.store)

    @property
    def model(self) -> Model:
        return self.registry.model("m")

    def commit(self, seed: str, model: str = "m", registry: Registry | None = None) -> str:
        write_folder(self.work, {"c.json": File(seed.encode())})
        return (registry or self.registry).model(model).commit(self.work).commit.hex

    def once(self, method: str, key: str, action) -> Registry:
        """The registry through a store that runs `action` before the first such request."""
        left = [action]

        def hook(asked: str, on: str) -> None:
            if (asked, on) == (method, key) and left:
                left.pop()()

        return registry_over(HookedBackend(self.store, hook), make_world())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "work")


def test_a_retired_version_is_found_by_nobody_and_stays_in_the_history(bench: Bench) -> None:
    first, second = bench.commit("one"), bench.commit("two")
    report = bench.model.retire("main~1", reason="wrong split")
    assert (report.action, [commit.hex for commit in report.commits], report.refs) == (Action.VERSIONS, [first], ())
    for revision in (first, first[:10], "main~1", "main@{1}"):
        with pytest.raises(NotFoundError, match=r"version 1 of model 'm'.*was retired"):
            bench.model.resolve(revision)
    assert [(record.id.hex, record.retired) for record in bench.model.log("main")] == [(second, False), (first, True)]
    head = bench.registry._stores.log("m").head()
    assert head is not None
    assert (head.entry.op, head.entry.why, head.entry.commit) == (Operation.RETIRE, "wrong split", None)
    assert bench.registry.models()[0].versions == 1
    assert bench.registry.fsck().versions == 1


def test_a_version_that_a_branch_or_tag_stands_at_is_retired_only_by_force(bench: Bench) -> None:
    bench.commit("one")
    bench.model.tag("prod", "main")
    bench.commit("two")
    with pytest.raises(ConflictError, match="tag prod") as refusal:
        bench.model.retire("prod")
    assert refusal.value.fields["refs"] == ["tag prod"]
    with pytest.raises(ConflictError, match="branch main"):
        bench.model.retire("main")
    report = bench.model.retire("prod", force=True)
    assert report.refs == ("prod",)
    assert bench.model.tags() == []
    assert bench.model.history(RefKind.TAG, "prod")[0].commit is None
    assert bench.registry.fsck().exit_code == 0


def test_retiring_twice_changes_nothing(bench: Bench) -> None:
    first = bench.commit("one")
    bench.commit("two")
    version = bench.model.resolve(first)
    bench.model.retire(first)
    before = bench.store.get("refs/m/HEAD", length=20)
    from cas_registry.operations.retire import RetireRequest, retire_versions

    report = retire_versions(bench.registry._stores, RetireRequest("m", "ana", 0), [version])
    assert report.commits == ()
    assert bench.store.get("refs/m/HEAD", length=20) == before


def test_another_models_version_is_retired_there(bench: Bench) -> None:
    bench.commit("one")
    bench.commit("theirs", model="n")
    with pytest.raises(InvalidInputError, match="version of model 'n'"):
        bench.model.retire("n@main")


def test_a_fork_lives_on_when_the_first_is_retired(bench: Bench) -> None:
    first = bench.commit("one")
    bench.commit("two")
    bench.registry.model("fork").commit(bench.work, allow_empty=True)
    bench.registry.model("fork").tag("theirs", f"m@{first}")
    bench.model.retire(first)
    assert bench.registry.model("fork").read_bytes("theirs", "c.json") == b"one"
    bench.registry.gc(delete=True, grace_s=0, trash_window_s=0)
    assert bench.registry.model("fork").read_bytes("theirs", "c.json") == b"one"
    assert bench.registry.fsck(read_data=True).exit_code == 0


@pytest.mark.parametrize("repacked", [False, True])
def test_it_comes_back_as_it_was(bench: Bench, repacked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cas_registry.operations.repack.WORTH_BYTES", 0)
    monkeypatch.setattr("cas_registry.operations.repack.WORTH_SHARE", 0)
    write_folder(bench.work, {f"{number}.txt": File(b"line\n" * 2000 + str(number).encode()) for number in range(9)})
    first = bench.model.commit(bench.work).commit.hex
    second = bench.commit("two")
    if repacked:
        assert bench.model.repack().remapped
    before = {revision: bench.model.resolve(revision) for revision in (first, second)}
    bench.model.retire(first, reason="a slip")
    bench.model.tag("t", "main")
    report = bench.model.restore(first[:12], reason="taken back")
    assert (report.action, report.commits) == (Action.RESTORED, (before[first].commit,))
    assert {revision: bench.model.resolve(revision) for revision in (first, second)} == before
    assert len(bench.model.files(first)) == 9
    with pytest.raises(ConflictError, match="not retired"):
        bench.model.restore(first)
    assert bench.registry.fsck(read_data=True).exit_code == 0


def test_a_model_retired_as_a_whole_is_listed_no_more_and_may_begin_anew(bench: Bench) -> None:
    bench.commit("one")
    bench.commit("two")
    bench.model.tag("prod", "main")
    with pytest.raises(ConflictError, match="tag prod"):
        bench.registry.retire("m")
    report = bench.registry.retire("m", reason="replaced", force=True)
    assert (report.action, len(report.commits), report.refs) == (Action.MODEL, 2, ("main", "prod"))
    assert bench.registry.model_names() == []
    with pytest.raises(NotFoundError):
        bench.model.resolve("main")
    with pytest.raises(NotFoundError, match="no model"):
        bench.registry.retire("m")
    third = bench.commit("three")
    assert bench.registry.model_names() == ["m"]
    assert (bench.model.resolve("main").commit.hex, bench.model.resolve("main").number) == (third, 3)
    assert bench.registry.fsck(read_data=True).exit_code == 0


def test_a_commit_while_the_model_is_retired_keeps_it_listed(bench: Bench) -> None:
    bench.commit("one")
    other = bench.once("create", "catalogue/0000000003", lambda: bench.commit("late"))
    other.retire("m")
    assert bench.registry.model_names() == ["m"]
    assert bench.model.read_bytes("main", "c.json") == b"late"


def test_a_version_that_gets_a_tag_meanwhile_is_not_retired(bench: Bench) -> None:
    first = bench.commit("one")
    bench.commit("two")
    other = bench.once("create", entry_key("m", 3), lambda: bench.model.tag("prod", first))
    with pytest.raises(ConflictError, match="tag prod"):
        other.model("m").retire(first)
    assert bench.model.resolve("prod").commit.hex == first


def test_a_tag_at_a_version_retired_meanwhile_is_refused(bench: Bench) -> None:
    first = bench.commit("one")
    bench.commit("two")
    other = bench.once("create", entry_key("m", 3), lambda: bench.model.retire(first))
    with pytest.raises(NotFoundError, match="was retired"):
        other.model("m").tag("prod", first)
    assert bench.model.tags() == []


def test_a_fork_is_found_by_its_id_when_the_first_is_retired(bench: Bench) -> None:
    first = bench.commit("one")
    bench.commit("two")
    fork = bench.registry.model("fork")
    fork.commit(bench.work, allow_empty=True)
    fork.tag("theirs", f"m@{first}")
    fork.tag("theirs", "main")
    bench.model.retire(first)
    assert fork.read_bytes(first, "c.json") == b"one"
    with pytest.raises(NotFoundError, match="was retired"):
        bench.model.resolve(first)


def test_a_version_that_comes_home_by_way_of_a_fork_is_still_one_version(bench: Bench) -> None:
    first = bench.commit("one")
    bench.commit("two")
    fork = bench.registry.model("fork")
    fork.commit(bench.work, allow_empty=True)
    fork.tag("theirs", f"m@{first}")
    bench.model.tag("back", "fork@theirs")
    assert bench.model.resolve("back").number == 1
    bench.model.retire(first, force=True)
    with pytest.raises(NotFoundError, match="was retired"):
        bench.model.resolve(first)
    assert fork.read_bytes("theirs", "c.json") == b"one"
