"""Releases: all or none, compare-and-set, what they protect, and what comes of writers that meet."""

from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.wrappers import CountingBackend
from cas_registry.errors import ConflictError, HostileNameError, InvalidInputError, NotFoundError, RollbackError
from cas_registry.model.inputs import Input
from cas_registry.registry import Model, Registry, registry_over
from tests.reliability.scheduler import Actor, Schedule
from tests.support.folders import File, make_bytes, write_folder
from tests.support.simulated import HookedBackend, make_registry, make_world, memory_with, objects_of


class Bench:
    def __init__(self, work: Path) -> None:
        self.work = work
        self.store = MemoryBackend()
        self.registry = make_registry(self.store)
        for model in ("fraud", "ranker"):
            for n in range(1, 4):
                self.commit(f"{model} {n}", model)

    def commit(self, seed: str, model: str = "fraud", **more: object) -> str:
        write_folder(self.work, {"c.json": File(seed.encode()), "extra": File(make_bytes(hash(seed), 200_000))})
        return self.registry.model(model).commit(self.work, **more).commit.hex  # type: ignore[arg-type]

    def model(self, name: str = "fraud") -> Model:
        return self.registry.model(name)

    def named(self, release: str = "prod") -> dict[str, int]:
        return {model: row.number for model, row in self.registry.show_release(release).versions.items()}

    def collect(self) -> None:
        for _ in range(3):
            self.registry.gc(delete=True, grace_s=0, trash_window_s=0)

    def through(self, hook) -> Registry:
        return registry_over(HookedBackend(self.store, hook), make_world())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "work")


def test_a_release_names_versions_of_several_models_by_one_entry(bench: Bench) -> None:
    counted = CountingBackend(bench.store)
    registry = registry_over(counted, make_world())
    report = registry.release("prod", {"fraud": "v2", "ranker": "main"}, reason="first")
    assert (report.name, report.entry, report.moved) == ("prod", 1, True)
    assert {change.model: (change.before, change.after and change.after.number) for change in report.changes} == {
        "fraud": (None, 2), "ranker": (None, 3),
    }  # fmt: skip
    created = sorted(key for method, key in counted.keys if method == "create")
    assert created == ["catalogue/0000000004", "releases/prod/0000000001"]
    for revision, wanted in (("release:prod/fraud", "v2"), ("release:prod/ranker~1", "v2")):
        model = revision.partition("/")[2].partition("~")[0]
        assert registry.resolve(revision) == bench.model(model).resolve(wanted)
    assert registry.model("ranker").show("release:prod/fraud").version.number == 2, "the release says which model"
    (listed,) = registry.releases()
    assert (listed.name, listed.entry, listed.why, listed.retired) == ("prod", 1, "first", None)
    assert not registry.release("prod", {"fraud": "v2"}).moved
    assert bench.registry.fsck().findings == ()
    assert bench.registry.model_names() == ["fraud", "ranker"]


def test_models_that_are_not_named_keep_their_version(bench: Bench) -> None:
    bench.registry.release("prod", {"fraud": "v2", "ranker": "v3"})
    bench.registry.release("prod", {"fraud": "v3"})
    assert bench.named() == {"fraud": 3, "ranker": 3}
    bench.registry.release("prod", {"fraud": "v1"}, only=True)
    assert bench.named() == {"fraud": 1}
    bench.registry.release("prod", {"ranker": "v1"}, drop=["fraud"])
    assert bench.named() == {"ranker": 1}
    with pytest.raises(NotFoundError, match="has no model 'fraud'"):
        bench.registry.release("prod", drop=["fraud"])
    with pytest.raises(NotFoundError, match="has no model 'fraud'; it has: ranker"):
        bench.registry.resolve("release:prod/fraud")
    assert [{model: row.number for model, row in info.versions.items()} for info in bench.registry.release_history("prod")] == [
        {"ranker": 1}, {"fraud": 1}, {"fraud": 3, "ranker": 3}, {"fraud": 2, "ranker": 3},
    ]  # fmt: skip
    assert [bench.registry.resolve(f"release:prod/fraud@{{{back}}}").number for back in (1, 2, 3)] == [1, 3, 2]
    with pytest.raises(NotFoundError, match="moved 3 times only"):
        bench.registry.resolve("release:prod/fraud@{4}")
    assert bench.registry.resolve("release:prod/ranker@{2999-01-01}").number == 1
    with pytest.raises(NotFoundError, match="did not exist then"):
        bench.registry.resolve("release:prod/ranker@{1999-01-01}")


def test_what_makes_no_sense_writes_nothing(bench: Bench) -> None:
    before = objects_of(bench.store)
    for error, call in (
        (InvalidInputError, lambda: bench.registry.release("prod")),
        (NotFoundError, lambda: bench.registry.release("prod", {"fraud": "v9"})),
        (NotFoundError, lambda: bench.registry.release("prod", {"nothing": "main"})),
        (InvalidInputError, lambda: bench.registry.release("prod", {"fraud": "ranker@main"})),
        (HostileNameError, lambda: bench.registry.release("a/b", {"fraud": "main"})),
        (NotFoundError, lambda: bench.registry.rollback_release("prod")),
        (NotFoundError, lambda: bench.registry.show_release("prod")),
        (NotFoundError, lambda: bench.registry.release_history("prod")),
        (InvalidInputError, lambda: bench.registry.resolve("main")),
    ):
        with pytest.raises(error):
            call()
    assert objects_of(bench.store) == before
    bench.registry.release("prod", {"fraud": "main"})
    with pytest.raises(ConflictError, match="in case only"):
        bench.registry.release("Prod", {"fraud": "main"})


def test_it_moves_only_from_where_it_is_expected_to_be(bench: Bench) -> None:
    bench.registry.release("prod", {"fraud": "v1"}, expect=0)
    for expect in (0, 2):
        with pytest.raises(ConflictError, match=f"at entry 1, not at the expected {expect}"):
            bench.registry.release("prod", {"fraud": "v2"}, expect=expect)
    bench.registry.release("prod", {"fraud": "v2"}, expect=1)
    assert bench.named() == {"fraud": 2}


def test_of_two_writers_neither_undoes_the_other(bench: Bench) -> None:
    left = [lambda: bench.registry.release("prod", {"ranker": "v3"})]
    other = bench.through(
        lambda method, key: left.pop()() if (method, key) == ("create", "releases/prod/0000000001") and left else None
    )
    other.release("prod", {"fraud": "v2"})
    assert bench.named() == {"fraud": 2, "ranker": 3}
    left = [lambda: bench.registry.release("prod", {"ranker": "v2"})]
    other = bench.through(
        lambda method, key: left.pop()() if (method, key) == ("create", "releases/prod/0000000003") and left else None
    )
    with pytest.raises(ConflictError, match="not at the expected 2"):
        other.rollback_release("prod")


def test_a_rollback_is_one_more_entry(bench: Bench) -> None:
    bench.registry.release("prod", {"fraud": "v1", "ranker": "v1"})
    with pytest.raises(NotFoundError, match="never moved"):
        bench.registry.rollback_release("prod")
    bench.registry.release("prod", {"fraud": "v2", "ranker": "v2"})
    report = bench.registry.rollback_release("prod", reason="worse")
    assert (report.entry, report.moved, bench.named()) == (3, True, {"fraud": 1, "ranker": 1})
    bench.registry.rollback_release("prod")
    assert bench.named() == {"fraud": 2, "ranker": 2}


def test_what_a_release_names_is_retired_by_force_only(bench: Bench) -> None:
    bench.registry.release("prod", {"fraud": "v1", "ranker": "v1"})
    with pytest.raises(ConflictError, match="release prod names fraud@") as refusal:
        bench.model().retire("v1")
    assert len(refusal.value.fields["uses"]) == 1  # type: ignore[arg-type]
    with pytest.raises(ConflictError, match="release prod names ranker@"):
        bench.registry.retire("ranker")
    bench.registry.release("prod", {"fraud": "v2"})
    assert bench.model().retire("v1").breaks == (), "only what the last entry names is needed"
    report = bench.model().retire("v2", force=True)
    assert [str(use) for use in report.breaks] == [f"release prod names fraud@{report.commits[0].short}"]
    assert bench.registry.show_release("prod").retired == ("fraud",)
    with pytest.raises(NotFoundError, match="was retired"):
        bench.registry.resolve("release:prod/fraud")
    (finding,) = [found for found in bench.registry.fsck().findings if found.key.startswith("releases/")]
    assert "names v2 of fraud, which was retired" in finding.problem
    with pytest.raises(ConflictError, match="v2 of fraud was retired: name another version"):
        bench.registry.release("prod", {"ranker": "v2"})
    bench.registry.release("prod", {"ranker": "v2", "fraud": "v3"})
    assert bench.registry.show_release("prod").retired == ()


def test_what_a_version_was_made_from_is_retired_by_force_only(bench: Bench) -> None:
    base = bench.model().resolve("v1").commit
    bench.commit("adapter", "adapter", inputs=[Input("base", model="fraud", commit=base), Input("data", uri="s3://x")])
    with pytest.raises(ConflictError, match="adapter v1 was made from fraud@"):
        bench.model().retire("v1")
    bench.commit("adapter 2", "adapter")
    bench.model("adapter").retire("v1")
    assert bench.model().retire("v1").breaks == ()
    bench.model().restore(base.hex)
    bench.model("adapter").restore(bench.model("adapter").log()[1].id.hex)
    assert [use.user for use in bench.model().retire("v1", force=True).breaks] == ["adapter"]


def test_versions_of_one_model_may_go_together_with_what_they_were_made_from(bench: Bench) -> None:
    base = bench.model().resolve("v1").commit
    bench.commit("tuned", inputs=[Input("base", model="fraud", commit=base)])
    bench.commit("newest")
    with pytest.raises(ConflictError, match="fraud v4 was made from"):
        bench.model().retire("v1")
    assert len(bench.model().retire("v1", "v4").commits) == 2
    assert bench.registry.retire("fraud").commits


def test_a_base_that_was_forked_is_protected_in_the_log_that_is_named(bench: Bench) -> None:
    base = bench.model().resolve("v3").commit
    bench.model().fork("eu")
    bench.commit("adapter", "adapter", inputs=[Input("base", model="eu", commit=base)])
    bench.commit("next", "eu")
    bench.commit("next")
    with pytest.raises(ConflictError, match="adapter v1 was made from eu@"):
        bench.model("eu").retire("v1")
    with pytest.raises(ConflictError, match="adapter v1 was made from fraud@"):
        bench.model().retire("v3")


def test_retention_keeps_what_is_needed(bench: Bench) -> None:
    from cas_registry.model.keep import Keep

    base = bench.model().resolve("v1").commit
    bench.commit("tuned", inputs=[Input("base", model="fraud", commit=base)])
    bench.registry.release("prod", {"fraud": "v4", "ranker": "v1"})
    for n in range(3):
        bench.commit(f"more {n}")
    bench.registry.set_policy(Keep(last=1))
    expired = {expiry.model: [version.number for version in expiry.expired] for expiry in bench.registry.expired()}
    assert expired == {"fraud": [2, 3, 5, 6], "ranker": [2]}
    bench.registry.gc(delete=True, policy=True)
    assert bench.registry.resolve("release:prod/fraud").number == 4
    assert bench.registry.expired()[0].expired == ()


def test_a_release_whose_version_is_retired_meanwhile_is_taken_back(bench: Bench) -> None:
    bench.registry.release("prod", {"fraud": "v1", "ranker": "v1"})
    left = [True]

    def hook(method: str, key: str) -> None:
        if (method, key) == ("create", "releases/prod/0000000002") and left:
            left.pop()
            bench.model().retire("v2")

    with pytest.raises(ConflictError, match=r"v2 of fraud was retired while.*taken back"):
        bench.through(hook).release("prod", {"fraud": "v2", "ranker": "v2"})
    assert bench.named() == {"fraud": 1, "ranker": 1}, "all or none"
    assert bench.registry.release_history("prod")[0].why.startswith("taken back: v2 of fraud")
    assert bench.registry.fsck().exit_code == 0


def test_a_retirement_that_a_release_overtook_is_undone(bench: Bench) -> None:
    left = [True]

    def hook(method: str, key: str) -> None:
        if method == "create" and key.startswith("refs/fraud/") and left:
            left.pop()
            bench.registry.release("prod", {"fraud": "v2"})

    with pytest.raises(ConflictError, match=r"release prod names fraud@.* by now: nothing was retired"):
        bench.through(hook).model("fraud").retire("v2")
    assert bench.registry.resolve("release:prod/fraud").number == 2
    assert bench.registry.fsck().findings == ()


def test_a_whole_model_that_a_release_overtook_comes_back_with_its_branches(bench: Bench) -> None:
    left = [True]

    def hook(method: str, key: str) -> None:
        if method == "create" and key.startswith("refs/fraud/") and left:
            left.pop()
            bench.registry.release("prod", {"fraud": "v2"})

    with pytest.raises(ConflictError, match="nothing was retired"):
        bench.through(hook).retire("fraud")
    assert bench.registry.model_names() == ["fraud", "ranker"]
    assert bench.model().resolve("main").number == 3
    assert bench.registry.resolve("release:prod/fraud").number == 2


def test_a_commit_made_from_it_meanwhile_undoes_a_retirement_too(bench: Bench) -> None:
    base = bench.model().resolve("v2").commit
    left = [True]

    def hook(method: str, key: str) -> None:
        if method == "create" and key.startswith("refs/fraud/") and left:
            left.pop()
            bench.commit("adapter", "adapter", inputs=[Input("base", model="fraud", commit=base)])

    with pytest.raises(ConflictError, match="adapter v1 was made from"):
        bench.through(hook).model("fraud").retire("v2")
    assert bench.model().resolve("v2").commit == base


def test_wherever_a_retirement_and_a_release_meet_no_release_names_what_is_gone(bench: Bench) -> None:
    """The release runs as a whole before each request of the retirement in turn, and the other way round."""
    bench.registry.release("prod", {"fraud": "v1"})
    start = objects_of(bench.store)

    def retire(registry: Registry) -> None:
        registry.model("fraud").retire("v2")

    def release(registry: Registry) -> None:
        registry.release("prod", {"fraud": "v2"})

    for outer, inner in ((retire, release), (release, retire)):
        moment = 0
        while True:
            store = memory_with(start)
            step = [0]

            def hook(method: str, key: str, store=store, step=step, inner=inner, moment=moment) -> None:
                step[0] += 1
                if step[0] == moment + 1:
                    _quietly(inner, registry_over(store, make_world()))

            _quietly(outer, registry_over(HookedBackend(store, hook), make_world()))
            after = registry_over(store, make_world())
            assert after.show_release("prod").retired == (), (outer.__name__, moment)
            assert not [found for found in after.fsck().findings if found.key.startswith("releases/")]
            assert after.fsck().exit_code == 0
            if step[0] <= moment:
                break
            moment += 1
        assert moment > 10


def _quietly(action, registry: Registry) -> None:
    try:
        action(registry)
    except (ConflictError, NotFoundError):
        return


def test_a_release_that_was_put_back_is_noticed(bench: Bench, tmp_path: Path) -> None:
    from dataclasses import replace

    from cas_registry.face.registry import Registry as Face
    from cas_registry.store.watch import Watch

    stores = bench.registry._stores
    world = make_world()
    watched = replace(stores, watch=Watch(tmp_path / "seen", clock_ns=world.clock_ns))
    registry = Face.__new__(Face)
    registry._stores, registry._world = watched, world
    registry.release("prod", {"fraud": "v1"})
    registry.release("prod", {"fraud": "v2"})
    bench.store.delete("releases/prod/0000000002")
    with pytest.raises(RollbackError):
        registry.show_release("prod")


def test_fsck_knows_the_logs_of_releases(bench: Bench) -> None:
    bench.registry.release("prod", {"fraud": "v1"})
    bench.registry.release("prod", {"fraud": "v2"})
    data = bench.store.get("releases/prod/0000000001", length=10_000_000)
    bench.store.put("releases/prod/0000000001", data[:-1])
    findings = {found.key: found.problem for found in bench.registry.fsck().findings}
    assert "damaged" in findings["releases/prod/0000000001"]
    bench.store.put("releases/prod/0000000001", data)
    other = memory_with({**objects_of(bench.store)})
    for key in objects_of(other):
        if key.startswith("refs/fraud/") and key != "refs/fraud/0000000001":
            other.delete(key)
    problems = [found.problem for found in registry_over(other, make_world()).fsck().findings]
    assert "it names a version that no entry of its model's log introduces" in problems
    for key in objects_of(bench.store):
        if key.startswith("catalogue/") and key > "catalogue/0000000003":
            bench.store.delete(key)
    problems = [found.problem for found in bench.registry.fsck().findings]
    assert "the catalogue does not name this release" in problems


@pytest.mark.parametrize("order", ["random", "priorities"])
@pytest.mark.parametrize("first", range(0, 120, 40))
def test_under_every_schedule_a_release_names_what_is_there(bench: Bench, order: str, first: int) -> None:
    """Two who write the release and two who retire, each request a point at which another may go on."""
    bench.registry.release("prod", {"fraud": "v1", "ranker": "v1"})
    start = objects_of(bench.store)
    outcomes: set[tuple[bool, ...]] = set()
    actions = [
        lambda registry: registry.release("prod", {"fraud": "v2"}),
        lambda registry: registry.release("prod", {"fraud": "v3", "ranker": "v2"}),
        lambda registry: registry.model("fraud").retire("v1", "v2"),
        lambda registry: registry.model("ranker").retire("v2"),
    ]
    for seed in range(first, first + 40):
        store = memory_with(start)
        actors = [
            Actor(str(n), lambda backend, action=action: action(registry_over(backend, make_world())))
            for n, action in enumerate(actions)
        ]
        Schedule(store, seed, order).run(actors)
        unexpected = [
            actor.error for actor in actors if actor.error and not isinstance(actor.error, ConflictError | NotFoundError)
        ]
        assert not unexpected, seed
        after = registry_over(store, make_world())
        assert after.show_release("prod").retired == (), seed
        assert after.fsck().exit_code == 0, seed
        assert after.show_release("prod").versions.keys() == {"fraud", "ranker"}, seed
        outcomes.add(tuple(actor.error is None for actor in actors))
    assert len(outcomes) > 2
