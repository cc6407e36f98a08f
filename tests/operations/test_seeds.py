"""What the folder holds is not fetched: by the counts of the store, and whatever becomes of the folder meanwhile."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import IntegrityError
from cas_registry.model.ids import ChunkId
from cas_registry.model.maps import Located, PackInfo, PackName
from cas_registry.model.placement import Codec, Placement
from cas_registry.operations import checkout, seeds
from cas_registry.operations.seeds import Seeds
from cas_registry.registry import CheckoutReport, Model, init_registry, registry_over
from cas_registry.store.layout import object_key
from tests.support.faulty import Fault, FaultKind, FaultyBackend
from tests.support.folders import CHUNK_BYTES, KIB, MIB, File, Folder, make_bytes, read_folder, versions, write_folder
from tests.support.simulated import FarBackend, RoundTripBackend, make_registry, make_world

TENSOR_BYTES = 600 * KIB


def safetensors(tensors: Mapping[str, np.ndarray]) -> File:
    header: dict[str, object] = {}
    position = 0
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [position, position + values.nbytes]}
        position += values.nbytes
    text = json.dumps(header).encode()
    return File(b"".join((len(text).to_bytes(8, "little"), text, *(values.tobytes() for values in tensors.values()))))


def tensor(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(TENSOR_BYTES // 4).astype(np.float32)


@dataclass
class Bench:
    store: MemoryBackend
    backend: RoundTripBackend
    model: Model
    folder: Path
    target: Path

    def commit(self, folder: Folder) -> int:
        """Returns the bytes of the packs written."""
        return self.model.commit(write_folder(self.folder, folder)).stored_bytes

    def checkout(self, revision: str, **options: bool) -> CheckoutReport:
        """A checkout without the cache of files; `backend` counts it alone."""
        self.backend.reset()
        report = self.model.checkout(revision, self.target, cache=False, **options)
        assert read_folder(self.target) == self.version(revision)
        assert not list(self.target.rglob(".reg-tmp-*"))
        return report

    def version(self, revision: str) -> Folder:
        return {
            info.path: File(self.store_reader().read_bytes(revision, info.path), info.mode.value == "exec")
            for info in self.model.files(revision)
        }

    def store_reader(self) -> Model:
        """The same model, past whatever counts or disturbs."""
        return registry_over(self.store, make_world()).model("m")

    def over(self, backend: object) -> "Bench":
        return Bench(self.store, self.backend, registry_over(backend, self.model._world).model("m"), self.folder, self.target)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    store = MemoryBackend("seeds")
    backend = RoundTripBackend(FarBackend(store))
    model = make_registry(backend, make_world(tmp_path / "cache")).model("m")
    return Bench(store, backend, model, tmp_path / "in", tmp_path / "out")


# What is fetched


def test_of_ten_tensors_the_one_that_changed_is_fetched_and_nothing_else(bench: Bench) -> None:
    tensors = {f"layer.{number}": tensor(number) for number in range(10)}
    bench.commit({"model.safetensors": safetensors(tensors), "config.json": File(b"{}")})
    bench.commit({"model.safetensors": safetensors({**tensors, "layer.4": tensor(100)}), "config.json": File(b"{}")})
    bench.checkout("main~1")
    report = bench.checkout("main")
    assert report.written == ("model.safetensors",)
    assert report.written_bytes - report.seeded_bytes == pytest.approx(TENSOR_BYTES, rel=0.01)
    assert 0.7 * TENSOR_BYTES < report.fetched_bytes < 1.01 * TENSOR_BYTES
    assert bench.backend.bytes_in - report.fetched_bytes < 20 * KIB, "maps, trees, entries"
    assert {key.partition("/")[0] for _, key in bench.backend.keys} <= {"refs", "trees", "commits", "maps", "packs"}
    assert {method for method, _ in bench.backend.keys} == {"get"}


def test_tensors_that_moved_within_the_file_are_found_by_the_map_of_the_version_before(bench: Bench) -> None:
    tensors = {f"layer.{number}": tensor(number) for number in range(4)}
    bench.commit({"model.safetensors": safetensors(tensors)})
    bench.commit({"model.safetensors": safetensors({"adapter": tensor(7)[:5000], **dict(reversed(tensors.items()))})})
    bench.checkout("main~1")
    report = bench.checkout("main")
    assert report.seeded_bytes >= 4 * TENSOR_BYTES
    assert report.fetched_bytes < 30 * KIB


def test_of_a_delta_whose_base_is_here_the_difference_alone_is_fetched(bench: Bench) -> None:
    before = {f"layer.{number}": tensor(number) for number in range(4)}
    after = {name: values + np.float32(1e-6) * tensor(50) for name, values in before.items()}
    bench.commit({"model.safetensors": safetensors(before)})
    stored_bytes = bench.commit({"model.safetensors": safetensors(after)})
    assert stored_bytes < 0.7 * 4 * TENSOR_BYTES, "deltas"
    bench.checkout("main~1")
    report = bench.checkout("main")
    assert report.fetched_bytes <= stored_bytes
    assert report.seeded_bytes < 10 * KIB, "bases are not counted: no byte of them is in the file"


@pytest.mark.parametrize("kind", [FaultKind.FLIP_BIT, FaultKind.TRUNCATE])
def test_a_delta_damaged_on_the_way_is_read_again_though_its_base_is_here(bench: Bench, kind: FaultKind) -> None:
    before = {f"layer.{number}": tensor(number) for number in range(4)}
    bench.commit({"model.safetensors": safetensors(before)})
    bench.commit({"model.safetensors": safetensors({name: values * np.float32(1.0001) for name, values in before.items()})})
    bench.checkout("main~1")
    once = FaultyBackend(FarBackend(bench.store), [Fault("get", kind, key="packs/")])
    bench.over(once).checkout("main")
    once.assert_all_hit()
    bench.checkout("main~1")
    always = FaultyBackend(FarBackend(bench.store), [Fault("get", kind, key="packs/", times=None)])
    with pytest.raises(IntegrityError, match="at offset"):
        bench.over(always).checkout("main")
    assert read_folder(bench.target) == bench.version("main~1")


def test_without_a_memory_of_the_folder_the_same_place_of_the_same_file_is_tried(bench: Bench) -> None:
    bench.commit({"a.bin": File(make_bytes(1, 4 * MIB))})
    edited = bytearray(make_bytes(1, 4 * MIB))
    edited[2 * MIB : 2 * MIB + 10] = b"0123456789"
    write_folder(bench.target, {"a.bin": File(bytes(edited))})
    report = bench.checkout("main", force=True)
    assert report.fetched_bytes < 600 * KIB
    assert report.seeded_bytes > 3 * MIB


def test_a_copy_under_another_name_is_fetched_nowhere(bench: Bench) -> None:
    data = File(make_bytes(1, 3 * MIB))
    bench.commit({"a.bin": data})
    bench.commit({"a.bin": data, "b/c.bin": data})
    bench.checkout("main~1")
    report = bench.checkout("main")
    assert (report.fetched_bytes, report.seeded_bytes) == (0, 3 * MIB)
    assert not [key for _, key in bench.backend.keys if key.startswith("packs/")]


def test_for_a_small_change_no_map_of_the_version_before_is_read(bench: Bench) -> None:
    bench.commit({"a.bin": File(make_bytes(1, 3 * MIB)), "b.bin": File(make_bytes(2, 50 * KIB))})
    bench.commit({"a.bin": File(make_bytes(1, 3 * MIB)), "b.bin": File(make_bytes(3, 50 * KIB))})
    bench.checkout("main~1")
    bench.checkout("main")
    assert bench.backend.by_area().get("get commits", 0) == 0


# One file seeds another, in whatever order they are replaced


def _rotated(names: list[str]) -> tuple[Folder, Folder]:
    files = [File(make_bytes(number, 2 * MIB + number)) for number in range(len(names))]
    return dict(zip(names, files, strict=True)), dict(zip(names, files[1:] + files[:1], strict=True))


REARRANGED: dict[str, tuple[Folder, Folder]] = {
    "swapped": _rotated(["a.bin", "b.bin"]),
    "rotated": _rotated(["a.bin", "b.bin", "c.bin", "d/e.bin", "f.bin"]),
    "renamed": ({"z.bin": File(make_bytes(1, 3 * MIB))}, {"a.bin": File(make_bytes(1, 3 * MIB))}),
    "joined": (
        {name: File(make_bytes(seed, 2 * MIB)) for seed, name in enumerate(("a.bin", "b.bin"))},
        {"b.bin": File(make_bytes(0, 2 * MIB) + make_bytes(1, 2 * MIB))},
    ),
    "split": (
        {"b.bin": File(make_bytes(0, 2 * MIB) + make_bytes(1, 2 * MIB))},
        {name: File(make_bytes(seed, 2 * MIB)) for seed, name in enumerate(("b.bin", "c.bin"))},
    ),
    "a file became a folder": (
        {"model": File(make_bytes(1, 3 * MIB))},
        {"model/weights.bin": File(make_bytes(1, 3 * MIB)), "model/config.json": File(b"{}")},
    ),
    "a folder became a file": (
        {"model/weights.bin": File(make_bytes(1, 3 * MIB)), "model/config.json": File(b"{}")},
        {"model": File(make_bytes(1, 3 * MIB))},
    ),
}


@pytest.mark.parametrize("name", REARRANGED)
def test_what_was_there_serves_though_it_is_replaced_or_removed_on_the_way(bench: Bench, name: str) -> None:
    before, after = REARRANGED[name]
    bench.commit(before)
    bench.commit(after)
    bench.checkout("main~1")
    report = bench.checkout("main")
    assert report.fetched_bytes < 300 * KIB, report
    back = bench.checkout("main~1")
    assert back.fetched_bytes < 300 * KIB, back


def test_more_files_than_may_be_open_are_no_harm_and_none_stays_open(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeds, "SEED_FILES", 2)
    before, after = REARRANGED["rotated"]
    bench.commit(before)
    bench.commit(after)
    bench.checkout("main~1")
    open_before = len(os.listdir("/proc/self/fd"))
    report = bench.checkout("main")
    assert len(os.listdir("/proc/self/fd")) == open_before
    assert 4 * MIB <= report.seeded_bytes < 5 * MIB


# A folder that does not hold still


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(make_bytes(99, 2 * MIB))


def _cut(path: Path) -> None:
    os.truncate(path, MIB)


def _replace(path: Path, made: Callable[[Path], object]) -> None:
    path.unlink()
    made(path)


def _link(path: Path) -> None:
    path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")


MEDDLING: dict[str, tuple[Callable[[Path], object], float]] = {
    "written over": (_overwrite, 0.5),
    "cut short": (_cut, 0.75),
    "grown": (lambda path: os.truncate(path, 9 * MIB), 0.0),
    "gone": (os.unlink, 1.0),
    "a link to the very bytes": (_link, 1.0),
    "a broken link": (lambda path: _replace(path, lambda path: path.symlink_to("nowhere")), 1.0),
    "a pipe": (lambda path: _replace(path, os.mkfifo), 1.0),
    "other bytes under the same name": (lambda path: _replace(path, lambda path: path.write_bytes(b"short")), 1.0),
}


@pytest.mark.parametrize("when", ["before the seeds are opened", "after"])
@pytest.mark.parametrize("name", MEDDLING)
def test_a_file_that_changes_meanwhile_gives_no_wrong_byte(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str, when: str
) -> None:
    """`lost` is the share of the file that has to be fetched, where the open file does not keep it."""
    data = make_bytes(1, 4 * MIB)
    bench.commit({"a.bin": File(data)})
    bench.commit({"a.bin": File(data + b"longer")})
    bench.checkout("main~1")
    meddle, lost = MEDDLING[name]
    find = seeds.find_seeds

    def meddled(*arguments: object) -> Seeds:
        if when == "after":
            found = find(*arguments)  # type: ignore[arg-type]
            meddle(bench.target / "a.bin")
            return found
        meddle(bench.target / "a.bin")
        return find(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(checkout, "find_seeds", meddled)
    report = bench.checkout("main")
    if when == "after" and lost == 1.0:
        lost = 0.0  # the open file is another than what bears the name now
    assert report.fetched_bytes == pytest.approx(lost * 4 * MIB, abs=600 * KIB)


def test_a_file_that_gives_errors_is_fetched_instead(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_bytes(1, 4 * MIB)
    bench.commit({"a.bin": File(data)})
    bench.commit({"a.bin": File(data + b"longer")})
    bench.checkout("main~1")

    def broken(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(seeds.os, "pread", broken)
    report = bench.checkout("main")
    monkeypatch.undo()
    assert report.seeded_bytes == 0
    assert report.fetched_bytes > 4 * MIB


@pytest.mark.parametrize("lost", ["commit", "map", "tree"])
def test_a_version_before_that_the_registry_has_lost_keeps_nothing_from_coming(bench: Bench, lost: str) -> None:
    data = make_bytes(1, 4 * MIB)
    bench.commit({"a.bin": File(data)})
    bench.commit({"a.bin": File(data + b"longer")})
    bench.checkout("main~1")
    bench.store.delete(object_key(getattr(bench.model.resolve("main~1"), lost)))
    fresh = bench.over(bench.backend)  # it has not read those trees
    report = fresh.checkout("main", force=True)
    assert report.seeded_bytes > 3 * MIB, "by the same place of the same file"


def test_a_memory_that_names_no_commit_is_no_obstacle(bench: Bench) -> None:
    data = make_bytes(1, 4 * MIB)
    bench.commit({"a.bin": File(data)})
    bench.commit({"a.bin": File(data + b"longer")})
    bench.checkout("main~1")
    state = bench.target / ".reg/state.json"
    memory = json.loads(state.read_text())
    state.write_text(json.dumps({**memory, "commit": "of old"}))
    bench.checkout("main")


# Stopped by kill -9

KILLED = """
import os, signal, sys
import cas_registry as reg

class Kills:
    def update(self, stage, done_bytes, total_bytes):
        if stage == "write":
            os.kill(os.getpid(), signal.SIGKILL)

reg.open(sys.argv[1]).model("m").checkout("main", sys.argv[2], progress=Kills())
"""


def test_a_killed_checkout_is_taken_up_again_with_what_is_left_of_the_files_before(tmp_path: Path) -> None:
    names = ["a.bin", "b.bin", "c.bin"]
    before, after = _rotated(names)
    model = init_registry(tmp_path / "registry", make_world()).model("m")
    model.commit(write_folder(tmp_path / "in", before))
    model.commit(write_folder(tmp_path / "in", after))
    target = tmp_path / "out"
    model.checkout("main~1", target)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "registry"), str(target)], check=False)
    assert killed.returncode == -9
    assert [name for name in names if (target / name).read_bytes() == after[name].data] == ["a.bin"]  # type: ignore[union-attr]
    report = model.checkout("main", target)
    assert read_folder(target) == after
    assert report.written == ("b.bin", "c.bin")
    assert report.seeded_bytes == pytest.approx(2 * MIB, abs=200 * KIB), "what a.bin held is gone; c.bin's bytes are in b.bin"
    model.checkout("main~1", target)
    assert read_folder(target) == before


# Any version over any other


@given(made=versions())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_version_over_any_other_however_little_there_is_to_gain(
    made: list[Folder], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("any")
    store = MemoryBackend("any")
    model = make_registry(store, make_world(), chunk_bytes=CHUNK_BYTES).model("m")
    commits = [model.commit(write_folder(root / "in", folder), allow_empty=True).commit.hex for folder in made]
    order = random.Random(len(made)).choices(range(len(made)), k=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seeds, "LOOK_FROM_BYTES", 1)
        patch.setattr(seeds, "MAP_SHARE", 1e-9)
        for number in order:
            report = model.checkout(commits[number], root / "out")
            assert read_folder(root / "out") == made[number]
            assert report.seeded_bytes <= report.written_bytes


# Seeds by themselves


def _located(data: bytes) -> Located:
    placement = Placement(ChunkId.of(data), 0, len(data), len(data), Codec.RAW)
    return Located(PackInfo(PackName(bytes(32)), 10_000), placement)


def test_files_are_closed_when_nothing_to_come_wants_them(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"first, second")
    handle = os.open(tmp_path / "a", os.O_RDONLY)
    places = {ChunkId.of(b"second").digest: seeds._Place("a", 7, 6)}
    with Seeds(places, {"a": handle}, {"a": 1}) as found:
        found.release(0)
        assert list(found.read([_located(b"second"), _located(b"third")]).values()) == [b"second"]
        found.release(1)
        assert found.read([_located(b"second")]) == {}
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(handle)
    assert found.used_bytes == 6
