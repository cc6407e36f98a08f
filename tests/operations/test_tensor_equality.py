"""Whether two tensors are the same, by maps where they tell, by bytes where they do not."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.operations.tensor_equality import same_by_maps, same_tensor
from cas_registry.operations.tensors import StoredTensor, stored_tensors
from cas_registry.registry import Model
from tests.operations.test_deltas import fp32
from tests.support.folders import KIB, File, write_folder
from tests.support.simulated import make_registry, make_world

LARGE = np.random.default_rng(1).standard_normal(64 * KIB).astype(np.float32)
SMALL = np.random.default_rng(2).standard_normal(8).astype(np.float32)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return make_registry(MemoryBackend("equality"), make_world(tmp_path / "cache"), chunk_bytes=4 * KIB).model("m")


def stored(model: Model, folder: Path, tensors: Mapping[str, np.ndarray]) -> dict[str, StoredTensor]:
    """A file below some KiB has no index: a large tensor goes with them."""
    model.commit(write_folder(folder, {"m.safetensors": File(fp32({**tensors, "large": LARGE}))}))
    return {found.tensor.name: found for found in stored_tensors(model._stores, model.resolve("main"))}


def test_large_tensors_are_told_by_maps(model: Model, tmp_path: Path) -> None:
    left = stored(model, tmp_path / "w", {"a": LARGE, "b": LARGE + 1})
    right = stored(model, tmp_path / "w", {"b": LARGE + 1, "a": LARGE + 2, "c": LARGE.reshape(2, -1)})
    assert same_by_maps(left["b"], right["b"]) is True
    assert same_by_maps(left["a"], right["a"]) is False
    assert same_by_maps(left["a"], right["c"]) is False  # another shape
    assert not same_tensor(model._stores, left["a"], right["a"])


def test_a_small_tensor_beside_one_that_changed_is_told_by_its_bytes(model: Model, tmp_path: Path) -> None:
    left = stored(model, tmp_path / "w", {"a": SMALL, "b": SMALL + 1, "c": SMALL})
    right = stored(model, tmp_path / "w", {"a": SMALL, "b": SMALL + 2, "c": SMALL})
    for name, same in (("a", True), ("b", False), ("c", True)):
        assert same_by_maps(left[name], right[name]) is None
        assert same_tensor(model._stores, left[name], right[name]) is same


def test_empty_tensors_are_the_same(model: Model, tmp_path: Path) -> None:
    left = stored(model, tmp_path / "w", {"a": SMALL[:0], "b": SMALL})
    right = stored(model, tmp_path / "w", {"a": SMALL[:0], "b": SMALL + 1})
    assert same_by_maps(left["a"], right["a"]) is True
