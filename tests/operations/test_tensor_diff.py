"""What a diff says of tensors: from maps alone which changed and how, and from their chunks how far."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.wrappers import CountingBackend
from cas_registry.operations.tensor_diff import TensorChange, TensorDiff, layer_of
from cas_registry.registry import Model
from tests.operations.test_deltas import fp32, safetensors, to_bf16
from tests.support.simulated import make_registry, make_world

Weights = Mapping[str, np.ndarray]


@pytest.fixture
def counting() -> CountingBackend:
    return CountingBackend(MemoryBackend("tensor-diff"))


@pytest.fixture
def model(counting: CountingBackend, tmp_path: Path) -> Model:
    return make_registry(counting, make_world(tmp_path / "cache")).model("m")


@pytest.fixture
def weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    return {f"encoder.layer.{n}.weight": rng.standard_normal((64, 32)).astype(np.float32) for n in range(4)}


def commit(model: Model, folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    model.commit(folder)


def compare(model: Model, folder: Path, old: bytes, new: bytes, *, values: bool = False) -> TensorDiff:
    commit(model, folder, {"model.safetensors": old})
    commit(model, folder, {"model.safetensors": new})
    return model.diff("main~1", "main", values=values).tensors


def test_every_kind_of_change_is_told_without_a_byte_of_data(
    model: Model, counting: CountingBackend, tmp_path: Path, weights: dict[str, np.ndarray]
) -> None:
    first, second, third, fourth = weights
    new = {
        "fresh": ("F32", np.ones((64, 8), dtype=np.float32)),
        first: ("F32", weights[first] + 1),
        "renamed": ("F32", weights[second]),
        third: ("BF16", to_bf16(weights[third])),
        fourth: ("F32", weights[fourth].reshape(32, 64)),
    }
    old = {**weights, "gone": np.zeros((7, 100), dtype=np.float32)}
    commit(model, tmp_path / "in", {"model.safetensors": fp32(old)})
    commit(model, tmp_path / "in", {"model.safetensors": safetensors(new)})
    counting.reset()
    diff = model.diff("main~1", "main").tensors
    assert not [key for _, key in counting.keys if key.startswith("packs/")]
    assert {(delta.change, delta.name) for delta in diff.tensors} == {
        (TensorChange.ADDED, "fresh"), (TensorChange.CHANGED, first), (TensorChange.RENAMED, "renamed"),
        (TensorChange.RETYPED, third), (TensorChange.RESHAPED, fourth), (TensorChange.REMOVED, "gone"),
    }  # fmt: skip
    found = {delta.name: delta for delta in diff.tensors}
    assert found["renamed"].old_name == second
    assert (found[third].old_dtype, found[third].dtype) == ("F32", "BF16")
    assert (found[fourth].old_shape, found[fourth].shape, found[fourth].moved_bytes) == ((64, 32), (32, 64), 0)
    assert found[first].moved_bytes == found[first].size_bytes == weights[first].nbytes
    assert all(delta.movement is None for delta in diff.tensors)
    assert diff.unchanged == 0


def test_a_small_tensor_at_the_start_of_a_chunk_is_unchanged_where_only_the_next_one_in_it_changed(
    model: Model, tmp_path: Path, weights: dict[str, np.ndarray]
) -> None:
    large = np.zeros(300_000, dtype=np.float32)  # what follows it begins a chunk
    first, second, *_ = weights
    old = {"large": large, first: weights[first][0], second: weights[second][0]}
    new = {**old, second: weights[second][1]}
    diff = compare(model, tmp_path / "in", fp32(old), fp32(new))
    assert [(delta.name, delta.change) for delta in diff.tensors] == [(second, TensorChange.CHANGED)]
    assert diff.unchanged == 2


def test_an_unchanged_tensor_is_no_row_and_is_counted(model: Model, tmp_path: Path, weights: dict[str, np.ndarray]) -> None:
    first = next(iter(weights))
    diff = compare(model, tmp_path / "in", fp32(weights), fp32({**weights, first: weights[first] * 2}))
    assert [delta.name for delta in diff.tensors] == [first]
    assert (diff.unchanged, diff.unchanged_bytes) == (3, 3 * weights[first].nbytes)


def test_the_widest_movers_come_first_and_layers_add_up(model: Model, tmp_path: Path, weights: dict[str, np.ndarray]) -> None:
    steps = dict(zip(weights, (0.5, 2.0, 0.0, 1.0), strict=True))
    moved = {name: values + np.float32(steps[name]) for name, values in weights.items()}
    diff = compare(model, tmp_path / "in", fp32(weights), fp32(moved), values=True)
    names = list(weights)
    assert [delta.name for delta in diff.tensors] == [names[1], names[3], names[0]]
    assert [layer.layer for layer in diff.layers] == ["encoder.layer.1", "encoder.layer.3", "encoder.layer.0"]
    for delta in diff.tensors:
        change = moved[delta.name].astype(np.float64) - weights[delta.name]
        assert delta.movement is not None
        assert delta.movement.l2 == pytest.approx(float(np.linalg.norm(change)))
        assert diff.layers[diff.tensors.index(delta)].l2 == pytest.approx(delta.movement.l2)
        assert delta.movement.max_abs == pytest.approx(float(np.abs(change).max()))
        flat, before = moved[delta.name].ravel().astype(np.float64), weights[delta.name].ravel().astype(np.float64)
        assert delta.movement.cosine == pytest.approx(flat @ before / np.linalg.norm(flat) / np.linalg.norm(before))
        assert delta.movement.changed_fraction == 1.0


def test_what_is_not_finite_counts_as_changed_and_spoils_no_figure(
    model: Model, tmp_path: Path, weights: dict[str, np.ndarray]
) -> None:
    first = next(iter(weights))
    moved = weights[first].copy()
    moved[0, 0], moved[0, 1], moved[0, 2] = np.nan, np.inf, moved[0, 2] + 3
    diff = compare(model, tmp_path / "in", fp32(weights), fp32({**weights, first: moved}), values=True)
    (delta,) = diff.tensors
    assert delta.movement is not None
    assert delta.movement.changed_fraction == pytest.approx(3 / moved.size)
    assert (delta.movement.max_abs, delta.movement.l2) == (pytest.approx(3, rel=1e-6), pytest.approx(3, rel=1e-6))


def test_of_all_zeros_there_is_no_cosine(model: Model, tmp_path: Path) -> None:
    zeros = np.zeros((64, 64), dtype=np.float32)
    (delta,) = compare(model, tmp_path / "in", fp32({"w": zeros}), fp32({"w": zeros + 1}), values=True).tensors
    assert delta.movement is not None
    assert delta.movement.cosine is None


def test_a_cast_is_measured_in_values_not_bits(model: Model, tmp_path: Path, weights: dict[str, np.ndarray]) -> None:
    first = next(iter(weights))
    cast = safetensors({first: ("BF16", to_bf16(weights[first]))})
    (delta,) = compare(model, tmp_path / "in", fp32({first: weights[first]}), cast, values=True).tensors
    assert delta.change is TensorChange.RETYPED
    assert delta.movement is not None
    assert 0 < delta.movement.max_abs < 0.02
    assert delta.movement.cosine == pytest.approx(1, abs=1e-4)


def test_tensors_that_moved_to_another_file_are_unchanged(model: Model, tmp_path: Path, weights: dict[str, np.ndarray]) -> None:
    names = list(weights)
    commit(model, tmp_path / "in", {"model.safetensors": fp32(weights)})
    shards = {f"model-{n}.safetensors": fp32({name: weights[name] for name in names[n::2]}) for n in range(2)}
    commit(model, tmp_path / "in", shards)
    diff = model.diff("main~1", "main").tensors
    assert (diff.tensors, diff.unchanged) == ((), 4)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("encoder.layer.3.attention.weight", "encoder.layer.3"), ("embeddings.word", "embeddings"), ("bias", "bias"),
        ("model.layers.11.mlp.0.up", "model.layers.11"), ("0.weight", "0"), ("a.7", "a"),
    ],
)  # fmt: skip
def test_layers_are_named_by_their_first_number(name: str, layer: str) -> None:
    assert layer_of(name) == layer
