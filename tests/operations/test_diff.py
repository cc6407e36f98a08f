"""Differences: every kind of change, bytes shared and new, numbers side by side, from metadata alone."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings

from cas_registry.backends.memory import MemoryBackend
from cas_registry.operations.diff import Change
from cas_registry.registry import Model
from tests.support.folders import CHUNK_BYTES, KIB, MIB, File, Folder, files_of, make_bytes, versions, write_folder
from tests.support.simulated import OpenedFiles, RoundTripBackend, make_registry, make_world


@dataclass
class Bench:
    backend: RoundTripBackend
    model: Model
    work: Path

    def commit(self, folder: Folder, **more: object) -> str:
        return self.model.commit(write_folder(self.work, folder), allow_empty=True, **more).commit.hex


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    backend = RoundTripBackend(MemoryBackend("diff"))
    model = make_registry(backend, make_world(tmp_path / "cache"), chunk_bytes=CHUNK_BYTES).model("m")
    return Bench(backend, model, tmp_path / "work")


DATA = make_bytes(1, MIB)


def test_every_kind_of_change_is_told_apart(bench: Bench) -> None:
    bench.commit(
        {"same": File(b"same"), "changed": File(b"old"), "gone": File(b"gone"), "moved.bin": File(DATA), "run.sh": File(b"#!"), "empty": File(b"")}
    )  # fmt: skip
    bench.commit(
        {"same": File(b"same"), "changed": File(b"newer"), "added": File(b"added"), "deep/renamed.bin": File(DATA), "run.sh": File(b"#!", executable=True)}
    )  # fmt: skip
    diff = bench.model.diff("main~1", "main")
    assert [
        (change.change, change.path, change.old_path, change.old_size_bytes, change.size_bytes) for change in diff.files
    ] == [
        (Change.ADDED, "added", None, 0, 5),
        (Change.CHANGED, "changed", None, 3, 5),
        (Change.RENAMED, "deep/renamed.bin", "moved.bin", MIB, MIB),
        (Change.REMOVED, "empty", None, 0, 0),
        (Change.REMOVED, "gone", None, 4, 0),
        (Change.CHANGED, "run.sh", None, 2, 2),
    ]
    assert diff.unchanged_files == 1
    assert diff.new_bytes == 10
    assert diff.shared_bytes == MIB + 2 + 4
    assert not diff.is_empty


def test_bytes_are_shared_by_chunk_within_a_changed_file(bench: Bench) -> None:
    bench.commit({"model.bin": File(DATA)})
    bench.commit({"model.bin": File(DATA[: 500 * KIB] + b"inserted" + DATA[500 * KIB :]), "copy.bin": File(DATA[: 300 * KIB])})
    by_path = {change.path: change for change in bench.model.diff("main~1", "main").files}
    changed = by_path["model.bin"]
    assert changed.shared_bytes + changed.new_bytes == changed.size_bytes == MIB + 8
    assert 8 < changed.new_bytes < 12 * CHUNK_BYTES
    assert by_path["copy.bin"].new_bytes < 8 * CHUNK_BYTES


def test_bytes_that_two_new_files_share_are_new_once(bench: Bench) -> None:
    bench.commit({"a": File(b"a")})
    bench.commit({"a": File(b"a"), "one.bin": File(DATA), "two.bin": File(DATA)})
    diff = bench.model.diff("main~1", "main")
    assert diff.new_bytes == MIB
    assert diff.shared_bytes == MIB + 1


def test_a_version_does_not_differ_from_itself(bench: Bench) -> None:
    bench.commit({"a": File(b"a"), "b/c": File(DATA)}, metrics={"auc": float("nan")})
    diff = bench.model.diff("main", "main")
    assert (diff.is_empty, diff.files, diff.new_bytes, diff.shared_bytes, diff.metrics) == (True, (), 0, MIB + 1, {})


def test_params_and_metrics_stand_side_by_side_where_they_differ(bench: Bench) -> None:
    bench.commit({"a": File(b"a")}, params={"lr": 1e-4, "seed": 1, "old": "x"}, metrics={"auc": 0.9, "loss": 1})
    bench.commit({"a": File(b"a")}, params={"lr": 1e-4, "seed": 2, "new": None}, metrics={"auc": 0.95, "loss": 1.0})
    diff = bench.model.diff("main~1", "main")
    assert diff.params == {"seed": (1, 2), "old": ("x", None), "new": (None, None)}
    assert diff.metrics == {"auc": (0.9, 0.95), "loss": (1, 1.0)}
    assert diff.is_empty


def test_versions_of_two_models_can_be_compared(bench: Bench) -> None:
    bench.commit({"model.bin": File(DATA)})
    other = bench.model
    bench.model = make_registry(RoundTripBackend(MemoryBackend("elsewhere")), make_world(None)).model("unused")
    bench.model = other
    registry_model = type(other)(other._stores, other._world, "other")
    registry_model.commit(write_folder(bench.work, {"model.bin": File(DATA + b"more")}))
    diff = other.diff("main", "other@main")
    assert [change.change for change in diff.files] == [Change.CHANGED]
    assert 4 <= diff.new_bytes < 8 * CHUNK_BYTES


def test_no_pack_and_no_file_is_read(bench: Bench) -> None:
    bench.commit({f"{n}/file.bin": File(make_bytes(n, 50 * KIB)) for n in range(5)})
    bench.commit({f"{n}/file.bin": File(make_bytes(n + 1, 50 * KIB)) for n in range(5)})
    bench.backend.reset()
    with OpenedFiles(bench.work) as opened:
        bench.model.diff("main~1", "main")
    assert opened.paths == []
    assert not any(key.startswith("packs/") for _, key in bench.backend.keys)
    assert set(bench.backend.requests) == {"get"}


def test_generated_versions_differ_by_exactly_what_changed(tmp_path_factory: pytest.TempPathFactory) -> None:
    model = make_registry(MemoryBackend("generated"), make_world(None), chunk_bytes=CHUNK_BYTES).model("m")

    @settings(max_examples=30)
    @given(versions(max_versions=2))
    def check(made: list[dict[str, File | None]]) -> None:
        work = tmp_path_factory.mktemp("generated")
        old, new = (model.commit(write_folder(work, folder), allow_empty=True).commit.hex for folder in made)
        before, after = files_of(made[0]), files_of(made[1])
        diff = model.diff(old, new)
        by_path = {change.path: change for change in diff.files}
        assert len(by_path) == len(diff.files)
        renamed_from = {change.old_path for change in diff.files if change.old_path}
        assert {path for path, change in by_path.items() if change.change is Change.CHANGED} == {
            path for path in before.keys() & after.keys() if before[path] != after[path]
        }
        assert {
            path for path, change in by_path.items() if change.change in {Change.ADDED, Change.RENAMED}
        } == after.keys() - before.keys()
        assert {
            path for path, change in by_path.items() if change.change is Change.REMOVED
        } | renamed_from == before.keys() - after.keys()
        assert all(before[change.old_path].data == after[change.path].data for change in diff.files if change.old_path)
        total = sum(len(file.data) for file in after.values())
        assert diff.shared_bytes + diff.new_bytes == total
        assert 0 <= diff.new_bytes <= sum(change.size_bytes for change in diff.files)
        if {file.data for file in after.values()} <= {file.data for file in before.values()}:
            assert diff.new_bytes == 0
        assert model.diff(new, old).unchanged_files == diff.unchanged_files

    check()
