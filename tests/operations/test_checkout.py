"""Checkout: what is written, removed and left, what stands in the way, and what a stop in the middle leaves. Links: test_checkout_safety."""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import BackendError, IntegrityError, LocalEditsError, NotFoundError
from cas_registry.registry import Model, registry_over
from cas_registry.store.layout import object_key
from cas_registry.worktree.binding import read_state
from tests.support.faulty import Fault, FaultKind, FaultyBackend
from tests.support.folders import KIB, MIB, File, Folder, make_bytes, read_folder, write_folder
from tests.support.simulated import OpenedFiles, PauseAt, RoundTripBackend, make_registry, make_world

ONE: Folder = {
    "model.bin": File(make_bytes(1, 200 * KIB)),
    "config.json": File(b"{}"),
    "run.sh": File(b"#!/bin/sh\n", executable=True),
    "data/train.csv": File(b"1,2\n"),
    "data/deep/er/notes.txt": File(b"one"),
    "logs": None,
}
TWO: Folder = {
    "model.bin": File(make_bytes(2, 200 * KIB)),
    "config.json": File(b"{}"),
    "run.sh": File(b"#!/bin/sh\n"),
    "data": File(b"a file now"),
    "logs/run.log": File(b"log"),
    "new.txt": File(b"new"),
}
THREE: Folder = {"model.bin": File(make_bytes(3, 150 * KIB)), "config.json/nested": File(b"a folder now"), "third": File(b"3")}
VERSIONS = {"main~2": ONE, "main~1": TWO, "main": THREE}


@dataclass
class Bench:
    store: MemoryBackend
    backend: RoundTripBackend
    model: Model
    target: Path

    def holds(self) -> Folder:
        return read_folder(self.target)

    def with_backend(self, backend: object) -> Model:
        return registry_over(backend, self.model._world).model("m")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    store = MemoryBackend("checkout")
    backend = RoundTripBackend(store)
    model = make_registry(backend, make_world(tmp_path / "cache")).model("m")
    for folder in VERSIONS.values():
        model.commit(write_folder(tmp_path / "work", folder))
    return Bench(store, backend, model, tmp_path / "out")


# What is written


@pytest.mark.parametrize("first", VERSIONS)
@pytest.mark.parametrize("second", VERSIONS)
def test_any_version_over_any_other_though_files_become_folders(bench: Bench, first: str, second: str) -> None:
    bench.model.checkout(first, bench.target)
    report = bench.model.checkout(second, bench.target)
    assert bench.holds() == VERSIONS[second]
    before, after = VERSIONS[first], VERSIONS[second]
    files = {path for path, file in after.items() if file}
    assert set(report.written) == {path for path in files if before.get(path) is None or before[path].data != after[path].data}
    assert set(report.removed) == {path for path, file in before.items() if file} - files
    assert report.unchanged == len(files) - len(report.written)
    assert bench.model.status(bench.target, second).is_clean


def test_a_version_that_is_there_already_is_neither_fetched_nor_touched(bench: Bench) -> None:
    bench.model.checkout("main~2", bench.target)
    bench.model.checkout("main~2", bench.target)  # by now every file is old enough to be remembered
    before = _untouched(bench.target)
    bench.backend.reset()
    with OpenedFiles(bench.target) as opened:
        report = bench.model.checkout("main~2", bench.target)
    assert [path for path in opened.paths if not path.startswith(".reg/")] == []
    assert (report.written, report.removed, report.fetched_bytes, report.unchanged) == ((), (), 0, 5)
    assert bench.backend.requests_besides("refs/", "trees/", "commits/") == 0
    assert _untouched(bench.target) == before


def _untouched(target: Path) -> dict[Path, tuple[int, int, int]]:
    """What tells that a path was written; looking at a folder moves its time of access."""
    found = {path: path.stat() for path in target.rglob("*") if ".reg" not in path.parts}
    return {path: (stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns) for path, stat in found.items()}


def test_only_what_differs_is_fetched(bench: Bench) -> None:
    bench.model.checkout("main~2", bench.target)
    (bench.target / "model.bin").unlink()
    bench.backend.reset()
    report = bench.model.checkout("main~2", bench.target)
    assert report.written == ("model.bin",)
    assert report.fetched_bytes == 200 * KIB
    assert bench.backend.bytes_in < 220 * KIB


def test_a_file_that_is_right_already_is_taken_as_it_is_without_a_memory_of_it(bench: Bench) -> None:
    write_folder(bench.target, {"config.json": ONE["config.json"], "model.bin": ONE["model.bin"], "mine": File(b"mine")})
    report = bench.model.checkout("main~2", bench.target)
    assert report.unchanged == 2
    assert bench.holds() == {**ONE, "mine": File(b"mine")}


def test_permissions_alone_are_set_without_fetching(bench: Bench) -> None:
    bench.model.checkout("main~2", bench.target)
    (bench.target / "run.sh").chmod(0o644)
    (bench.target / "config.json").chmod(0o755)
    report = bench.model.checkout("main~2", bench.target)
    assert report.written == ()
    assert bench.holds() == ONE


def test_permissions_are_not_set_on_a_file_that_has_another_name_outside(bench: Bench, tmp_path: Path) -> None:
    """The content is right, the permissions are not: setting them would reach the other name."""
    victim = tmp_path / "victim.sh"
    victim.write_bytes(b"#!/bin/sh\n")
    victim.chmod(0o600)
    bench.target.mkdir()
    os.link(victim, bench.target / "run.sh")
    bench.model.checkout("main~2", bench.target)
    assert bench.holds() == ONE
    assert stat.S_IMODE(victim.stat().st_mode) == 0o600
    assert victim.stat().st_nlink == 1


# What is left alone, and what is in the way


def test_what_is_of_no_version_stays_and_keeps_its_folders(bench: Bench) -> None:
    bench.model.checkout("main~1", bench.target)
    write_folder(bench.target, {**bench.holds(), "logs/mine.log": File(b"mine"), "mine": None})
    bench.model.checkout("main", bench.target)
    assert bench.holds() == {**THREE, "logs/mine.log": File(b"mine"), "mine": None}


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    ("path", "listed"),
    [
        ("data/mine.csv", ["data/mine.csv"]),
        ("data/deep/mine", ["data/deep/mine"]),
        ("new.txt/inner/mine", ["new.txt/inner/mine"]),
    ],
)
def test_a_folder_with_files_of_nobody_does_not_give_way_to_a_file(
    bench: Bench, path: str, listed: list[str], force: bool
) -> None:
    bench.model.checkout("main~2", bench.target)
    (bench.target / path).parent.mkdir(parents=True, exist_ok=True)
    (bench.target / path).write_bytes(b"mine")
    before = bench.holds()
    with pytest.raises(LocalEditsError, match="move or remove them first") as caught:
        bench.model.checkout("main~1", bench.target, force=force)
    assert caught.value.fields["paths"] == listed
    assert bench.holds() == before


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("path", ["logs", "data", "data/deep/er"])
def test_a_file_of_nobody_does_not_give_way_to_a_folder(bench: Bench, path: str, force: bool) -> None:
    (bench.target / path).parent.mkdir(parents=True)
    (bench.target / path).write_bytes(b"mine")
    with pytest.raises(LocalEditsError) as caught:
        bench.model.checkout("main~2", bench.target, force=force)
    assert caught.value.fields["paths"] == [path]
    assert bench.holds() == {path: File(b"mine")}


def test_an_edited_file_that_has_to_become_a_folder_is_an_edit(bench: Bench) -> None:
    bench.model.checkout("main~1", bench.target)
    (bench.target / "config.json").write_bytes(b"edited")
    with pytest.raises(LocalEditsError) as caught:
        bench.model.checkout("main", bench.target)
    assert caught.value.fields["paths"] == ["config.json"]
    bench.model.checkout("main", bench.target, force=True)
    assert bench.holds() == THREE


def test_a_tracked_file_that_somebody_made_a_folder_stays_one(bench: Bench) -> None:
    bench.model.checkout("main~1", bench.target)
    (bench.target / "new.txt").unlink()
    write_folder(bench.target / "new.txt", {"mine": File(b"mine")})
    bench.model.checkout("main", bench.target)
    assert bench.holds() == {**THREE, "new.txt/mine": File(b"mine")}


def test_a_long_list_of_edits_is_cut_in_the_message_and_whole_in_the_fields(bench: Bench, tmp_path: Path) -> None:
    folder: Folder = {f"{number:02}.txt": File(b"%d" % number) for number in range(40)}
    bench.model.commit(write_folder(tmp_path / "many", folder), branch="many")
    write_folder(bench.target, {path: File(b"edited") for path in folder})
    with pytest.raises(LocalEditsError, match="and 20 more") as caught:
        bench.model.checkout("many", bench.target)
    assert caught.value.fields["paths"] == sorted(folder)


def test_the_private_folder_is_no_way_out(bench: Bench, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    bench.target.mkdir()
    (bench.target / ".reg").symlink_to(outside)
    with pytest.raises(LocalEditsError):
        bench.model.checkout("main", bench.target)
    assert os.listdir(outside) == []
    assert os.listdir(bench.target) == [".reg"]


# What the folder remembers


def test_the_folder_remembers_what_it_holds_unless_asked_not_to(bench: Bench) -> None:
    bench.model.checkout("main~1", bench.target)
    state = read_state(bench.target)
    assert state is not None
    assert (state.commit, state.tree, state.pending) == (
        bench.model.resolve("main~1").commit.hex, bench.model.resolve("main~1").tree, (),
    )  # fmt: skip
    bench.model.checkout("main", bench.target / "elsewhere", remember=False)
    assert not (bench.target / "elsewhere/.reg").exists()


def test_a_memory_of_another_registry_is_none(bench: Bench, tmp_path: Path) -> None:
    bench.model.checkout("main~1", bench.target)
    other = make_registry(MemoryBackend("other"), make_world(None)).model("m")
    other.commit(write_folder(tmp_path / "one", {"config.json": File(b"other")}))
    assert other.folder_state(bench.target) is None
    with pytest.raises(LocalEditsError) as caught:
        other.checkout("main", bench.target)
    assert caught.value.fields["paths"] == ["config.json"]


def test_a_version_that_the_registry_has_lost_does_not_keep_the_next_from_coming(bench: Bench) -> None:
    """The folder holds a version whose tree is gone: its files count as edits, which may be overwritten."""
    bench.model.checkout("main~1", bench.target)
    bench.store.delete(object_key(bench.model.resolve("main~1").tree))
    model = bench.with_backend(bench.store)  # it has not read that tree
    with pytest.raises(IntegrityError):
        model.checkout("main~1", bench.target)
    with pytest.raises(LocalEditsError):
        model.checkout("main~2", bench.target)
    for path in ("data", "model.bin"):
        (bench.target / path).unlink()
    model.checkout("main~2", bench.target, force=True)
    assert {path: bench.holds()[path] for path in ONE if path != "logs"} == {path: ONE[path] for path in ONE if path != "logs"}


# Stopped in the middle


def _is_stopped(bench: Bench, revision: str, fault: Fault) -> None:
    faulty = FaultyBackend(bench.store, [fault])
    with pytest.raises(BackendError):
        bench.with_backend(faulty).checkout(revision, bench.target)
    faulty.assert_all_hit()


@pytest.mark.parametrize("call", range(4))
def test_a_store_that_fails_leaves_whole_files_and_a_rerun_goes_on(bench: Bench, tmp_path: Path, call: int) -> None:
    folder: Folder = {f"{number}.bin": File(make_bytes(number, 9 * MIB)) for number in range(3)}
    bench.model.commit(write_folder(tmp_path / "large", folder), branch="large")
    bench.model.checkout("main~1", bench.target)
    _is_stopped(bench, "large", Fault("get", FaultKind.FAIL_BEFORE, key="packs/", call=call))
    for path, file in bench.holds().items():
        assert file in (TWO.get(path), folder.get(path)), path
    assert not list(bench.target.rglob(".reg-tmp-*"))
    bench.model.checkout("large", bench.target)
    assert bench.holds() == folder
    bench.model.checkout("main", bench.target)
    assert bench.holds() == THREE


def test_two_stops_in_a_row_leave_nothing_that_is_taken_for_edits(bench: Bench) -> None:
    bench.model.checkout("main~2", bench.target)
    for revision, stage in (("main~1", "write"), ("main", "write")):
        stop = PauseAt(stage, _raise_interrupt)
        with pytest.raises(KeyboardInterrupt):
            bench.model.checkout(revision, bench.target, progress=stop)
        assert stop.was_reached
    bench.model.checkout("main~2", bench.target)
    assert bench.holds() == ONE


def test_a_first_checkout_that_stopped_leaves_nothing_behind_in_another_version(bench: Bench) -> None:
    with pytest.raises(KeyboardInterrupt):
        bench.model.checkout("main~2", bench.target, progress=PauseAt("write", _raise_interrupt))
    bench.model.checkout("main", bench.target)
    assert bench.holds() == THREE


def test_what_a_killed_checkout_left_half_written_is_in_no_commit(bench: Bench) -> None:
    bench.model.checkout("main", bench.target)
    (bench.target / "config.json/.reg-tmp-0123456789abcdef").write_bytes(b"half")
    assert not bench.model.commit(bench.target).created
    assert bench.model.status(bench.target, "main").is_clean


@pytest.mark.parametrize("missing", ["tree", "map"])
def test_nothing_is_changed_by_a_version_that_cannot_be_read(bench: Bench, missing: str) -> None:
    bench.model.checkout("main~1", bench.target)
    bench.store.delete(object_key(getattr(bench.model.resolve("main"), missing)))
    with pytest.raises(IntegrityError):
        bench.model.checkout("main", bench.target)
    assert bench.holds() == TWO


def _raise_interrupt() -> None:
    raise KeyboardInterrupt


# Parts of a version


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["config.json"], {"config.json"}),
        (["data"], {"data/train.csv", "data/deep/er/notes.txt"}),
        (["data/deep/"], {"data/deep/er/notes.txt"}),
        (["*.json", "run.sh"], {"config.json", "run.sh"}),
        (["data/*"], {"data/train.csv", "data/deep/er/notes.txt"}),
        (["model.???"], {"model.bin"}),
    ],
)
def test_parts_are_written_and_nothing_else_is_touched(bench: Bench, patterns: list[str], expected: set[str]) -> None:
    write_folder(bench.target, {"mine": File(b"mine")})
    report = bench.model.checkout("main~2", bench.target, paths=patterns)
    assert set(report.written) == expected
    assert bench.holds() == {**{path: ONE[path] for path in expected}, "mine": File(b"mine")}
    assert read_state(bench.target) is None


def test_a_part_of_another_version_removes_nothing(bench: Bench) -> None:
    bench.model.checkout("main~2", bench.target)
    bench.model.checkout("main~1", bench.target, paths=["model.bin"])
    assert bench.holds() == {**ONE, "model.bin": TWO["model.bin"]}
    state = read_state(bench.target)
    assert state is not None
    assert state.tree == bench.model.resolve("main~2").tree


@pytest.mark.parametrize("pattern", ["nothing.bin", "*.pt", "data/deep/er/notes.txt/x", "logs"])
def test_a_pattern_without_a_match_is_named_and_nothing_is_written(bench: Bench, pattern: str) -> None:
    with pytest.raises(NotFoundError, match="no file of this version matches"):
        bench.model.checkout("main~2", bench.target, paths=["config.json", pattern])
    assert not bench.target.exists()


def test_a_target_is_made_with_its_parents_and_may_be_a_link_to_a_folder(bench: Bench, tmp_path: Path) -> None:
    bench.model.checkout("main", tmp_path / "a/b/c")
    assert read_folder(tmp_path / "a/b/c") == THREE
    (tmp_path / "current").symlink_to(tmp_path / "a/b/c")
    bench.model.checkout("main~1", tmp_path / "current")
    assert read_folder(tmp_path / "a/b/c") == TWO


REFUSALS: list[Callable[[Bench], object]] = [
    lambda bench: bench.model.checkout("nothing", bench.target),
    lambda bench: bench.model.checkout("main~9", bench.target),
    lambda bench: bench.model.checkout("other@main", bench.target),
]


@pytest.mark.parametrize("action", REFUSALS)
def test_a_revision_that_is_not_there_makes_no_folder(bench: Bench, action: Callable[[Bench], object]) -> None:
    with pytest.raises(NotFoundError):
        action(bench)
    assert not bench.target.exists()


# What is told before


def _snapshot(root: Path) -> dict[str, object]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_ino) for path in root.rglob("*")}


@pytest.mark.parametrize("first", VERSIONS)
@pytest.mark.parametrize("second", VERSIONS)
def test_the_plan_is_what_is_done_and_changes_nothing(bench: Bench, first: str, second: str) -> None:
    bench.model.checkout(first, bench.target, cache=False)
    before = _snapshot(bench.target)
    bench.backend.reset()
    plan = bench.model.plan_checkout(second, bench.target, cache=False)
    assert {method for method, _ in bench.backend.keys} == {"get"}
    assert not [key for _, key in bench.backend.keys if key.startswith("packs/")]
    assert _snapshot(bench.target) == before
    report = bench.model.checkout(second, bench.target, cache=False)
    assert (plan.write, plan.remove, plan.unchanged) == (report.written, report.removed, report.unchanged)
    assert (plan.written_bytes, plan.size_bytes, plan.cached_bytes) == (report.written_bytes, report.size_bytes, 0)
    assert plan.fetch_bytes >= report.fetched_bytes
    assert (plan.fetch_bytes > 0) == (first != second)


def test_the_plan_of_a_folder_that_is_not_there_counts_bytes_and_requests_exactly_and_makes_none(bench: Bench) -> None:
    plan = bench.model.plan_checkout("main~2", bench.target)
    assert not bench.target.exists()
    bench.backend.reset()
    report = bench.model.checkout("main~2", bench.target)
    assert plan.fetch_bytes == report.fetched_bytes
    assert plan.fetch_requests == sum(key.startswith("packs/") for _, key in bench.backend.keys)
    assert plan.write == report.written


def test_what_is_going_to_be_done_is_told_before_the_first_change_and_an_error_then_changes_nothing(bench: Bench) -> None:
    bench.model.checkout("main~2", bench.target)
    before = _snapshot(bench.target)

    def refuse(plan: object) -> None:
        assert _snapshot(bench.target) == before
        raise NotFoundError("too much")

    with pytest.raises(NotFoundError, match="too much"):
        bench.model.checkout("main", bench.target, foresee=refuse)
    assert _snapshot(bench.target) == before


def test_the_plan_refuses_what_the_checkout_refuses(bench: Bench) -> None:
    bench.model.checkout("main~2", bench.target)
    (bench.target / "config.json").write_text("edited")
    with pytest.raises(LocalEditsError, match=r"config\.json"):
        bench.model.plan_checkout("main~1", bench.target)
    assert "config.json" in bench.model.plan_checkout("main~1", bench.target, force=True).write
    with pytest.raises(NotFoundError):
        bench.model.plan_checkout("main~1", bench.target, paths=["nothing"])
    assert bench.model.plan_checkout("main~2", bench.target, paths=["run.sh"]).unchanged == 1
