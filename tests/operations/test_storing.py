"""Files of unknown id are read once: stored while they are read, dropped where the registry has them, refused where they do not hold still."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import ChangedDuringCommitError, NotFoundError
from cas_registry.operations import placing, writing
from cas_registry.operations.commit import CommitReport
from cas_registry.operations.version_files import BIG_FILE_BYTES
from cas_registry.registry import Registry
from cas_registry.worktree.scan import FoundFile, scan
from tests.support.folders import CHUNK_BYTES, KIB, MIB, File, make_bytes, read_folder, write_folder
from tests.support.simulated import OpenedFiles, PauseAt, make_registry, make_world, objects_of

SIZE = 5 * MIB + 1234  # read in three goes, and first reported after the second


@dataclass
class Bench:
    """A registry in memory and a folder to commit, watched."""

    store: MemoryBackend
    registry: Registry
    work: Path

    def commit(self, model: str = "m", **more: object) -> tuple[CommitReport, list[str]]:
        """The report, and the files that were opened, each as often as it was."""
        with OpenedFiles(self.work) as opened:
            report = self.registry.model(model).commit(self.work, **more)  # type: ignore[arg-type]
        return report, sorted(path for path in opened.paths if not path.startswith(".reg"))

    def packs(self) -> dict[str, bytes]:
        return {key: data for key, data in objects_of(self.store).items() if key.startswith("packs/")}

    def forget_hints(self) -> None:
        for info in list(self.store.list("files/")):
            self.store.delete(info.key)


def make_bench(folder: Path, **files: bytes) -> Bench:
    store = MemoryBackend("storing")
    registry = make_registry(store, make_world(folder / "cache"), chunk_bytes=CHUNK_BYTES)
    return Bench(store, registry, write_folder(folder / "work", {f"{name}.bin": File(data) for name, data in files.items()}))


def touch(path: Path) -> None:
    """Another time, so that no cache vouches for the bytes."""
    os.utime(path, ns=(1_600_000_000_000_000_000,) * 2)


def weights(seed: int, base: np.ndarray | None = None) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(400_000)
    return ((0 if base is None else base) + noise * (0.05 if base is None else 1e-6)).astype(np.float32)


def safetensors(values: np.ndarray) -> bytes:
    text = json.dumps({"w": {"dtype": "F32", "shape": [values.size], "data_offsets": [0, values.nbytes]}}).encode()
    return len(text).to_bytes(8, "little") + text + values.tobytes()


@pytest.fixture(params=["read once", "hashed before"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How often a new big file is opened."""
    if request.param == "read once":
        return 1
    monkeypatch.setattr(placing, "READ_ONCE_BYTES", 0)
    return 2


def test_a_new_big_file_is_opened_as_often_as_it_must_be(tmp_path: Path, either_way: int) -> None:
    bench = make_bench(tmp_path, big=make_bytes(1, SIZE), small=b"small")
    report, opened = bench.commit()
    assert opened == ["big.bin"] * either_way + ["small.bin"] * 2
    assert (report.files_read, report.new_bytes) == (2, SIZE + 5)
    bench.registry.model("m").checkout("main", tmp_path / "out")
    assert read_folder(tmp_path / "out") == read_folder(bench.work)
    assert bench.commit()[1] == []
    assert bench.registry.fsck(read_data=True).findings == ()


def test_only_big_files_are_read_once_and_none_that_is_too_big_to_hold_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placing, "READ_ONCE_BYTES", 2 * MIB)
    sizes = {"a": BIG_FILE_BYTES - 1, "b": BIG_FILE_BYTES, "c": 2 * MIB, "d": 2 * MIB + 1}
    bench = make_bench(tmp_path, **{name: make_bytes(number, size) for number, (name, size) in enumerate(sizes.items())})
    found: list[FoundFile] = list(scan([bench.work]).files)
    assert {file.path for file in found if placing.is_read_once(file)} == {"b.bin", "c.bin"}
    assert bench.commit()[1] == ["a.bin", "a.bin", "b.bin", "c.bin", "d.bin", "d.bin"]
    for name in sizes:
        assert bench.registry.model("m").read_bytes("main", f"{name}.bin") == (bench.work / f"{name}.bin").read_bytes()


def test_a_registry_is_the_same_whether_files_were_read_once_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over several versions: plain files, tensors, deltas to them, a duplicate, and one file grown by an insertion."""
    reports: list[list[tuple[int, int, int, int]]] = []
    stored = []
    for limit in (placing.READ_ONCE_BYTES, 0):
        monkeypatch.setattr(placing, "READ_ONCE_BYTES", limit)
        first = weights(1)
        plain = make_bytes(1, 2 * MIB)
        bench = make_bench(tmp_path / str(limit), plain=plain, tensors=safetensors(first), small=b"small")
        taken = []
        for change in (
            {},
            {"tensors": safetensors(weights(2, first)), "twin": safetensors(weights(2, first))},
            {"plain": plain[:MIB] + b"inserted" + plain[MIB:], "moved": safetensors(first)},
        ):
            for name, data in change.items():
                (bench.work / f"{name}.bin").write_bytes(data)
            report, _ = bench.commit()
            taken.append((report.raw_bytes, report.new_bytes, report.stored_bytes, report.packs))
        reports.append(taken)
        stored.append(sum(map(len, bench.packs().values())))
        bench.registry.model("m").checkout("main", tmp_path / f"out-{limit}")
        assert read_folder(tmp_path / f"out-{limit}") == read_folder(bench.work)
        assert bench.registry.fsck(read_data=True).findings == ()
    assert reports[0] == reports[1]
    assert reports[0][1][1] > 2 * reports[0][1][2] > 0  # the second version is made of deltas
    assert stored[0] == stored[1]


@pytest.mark.usefixtures("either_way")
def test_two_equal_new_files_are_stored_once(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, one=make_bytes(1, SIZE), two=make_bytes(1, SIZE))
    report, _ = bench.commit()
    assert (report.raw_bytes, report.new_bytes) == (2 * SIZE, SIZE)
    assert sum(map(len, bench.packs().values())) < 1.1 * SIZE
    assert bench.registry.model("m").read_bytes("main", "two.bin") == make_bytes(1, SIZE)


# What the registry has already


@pytest.mark.parametrize("rows", ["in the root", "in a map of their own"])
def test_a_file_that_the_parent_has_is_dropped(
    tmp_path: Path, either_way: int, rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if rows != "in the root":
        monkeypatch.setattr(placing, "INLINE_BYTES", KIB)
    bench = make_bench(tmp_path, big=make_bytes(1, SIZE), other=make_bytes(2, MIB))
    bench.commit()
    bench.forget_hints()
    before = bench.packs()
    (bench.work / "big.bin").rename(bench.work / "moved.bin")
    touch(bench.work / "moved.bin")
    report, opened = bench.commit()
    assert opened == ["moved.bin"]
    assert (report.created, report.new_bytes, report.stored_bytes, report.packs) == (True, 0, 0, 0)
    assert bench.packs() == before
    assert bench.registry.model("m").read_bytes("main", "moved.bin") == make_bytes(1, SIZE)


@pytest.mark.usefixtures("either_way")
def test_files_that_were_only_touched_make_no_version(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, big=make_bytes(1, SIZE))
    first, _ = bench.commit()
    before = objects_of(bench.store)
    touch(bench.work / "big.bin")
    report, opened = bench.commit()
    assert (report.created, report.commit, opened) == (False, first.commit, ["big.bin"])
    assert objects_of(bench.store) == before


@pytest.mark.usefixtures("either_way")
def test_a_file_that_another_model_has_is_dropped_by_its_hint(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, big=make_bytes(1, SIZE))
    bench.commit("first")
    before = bench.packs()
    (bench.work / "tuned.bin").write_bytes(make_bytes(1, SIZE)[:MIB] + b"tuned" + make_bytes(1, SIZE)[MIB:])
    touch(bench.work / "big.bin")
    report, _ = bench.commit("second")
    assert 0 < report.new_bytes < 12 * CHUNK_BYTES  # a file that the hint led to lends its chunks to those that follow
    assert sum(len(data) for key, data in bench.packs().items() if key not in before) < 64 * KIB + SIZE // 100
    bench.forget_hints()
    touch(bench.work / "big.bin")
    assert bench.commit("third")[0].new_bytes > SIZE


# Files that do not hold still


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks at the folder again after it was read: whoever reads must see what changed."""
    monkeypatch.setattr(writing, "check_unchanged", lambda *_: None)


CHANGES: dict[str, Callable[[Path], object]] = {
    "cut short": lambda path: os.truncate(path, SIZE - 1),
    "emptied": lambda path: os.truncate(path, 0),
    "grown by a byte": lambda path: os.truncate(path, SIZE + 1),
    "grown by batches": lambda path: os.truncate(path, 3 * SIZE),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.usefixtures("either_way", "unchecked")
def test_a_file_that_changes_its_size_while_it_waits_is_refused(tmp_path: Path, change: Callable[[Path], object]) -> None:
    bench = make_bench(tmp_path, a=make_bytes(1, SIZE), b=make_bytes(2, SIZE))
    pause = PauseAt("store", lambda: change(bench.work / "b.bin"))
    with pytest.raises(ChangedDuringCommitError, match=r"b\.bin"):
        bench.commit(progress=pause)
    assert pause.was_reached
    with pytest.raises(NotFoundError):
        bench.registry.model("m").resolve("main")


@pytest.mark.parametrize("name", ["cut short", "grown by a byte", "grown by batches"])
@pytest.mark.usefixtures("either_way", "unchecked")
def test_a_file_that_changes_its_size_while_it_is_read_is_refused(tmp_path: Path, name: str) -> None:
    bench = make_bench(tmp_path, big=make_bytes(1, SIZE))
    pause = PauseAt("store", lambda: CHANGES[name](bench.work / "big.bin"))
    with pytest.raises(ChangedDuringCommitError, match=r"big\.bin"):
        bench.commit(progress=pause)
    assert pause.was_reached
    (bench.work / "big.bin").write_bytes(make_bytes(1, SIZE))
    assert bench.commit()[0].created
    assert bench.registry.model("m").read_bytes("main", "big.bin") == make_bytes(1, SIZE)
