"""Merges: trees and maps of two versions in one, and no file touched."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.wrappers import CountingBackend
from cas_registry.errors import ConflictError, InvalidInputError, MergeConflictError, NotFoundError
from cas_registry.model.ids import CommitId
from cas_registry.operations import collection, transfer
from cas_registry.operations.merge import MergeReport, Outcome
from cas_registry.registry import Model, Registry, registry_over
from tests.reliability.scheduler import Actor, InlineExecutor, Schedule, Stopped
from tests.support.folders import File, make_bytes, read_folder, write_folder
from tests.support.simulated import HookedBackend, make_registry, make_world, memory_with, objects_of

Files = dict[str, bytes]


class Bench:
    def __init__(self, work: Path) -> None:
        self.work = work
        self.store = MemoryBackend()
        self.registry = make_registry(self.store)

    @property
    def model(self) -> Model:
        return self.registry.model("m")

    def commit(self, files: Files, branch: str = "main", model: str = "m", **more: object) -> str:
        write_folder(self.work, {path: File(data) for path, data in files.items()})
        return self.registry.model(model).commit(self.work, branch=branch, **more).commit.hex  # type: ignore[arg-type]

    def apart(self, base: Files, ours: Files, theirs: Files) -> None:
        """Branches main and dev, which have gone apart since `base`."""
        self.commit(base)
        self.model.branch("dev", "main")
        self.commit(ours)
        self.commit(theirs, "dev")

    def files(self, revision: str = "main", model: str = "m") -> Files:
        out = self.work.with_name("out")
        self.registry.model(model).checkout(revision, out, force=True)
        return {path: file.data for path, file in read_folder(out).items() if file and not path.startswith(".reg")}

    def hooked(self, hook) -> Registry:
        return registry_over(HookedBackend(self.store, hook), make_world())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "work")


BIG, BIGGER = make_bytes(1, 3_000_000), make_bytes(2, 2_500_000)
BASE = {"model.bin": BIG, "config.json": b"{}", "data/a.txt": b"a", "data/b.txt": b"b" * 5_000}


def test_both_sides_changes_come_together_without_a_byte_of_any_file(bench: Bench) -> None:
    ours, theirs = {**BASE, "config.json": b"{1}", "data/a.txt": b"aa"}, {**BASE, "model.bin": BIGGER, "data/c.txt": b"c"}
    bench.apart(BASE, ours, theirs)
    counted = CountingBackend(bench.store)
    before = bench.model.resolve("main").commit, bench.model.resolve("dev").commit
    report = registry_over(counted, make_world()).model("m").merge("dev", message="together")
    assert report.outcome is Outcome.MERGED
    assert (report.ours, report.theirs) == before
    assert report.bases == (bench.model.resolve("dev~1").commit,)
    assert (report.added, report.changed, report.removed) == (("data/c.txt",), ("model.bin",), ())
    merged = {**ours, "model.bin": BIGGER, "data/c.txt": b"c"}
    assert bench.files() == merged
    assert not [key for _, key in counted.keys if key.startswith(("packs/", "files/"))]
    assert counted.bytes_out < 10_000
    shown = bench.model.show("main")
    assert shown.commit.parents == before
    assert (shown.commit.message, shown.version.number) == ("together", 4)
    assert shown.stats is not None
    assert (shown.stats.files, shown.stats.new_bytes, shown.stats.stored_bytes) == (5, 0, 0)
    assert shown.stats.raw_bytes == sum(map(len, merged.values()))
    assert bench.registry.fsck(read_data=True).exit_code == 0
    assert len(bench.model.log("main")) == 4
    assert bench.model.merge("dev").outcome is Outcome.UP_TO_DATE


def test_the_merged_tree_is_what_a_commit_of_its_files_would_have(bench: Bench) -> None:
    bench.apart(BASE, {**BASE, "config.json": b"{1}"}, {**BASE, "data/c.txt": b"c"})
    bench.model.merge("dev")
    tree = bench.model.resolve("main").tree
    write_folder(bench.work, {path: File(data) for path, data in {**BASE, "config.json": b"{1}", "data/c.txt": b"c"}.items()})
    assert bench.model.commit(bench.work, branch="other").tree == tree


def test_a_conflict_stops_with_both_sides_and_nothing_changed(bench: Bench) -> None:
    bench.apart(BASE, {**BASE, "config.json": b"{1}", "x": b"1"}, {**BASE, "config.json": b"{2}", "x": b"1", "y": b"y"})
    before = objects_of(bench.store)
    with pytest.raises(MergeConflictError, match=r"config\.json \(base 2 bytes") as refusal:
        bench.model.merge("dev")
    ids = [bench.model.files(revision, ["config.json"])[0].id.hex for revision in ("main~1", "main", "dev")]
    assert refusal.value.fields["conflicts"] == [("config.json", "content", *ids)]
    assert bench.model.resolve("main").number == 2
    assert objects_of(bench.store) == before
    for take, expected in (("ours", b"{1}"), ("theirs:config.json", b"{2}")):
        bench.model.branch("try", "main", force=True)
        report = bench.model.merge("dev", into="try", take=take)
        assert [(conflict.path, side.value) for conflict, side in report.decided] == [("config.json", take.partition(":")[0])]
        assert bench.files("try")["config.json"] == expected
        assert bench.files("try")["y"] == b"y"
    with pytest.raises(InvalidInputError, match="no conflict at 'y'"):
        bench.model.merge("dev", take=["ours", "theirs:y"])
    for wrong in ("mine", "ours:", "theirs:/"):
        with pytest.raises(InvalidInputError, match="ours:PATH"):
            bench.model.merge("dev", take=wrong)


def test_a_branch_that_only_lags_behind_moves_on(bench: Bench) -> None:
    bench.commit(BASE)
    bench.model.branch("dev", "main")
    tip = bench.commit({**BASE, "x": b"x"}, "dev")
    report = bench.model.merge("dev")
    assert (report.outcome, report.commit.hex, report.number, report.added) == (Outcome.FAST_FORWARD, tip, 2, ("x",))
    assert bench.model.resolve("main").commit.hex == tip
    bench.commit({**BASE, "x": b"y"}, "dev")
    report = bench.model.merge("dev", fast_forward=False)
    assert report.outcome is Outcome.MERGED
    assert report.tree == bench.model.resolve("dev").tree
    assert bench.model.show("main").commit.parents == (CommitId.parse(tip), bench.model.resolve("dev").commit)


def test_a_fork_comes_back_into_its_origin(bench: Bench) -> None:
    bench.commit(BASE)
    bench.model.fork("eu")
    bench.commit({**BASE, "vocabulary.txt": b"eu"}, model="eu")
    bench.commit({**BASE, "model.bin": BIGGER})
    report = bench.model.merge("eu@main")
    assert report.outcome is Outcome.MERGED
    assert bench.files() == {**BASE, "vocabulary.txt": b"eu", "model.bin": BIGGER}
    assert bench.registry.model("eu").merge("m@main").outcome is Outcome.FAST_FORWARD
    assert bench.files(model="eu") == bench.files()
    bench.registry.retire("eu", force=True)
    for _ in range(3):
        bench.registry.gc(delete=True, grace_s=0, trash_window_s=0)
    assert bench.files() == {**BASE, "vocabulary.txt": b"eu", "model.bin": BIGGER}
    assert bench.registry.fsck(read_data=True).exit_code == 0


def test_versions_that_share_no_history_are_merged_only_on_request(bench: Bench) -> None:
    bench.commit({"a": b"1"})
    bench.commit({"b": b"2"}, model="n")
    with pytest.raises(ConflictError, match="share no history"):
        bench.model.merge("n@main")
    assert bench.model.merge("n@main", unrelated=True).bases == ()
    assert bench.files() == {"a": b"1", "b": b"2"}
    with pytest.raises(NotFoundError, match="no branch 'dev'"):
        bench.model.merge("n@main", into="dev")


def test_after_a_criss_cross_both_bases_count(bench: Bench) -> None:
    """Each side has merged the other's earlier version and then chosen otherwise: neither choice is taken for the other's past."""
    bench.apart({"f": b"0", "g": b"0"}, {"f": b"1", "g": b"0"}, {"f": b"2", "g": b"0"})
    bench.model.branch("left", "main")
    bench.model.branch("right", "dev")
    bench.model.merge("dev", into="left", take="ours")
    bench.model.merge("main", into="right", take="ours")
    bench.commit({"f": b"1", "g": b"left"}, "left")
    with pytest.raises(MergeConflictError) as refusal:
        bench.model.merge("right", into="left")
    assert [row[0] for row in refusal.value.fields["conflicts"]] == ["f"]  # type: ignore[attr-defined]
    report = bench.model.merge("right", into="left", take="theirs")
    assert len(report.bases) == 2
    assert bench.files("left") == {"f": b"2", "g": b"left"}


def test_what_both_sides_say_of_themselves_is_said_of_the_merge(bench: Bench) -> None:
    bench.commit({"a": b"1"})
    bench.model.branch("dev", "main")
    bench.commit({"a": b"2"}, params={"lr": 1, "seed": 3}, metrics={"auc": 0.9})
    bench.commit({"a": b"1", "b": b"1"}, "dev", params={"lr": 2, "seed": 3}, metrics={"auc": 0.9})
    bench.model.merge("dev")
    commit = bench.model.show("main").commit
    assert (dict(commit.params), dict(commit.metrics)) == ({"seed": 3}, {})


@pytest.mark.parametrize("moved", ["main", "dev"])
def test_a_branch_that_moves_meanwhile_is_merged_again(bench: Bench, moved: str) -> None:
    bench.apart(BASE, {**BASE, "x": b"x"}, {**BASE, "y": b"y"})
    left = [True]

    def hook(method: str, key: str) -> None:
        if method == "create" and key == "refs/m/0000000005" and left:
            left.pop()
            bench.commit({**BASE, "x": b"x2"} if moved == "main" else {**BASE, "y": b"y2"}, moved)

    report = bench.hooked(hook).model("m").merge("dev")
    assert report.number == 5
    expected = {**BASE, "x": b"x2", "y": b"y"} if moved == "main" else {**BASE, "x": b"x", "y": b"y"}
    assert bench.files() == expected
    assert bench.model.show("main").commit.parents == (report.ours, report.theirs)


@pytest.mark.parametrize("moment", ["get refs/m/HEAD", "get maps/", "create maps/", "create refs/m/0000000003"])
def test_a_version_that_is_retired_and_collected_meanwhile_is_never_named(bench: Bench, moment: str) -> None:
    """Wherever the collection comes, the merge is refused or whole."""
    bench.commit(BASE)
    bench.model.fork("eu")
    tip = bench.commit({**BASE, "x": make_bytes(9, 400_000)}, model="eu")
    bench.commit({**BASE, "y": b"y"})
    left = [True]

    def hook(method: str, key: str) -> None:
        if f"{method} {key}".startswith(moment) and left:
            left.pop()
            bench.registry.model("eu").retire(tip, force=True)
            for _ in range(3):
                bench.registry.gc(delete=True, grace_s=0, trash_window_s=0)

    with pytest.raises((NotFoundError, ConflictError)):
        bench.hooked(hook).model("m").merge(f"eu@{tip}")
    assert not left
    assert bench.registry.fsck(read_data=True).exit_code == 0


NAMES = ["a", "b", "d/a", "d/b", "d/e/a", "big"]


@settings(max_examples=12)
@given(st.data())
def test_every_file_of_a_merge_is_found_by_its_maps(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Files of all sizes, in folders that both sides changed, several merges on one another."""
    bench = Bench(tmp_path_factory.mktemp("merge") / "work")
    contents = st.tuples(st.integers(1, 4), st.sampled_from([0, 10, 3_000, 70_000, 1_100_000])).map(
        lambda two: make_bytes(*two)
    )
    files = data.draw(st.dictionaries(st.sampled_from(NAMES), contents, min_size=2))
    bench.commit(files, allow_empty=True)
    for _ in range(2):
        bench.model.branch("dev", "main", force=True)
        for branch in ("main", "dev"):
            changes = data.draw(st.dictionaries(st.sampled_from(NAMES), contents | st.none(), max_size=3))
            side = {path: found for path, found in {**files, **changes}.items() if found is not None}
            bench.commit(side, branch, allow_empty=True)
        ours, theirs = bench.files("main"), bench.files("dev")
        report: MergeReport = bench.model.merge("dev", take="theirs")
        merged = bench.files("main")
        for path in merged.keys() | ours.keys() | theirs.keys():
            sides = {side.get(path) for side in (ours, theirs)}
            assert merged.get(path) in sides
            if theirs.get(path) != files.get(path):
                assert merged.get(path) == theirs.get(path)
            elif ours.get(path) != files.get(path):
                assert merged.get(path) == ours.get(path)
        assert report.outcome is Outcome.MERGED
        files = merged
    assert bench.registry.fsck(read_data=True).exit_code == 0


@pytest.mark.parametrize("order", ["random", "priorities", "stall"])
def test_under_every_schedule_what_is_merged_or_forked_is_whole(
    bench: Bench, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A merge of a fork and a fork of it, beside its retirement, collections and a commit to the branch, in whatever order of requests."""
    monkeypatch.setattr(transfer, "ThreadPoolExecutor", InlineExecutor)
    monkeypatch.setattr(collection, "MAX_SHARE", 1.0)
    bench.commit(BASE)
    bench.model.fork("eu")
    tip = bench.commit({**BASE, "x": make_bytes(9, 400_000)}, model="eu")
    bench.commit({**BASE, "y": b"y"})
    start = objects_of(bench.store)
    write_folder(bench.work, {path: File(data) for path, data in {**BASE, "y": b"y2"}.items()})
    merged = forked = 0

    def collect(registry: Registry) -> None:
        registry.gc(delete=True, grace_s=0, trash_window_s=0)

    actions = [
        lambda registry: registry.model("m").merge(f"eu@{tip}"),
        lambda registry: registry.model("eu").fork("us", tip),
        lambda registry: registry.model("eu").retire(tip, force=True),
        lambda registry: (collect(registry), collect(registry)),
        collect,
        lambda registry: registry.model("m").commit(bench.work),
    ]
    for seed in range(40):
        store = memory_with(start)
        actors = [
            Actor(str(n), lambda backend, action=action: action(registry_over(backend, make_world())))
            for n, action in enumerate(actions)
        ]
        Schedule(store, seed, order).run(actors, expected_steps=400)
        errors = [actor.error for actor in actors if actor.error]
        assert all(isinstance(error, ConflictError | NotFoundError | Stopped) for error in errors), (seed, errors)
        after = registry_over(store, make_world())
        assert after.fsck(read_data=True).exit_code == 0, seed
        merged += actors[0].error is None
        forked += actors[1].error is None
    assert 0 < merged < 40 or order == "stall"
    assert 0 < forked < 40 or order == "stall"
