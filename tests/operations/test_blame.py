"""Blame: what is said of every history is what looking at all of it says."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.wrappers import CountingBackend
from cas_registry.errors import NotFoundError
from cas_registry.registry import BlameReport, Model
from tests.operations.test_deltas import fp32
from tests.support.folders import KIB, File, Folder, make_bytes, write_folder
from tests.support.histories import Parents, commit_after, dags
from tests.support.simulated import make_registry, make_world

_RNG = np.random.default_rng(3)
LARGE = [_RNG.standard_normal(4 * KIB).astype(np.float32) for _ in range(3)]
SMALL = [_RNG.standard_normal(6).astype(np.float32) for _ in range(3)]

PAD = "pad"  # makes every file large enough to have an index of its tensors
State = Mapping[str, int]


@dataclass(frozen=True)
class Scheme:
    """A history with the state of each version: which of three contents each thing has, if it is there."""

    history: Parents
    states: list[State]


@st.composite
def schemes(draw: st.DrawFn, names: tuple[str, ...]) -> Scheme:
    history = draw(dags(9))
    states: list[State] = []
    for parents in history:
        state: dict[str, int] = dict(states[draw(st.sampled_from(parents))]) if parents else {names[0]: 0}
        for name in draw(st.sets(st.sampled_from(names), max_size=2)):
            content = draw(st.none() | st.integers(0, 2))
            if content is None:
                state.pop(name, None)
            else:
                state[name] = content
        states.append(state)
    return Scheme(history, states)


def guilty(scheme: Scheme, name: str) -> set[int]:
    """Versions of which one may be blamed: going back by every way along which the thing is the same, those where no parent has it so.

    By the first parent that has it, there is just one.
    """
    version = len(scheme.history) - 1
    content = scheme.states[version][name]
    while True:
        before = [parent for parent in scheme.history[version] if scheme.states[parent].get(name) == content]
        if not before:
            return {version}
        version = before[0]


@given(scheme=schemes(("a", "d/b", "d/e/c")))
@settings(max_examples=30)
def test_files_are_blamed_as_by_looking_at_every_version(tmp_path_factory: pytest.TempPathFactory, scheme: Scheme) -> None:
    model = make_registry(MemoryBackend(), make_world()).model("m")
    work = tmp_path_factory.mktemp("work")
    ids: list[str] = []
    for parents, state in zip(scheme.history, scheme.states, strict=True):
        folder: Folder = {name: File(f"{name} {content}".encode()) for name, content in state.items()}
        ids.append(commit_after(model, work, folder, [ids[parent] for parent in parents]))
    report = model.blame(ids[-1])
    assert {row.path for row in report.rows} == set(scheme.states[-1])
    for row in report.rows:
        assert {ids.index(row.record.id.hex)} == guilty(scheme, row.path)
        assert row.sure
    assert report.looked_at <= len(ids)


@given(scheme=schemes(("large.0", "large.1", "small.0", "small.1")), sharded=st.lists(st.booleans(), min_size=9, max_size=9))
@settings(max_examples=30)
def test_tensors_are_blamed_as_by_looking_at_every_version(
    tmp_path_factory: pytest.TempPathFactory, scheme: Scheme, sharded: list[bool]
) -> None:
    """Whether all tensors are in one file, or each kind in one of its own, makes no difference."""
    model = make_registry(MemoryBackend(), make_world(), chunk_bytes=4 * KIB).model("m")
    work = tmp_path_factory.mktemp("work")
    ids: list[str] = []
    for number, (parents, state) in enumerate(zip(scheme.history, scheme.states, strict=True)):
        tensors = {name: (LARGE if name.startswith("large") else SMALL)[content] for name, content in state.items()}
        folder: dict[str, File | None] = {"n": File(str(number).encode())}
        for kind in ("large", "small") if sharded[number] else ("",):
            inside = {name: values for name, values in tensors.items() if name.startswith(kind)}
            if inside:
                folder[f"{kind or 'all'}.safetensors"] = File(fp32({**inside, PAD: LARGE[0]}))
        ids.append(commit_after(model, work, folder, [ids[parent] for parent in parents]))
    if not scheme.states[-1]:
        with pytest.raises(NotFoundError):
            model.blame(ids[-1], tensors=True)
        return
    report = model.blame(ids[-1], tensors=True)
    assert {row.tensor for row in report.rows} - {PAD} == set(scheme.states[-1])
    for row in report.rows:
        if row.tensor is None or row.tensor == PAD:
            continue
        assert {ids.index(row.record.id.hex)} == guilty(scheme, row.tensor)


@pytest.fixture
def counting() -> CountingBackend:
    return CountingBackend(MemoryBackend("blame"))


@pytest.fixture
def model(counting: CountingBackend, tmp_path: Path) -> Model:
    return make_registry(counting, make_world(tmp_path / "cache")).model("m")


def numbers(report: BlameReport) -> dict[str, int]:
    return {row.tensor or row.path: row.record.number for row in report.rows}


def test_it_stops_when_everything_is_settled_and_reads_no_data_for_it(
    model: Model, counting: CountingBackend, tmp_path: Path
) -> None:
    for number in range(60):
        weights = {"head": LARGE[number % 3], "body": LARGE[0], "late": LARGE[1] + np.float32(number >= 55)}
        folder = {"m.safetensors": File(fp32(weights)), "n": File(str(number).encode())}
        model.commit(write_folder(tmp_path / "w", folder))
    counting.reset()
    report = model.blame("main", tensor="late")
    assert numbers(report) == {"late": 56}
    assert report.looked_at == 5
    assert not [key for _, key in counting.keys if key.startswith("packs/")]
    maps = [key for _, key in counting.keys if key.startswith("maps/")]
    assert len(maps) <= 2 * 6
    assert numbers(model.blame("main:m.safetensors", tensors=True)) == {"head": 60, "body": 1, "late": 56}
    assert numbers(model.blame("main")) == {"m.safetensors": 60, "n": 60}
    assert numbers(model.blame("main", "n")) == {"n": 60}


def test_a_file_that_no_version_after_it_touched_is_found_by_trees_alone(
    model: Model, counting: CountingBackend, tmp_path: Path
) -> None:
    for number in range(20):
        folder = {"old/deep/file": File(b"as it was"), "n": File(str(number).encode())}
        model.commit(write_folder(tmp_path / "w", folder))
    counting.reset()
    assert numbers(model.blame("main", "old")) == {"old/deep/file": 1}
    assert not [key for _, key in counting.keys if key.startswith(("packs/", "maps/"))]
    trees = [key for _, key in counting.keys if key.startswith("trees/")]
    assert len(set(trees)) <= 20 + 2
    assert len(trees) <= 20 + 2 + 3  # those of the last version are listed before


def test_the_same_tensor_in_two_files_is_followed_for_each(model: Model, tmp_path: Path) -> None:
    one = fp32({"w": LARGE[0]})
    other = fp32({"w": LARGE[0], "more": LARGE[1]})
    model.commit(write_folder(tmp_path / "w", {"a.safetensors": File(one)}))
    model.commit(write_folder(tmp_path / "w", {"b.safetensors": File(other), "c.safetensors": File(other)}))
    rows = {(row.path, row.tensor): row.record.number for row in model.blame("main", tensors=True).rows}
    assert rows == {
        ("b.safetensors", "w"): 1, ("c.safetensors", "w"): 1, ("b.safetensors", "more"): 2, ("c.safetensors", "more"): 2,
    }  # fmt: skip


def test_behind_a_retired_version_files_are_told_and_tensors_as_far_as_files_tell(model: Model, tmp_path: Path) -> None:
    for head, note in ((0, "x"), (1, "x"), (1, "y"), (2, "y")):
        weights = {"head": LARGE[head], "body": LARGE[0]}
        model.commit(write_folder(tmp_path / "w", {"m.safetensors": File(fp32(weights)), "note": File(note.encode())}))
    model.retire("v2", "v3")
    rows = {row.tensor: (row.record.number, row.sure) for row in model.blame("main", tensors=True).rows}
    assert rows == {"head": (4, False), "body": (4, False)}
    rows = {row.path: (row.record.number, row.sure) for row in model.blame("main").rows}
    assert rows == {"m.safetensors": (4, True), "note": (3, True)}
    assert [row.record.retired for row in model.blame("main", "note").rows] == [True]


def test_an_executable_bit_is_a_change_and_what_is_not_there_is_not_found(model: Model, tmp_path: Path) -> None:
    data = make_bytes(1, 10)
    model.commit(write_folder(tmp_path / "w", {"run": File(data)}))
    model.commit(write_folder(tmp_path / "w", {"run": File(data, executable=True)}))
    assert numbers(model.blame("main")) == {"run": 2}
    with pytest.raises(NotFoundError, match="no file 'nothing'"):
        model.blame("main:nothing")
    with pytest.raises(NotFoundError, match="no tensors"):
        model.blame("main", tensors=True)
    with pytest.raises(NotFoundError, match="no tensor 'w'"):
        model.blame("main", tensor="w")
