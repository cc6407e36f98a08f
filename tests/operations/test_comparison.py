"""Versions side by side: every section, what is the same, what differs, and what cannot be told."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.wrappers import CountingBackend
from cas_registry.errors import InvalidInputError
from cas_registry.model.entry import Operation
from cas_registry.model.inputs import Input
from cas_registry.model.note import Note
from cas_registry.registry import ComparedRow, Comparison, FileValue, Registry, Section, TensorValue
from tests.operations.test_deltas import fp32
from tests.support.folders import KIB, File, write_folder
from tests.support.histories import commit_after
from tests.support.simulated import make_registry, make_world

_RNG = np.random.default_rng(5)
LARGE = _RNG.standard_normal(4 * KIB).astype(np.float32)
SMALL = _RNG.standard_normal(6).astype(np.float32)


@pytest.fixture
def counting() -> CountingBackend:
    return CountingBackend(MemoryBackend("comparison"))


@pytest.fixture
def registry(counting: CountingBackend, tmp_path: Path) -> Registry:
    return make_registry(counting, make_world(tmp_path / "cache"))


def rows(comparison: Comparison, section: Section) -> dict[str, ComparedRow]:
    (part,) = [part for part in comparison.parts if part.section is section]
    return {row.name: row for row in part.rows}


def test_what_commits_say_stands_side_by_side(registry: Registry, tmp_path: Path) -> None:
    model = registry.model("m")
    base = commit_after(registry.model("base"), tmp_path / "w", {"f": File(b"x")}, [])
    train = Input("train", uri="s3://data/a", digest="etag:1")
    common = {"framework": {"torch": "2.9"}, "code": {"git.commit": "abc"}}
    one = commit_after(
        model, tmp_path / "w", {"f": File(b"1")}, [], metrics={"auc": 0.9, "loss": 1}, params={"lr": 0.1, "deep": True},
        labels={"team": "fraud"}, packages={"numpy": "2.0"}, environment={"python": "3.12"}, inputs=(train,), **common,
    )  # fmt: skip
    two = commit_after(
        model, tmp_path / "w", {"f": File(b"1")}, [one], metrics={"auc": 0.92, "f1": 0.5}, params={"lr": 0.1, "deep": 1},
        labels={"team": None}, packages={"numpy": "2.1"}, environment={"python": "3.12"},
        inputs=(train, Input("base", model="base", commit=model.resolve(f"base@{base}").commit)), **common,
    )  # fmt: skip
    found = model.compare(one, two, one)
    assert [version.commit.hex for version in found.versions] == [one, two, one]
    assert [part.section for part in found.parts] == list(Section)
    metrics = rows(found, Section.METRICS)
    assert {name: (row.values, row.same) for name, row in metrics.items()} == {
        "auc": ((0.9, 0.92, 0.9), False), "f1": ((None, 0.5, None), False), "loss": ((1, None, 1), False),
    }  # fmt: skip
    params = rows(found, Section.PARAMS)
    assert (params["lr"].same, params["deep"].same) == (True, False)  # true is not 1
    assert rows(found, Section.LABELS)["team"].same is False  # nothing is not absence
    assert rows(found, Section.PACKAGES)["numpy"].values == ("2.0", "2.1", "2.0")
    assert rows(found, Section.ENVIRONMENT)["python"].same
    assert rows(found, Section.CODE)["git.commit"].same
    assert rows(found, Section.FRAMEWORK)["torch"].same
    inputs = rows(found, Section.INPUTS)
    assert inputs["train"].values == ("s3://data/a (etag:1)",) * 3
    assert inputs["base"].values == (None, f"base@{base}", None)
    assert rows(found, Section.FILES)["f"].same


def test_inputs_of_one_name_are_told_apart_by_number(registry: Registry, tmp_path: Path) -> None:
    model = registry.model("m")
    shards = tuple(Input("train", uri=f"s3://data/{number}") for number in range(2))
    one = commit_after(model, tmp_path / "w", {"f": File(b"1")}, [], inputs=shards)
    two = commit_after(model, tmp_path / "w", {"f": File(b"1")}, [one], inputs=shards)
    found = rows(model.compare(one, two), Section.INPUTS)
    assert {name: row.values[0] for name, row in found.items()} == {"train 1": "s3://data/0", "train 2": "s3://data/1"}


def test_files_and_tensors_are_told_by_trees_and_maps(registry: Registry, counting: CountingBackend, tmp_path: Path) -> None:
    model = registry.model("m")
    first = {"kept": LARGE, "moved": LARGE + 1, "gone": LARGE + 2, "small": SMALL, "tiny": SMALL}
    second = {"kept": LARGE, "moved": LARGE + 3, "shaped": LARGE.reshape(2, -1), "small": SMALL, "tiny": SMALL + 1}
    model.commit(write_folder(tmp_path / "w", {"m.safetensors": File(fp32(first)), "same": File(b"s"), "run": File(b"r")}))
    files = {"m.safetensors": File(fp32(second)), "same": File(b"s"), "run": File(b"r", executable=True)}
    model.commit(write_folder(tmp_path / "w", files))
    registry.model("other").commit(write_folder(tmp_path / "w", {"big.safetensors": File(fp32(second))}))
    counting.reset()
    found = registry.compare("m@v1", "m@v2", "other@main", "m@v2")
    assert not [key for _, key in counting.keys if key.startswith("packs/")]
    paths = rows(found, Section.FILES)
    assert {path: row.same for path, row in paths.items()} == {
        "big.safetensors": False, "m.safetensors": False, "run": False, "same": False,
    }  # fmt: skip
    run = paths["run"].values
    assert isinstance(run[0], FileValue)
    assert isinstance(run[1], FileValue)
    assert (run[0].id == run[1].id, run[0].executable, run[1].executable, run[2]) == (True, False, True, None)
    tensors = rows(found, Section.TENSORS)
    contents = {
        name: [value.content if isinstance(value, TensorValue) else "-" for value in row.values]
        for name, row in tensors.items()
    }
    assert contents == {
        "kept": [0, 0, 0, 0],
        "moved": [0, 1, 1, 1],
        "gone": [0, "-", "-", "-"],
        "shaped": ["-", 1, 1, 1],
        "small": [0, None, None, None],  # in one chunk with the one that changed
        "tiny": [0, None, None, None],
    }
    assert {name: row.same for name, row in tensors.items()} == {
        "kept": True, "moved": False, "gone": False, "shaped": False, "small": None, "tiny": None,
    }  # fmt: skip
    (part,) = [part for part in found.parts if part.section is Section.TENSORS]
    assert [row.name for row in part.differences] == ["gone", "moved", "shaped", "small", "tiny"]


def test_a_name_in_several_files_is_told_with_its_file(registry: Registry, tmp_path: Path) -> None:
    model = registry.model("m")
    data = File(fp32({"w": LARGE}))
    model.commit(write_folder(tmp_path / "w", {"a.safetensors": data, "b.safetensors": data}))
    model.commit(write_folder(tmp_path / "w", {"a.safetensors": data}))
    found = rows(model.compare("v1", "v2"), Section.TENSORS)
    assert {name: row.same for name, row in found.items()} == {"a.safetensors:w": True, "b.safetensors:w": False}


def test_only_what_is_asked_for_is_read(registry: Registry, counting: CountingBackend, tmp_path: Path) -> None:
    model = registry.model("m")
    for number in (1, 2):
        model.commit(write_folder(tmp_path / "w", {"f": File(str(number).encode())}), metrics={"auc": number})
    counting.reset()
    found = model.compare("v1", "v2", only=["params", "metrics"])
    assert [part.section for part in found.parts] == [Section.METRICS, Section.PARAMS]
    assert not [key for _, key in counting.keys if key.startswith(("maps/", "trees/", "packs/"))]


def test_a_call_that_cannot_work_is_refused(registry: Registry, tmp_path: Path) -> None:
    model = registry.model("m")
    model.commit(write_folder(tmp_path / "w", {"f": File(b"1")}))
    with pytest.raises(InvalidInputError, match="two or more"):
        model.compare("main")
    with pytest.raises(InvalidInputError, match="no section 'colour'; there are: metrics, params"):
        model.compare("main", "main", only=["colour"])
    with pytest.raises(InvalidInputError, match="MODEL@main"):
        registry.compare("m@main", "main")


def note(registry: Registry, model: str, **said: Any) -> None:
    """A note in a model's log."""
    refs = registry._stores.refs(model)
    head, table = refs.existing_head()
    entry = refs.next_entry(head, table, registry=registry.id, time_ms=0, who="ana", why="")
    assert refs.log.append(replace(entry, op=Operation.NOTE, note=Note(**said), notes=entry.notes + 1))


def test_labels_and_metrics_are_told_as_notes_amend_them(registry: Registry, tmp_path: Path) -> None:
    model = registry.model("m")
    one = commit_after(
        model, tmp_path / "w", {"f": File(b"1")}, [], metrics={"auc": 0.9, "loss": 1}, labels={"team": "a", "gone": True}
    )
    two = commit_after(model, tmp_path / "w", {"f": File(b"2")}, [one], metrics={"auc": 0.9})
    assert rows(model.compare(one, two), Section.METRICS)["auc"].same
    commit = model.resolve(one).commit
    note(registry, "m", commit=commit, metrics={"auc": 0.95, "fresh": 1}, labels={"gone": None})
    note(registry, "m", commit=commit, metrics={"auc": 0.96}, labels={"team": "b"})
    found = model.compare(one, two)
    assert {name: row.values for name, row in rows(found, Section.METRICS).items()} == {
        "auc": (0.96, 0.9), "fresh": (1, None), "loss": (1, None),
    }  # fmt: skip
    assert {name: row.values for name, row in rows(found, Section.LABELS).items()} == {"team": ("b", None)}
