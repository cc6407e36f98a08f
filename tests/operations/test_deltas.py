"""Tensors through commit, checkout and diff: shared whatever file they are in, stored as differences where that pays."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import InvalidInputError, NotFoundError
from cas_registry.model.maps import Located
from cas_registry.model.placement import Codec
from cas_registry.operations.init import create_registry
from cas_registry.operations.version_files import list_files, locate_files
from cas_registry.registry import Model, Registry, TensorChange, registry_over
from cas_registry.settings import Settings
from cas_registry.store.layout import object_key

WIDTHS = {"F32": 4, "BF16": 2, "F16": 2}


def safetensors(tensors: Mapping[str, tuple[str, np.ndarray]]) -> bytes:
    header: dict[str, object] = {}
    parts: list[bytes] = []
    position = 0
    for name, (dtype, values) in tensors.items():
        parts.append(values.tobytes())
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [position, position + values.nbytes]}
        position += values.nbytes
    text = json.dumps(header).encode()
    return b"".join((len(text).to_bytes(8, "little"), text, *parts))


def to_bf16(values: np.ndarray) -> np.ndarray:
    bits = values.view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


@pytest.fixture
def registry() -> Registry:
    backend = MemoryBackend()
    create_registry(backend, time_ms=1, who="ada")
    return registry_over(backend, Settings(author="ada", cache_folder=None, clock_ns=lambda: 10**18))


@pytest.fixture
def weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    shapes = {"embed": (1500, 300), "layer.0.dense": (300, 400), "layer.1.dense": (300, 400), "layer.1.bias": (400,)}
    return {name: (rng.standard_normal(shape) * 0.05).astype(np.float32) for name, shape in shapes.items()}


def trained(weights: Mapping[str, np.ndarray], seed: int = 2) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: values + (rng.standard_normal(values.shape) * 1e-5).astype(np.float32) for name, values in weights.items()}


def fp32(weights: Mapping[str, np.ndarray]) -> bytes:
    return safetensors({name: ("F32", values) for name, values in weights.items()})


def commit(model: Model, folder: Path, files: Mapping[str, bytes], **options: object) -> int:
    """Returns the bytes of the packs written."""
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return model.commit(folder, **options).stored_bytes  # type: ignore[arg-type]


def rows(model: Model, revision: str = "main") -> list[Located]:
    version = model.resolve(revision)
    files = list_files(model._stores.objects, version.tree)[0]
    return [item for row in locate_files(model._stores.objects, version.map, files).values() for item in row]


def test_changed_weights_are_deltas_of_depth_one_and_come_back(
    registry: Registry, tmp_path: Path, weights: dict[str, np.ndarray]
) -> None:
    model = registry.model("m")
    versions = [weights]
    for seed in range(4):
        versions.append(trained(versions[-1], seed))
    stored = [commit(model, tmp_path / "in", {"model.safetensors": fp32(version)}) for version in versions]
    assert all(later < stored[0] * 0.8 for later in stored[1:])
    found = rows(model)
    assert sum(item.placement.codec is Codec.DELTA for item in found) >= 4
    for item in found:
        assert (item.base is None) == (item.placement.codec is not Codec.DELTA)
        assert item.base is None or item.base.base is None
    for number, version in enumerate(reversed(versions)):
        assert model.read_bytes(f"main~{number}", "model.safetensors") == fp32(version)
    assert registry.fsck(read_data=True).exit_code == 0


def test_a_delta_that_costs_more_than_the_average_gives_way_to_a_new_base(
    registry: Registry, tmp_path: Path, weights: dict[str, np.ndarray]
) -> None:
    model = registry.model("m")
    ages: list[int] = []
    jumped = {
        name: np.random.default_rng(7).standard_normal(values.shape).astype(np.float32) for name, values in weights.items()
    }
    for version in (weights, *(trained(weights, seed) for seed in range(3)), jumped, trained(jumped)):
        commit(model, tmp_path / "in", {"model.safetensors": fp32(version)})
        ages.append(max(item.age for item in rows(model)))
        for item in rows(model):
            if item.base:
                before = item.spent - item.placement.stored_bytes
                assert item.placement.stored_bytes * item.age <= before
    assert ages == [0, 1, 2, 3, 0, 1]


def test_the_same_tensors_in_other_files_order_and_containers_are_the_same_chunks(
    registry: Registry, tmp_path: Path, weights: dict[str, np.ndarray]
) -> None:
    model = registry.model("m")
    commit(model, tmp_path / "in", {"model.safetensors": fp32(weights)})
    names = list(weights)
    shards = {
        "b.safetensors": fp32({name: weights[name] for name in reversed(names[:2])}),
        "a.safetensors": fp32({name: weights[name] for name in names[2:]}),
    }
    for name in names:
        np.save(tmp_path / f"{name}.npy", weights[name])
        shards[f"{name}.npy"] = (tmp_path / f"{name}.npy").read_bytes()
    new = commit(model, tmp_path / "in", shards)
    assert new < 4_000, "headers, rows and recipes"
    assert model.read_bytes("main", "b.safetensors") == shards["b.safetensors"]


def test_rows_appended_cost_little_more_than_themselves(
    registry: Registry, tmp_path: Path, weights: dict[str, np.ndarray]
) -> None:
    model = registry.model("m")
    commit(model, tmp_path / "in", {"model.safetensors": fp32(weights)})
    more = np.random.default_rng(9).standard_normal((10, 300)).astype(np.float32)
    grown = {**weights, "embed": np.concatenate([weights["embed"], more])}
    assert commit(model, tmp_path / "in", {"model.safetensors": fp32(grown)}) < more.nbytes + 6_000
    (delta,) = model.diff("main~1", "main").tensors.tensors
    assert (delta.change, delta.old_shape, delta.shape) == (TensorChange.RESHAPED, (1500, 300), (1510, 300))


@pytest.mark.parametrize("dtype", ["BF16", "F16"])
def test_a_half_precision_export_of_a_stored_model_costs_next_to_nothing(
    registry: Registry, tmp_path: Path, weights: dict[str, np.ndarray], dtype: str
) -> None:
    model = registry.model("m")
    commit(model, tmp_path / "in", {"model.safetensors": fp32(weights)})
    convert = to_bf16 if dtype == "BF16" else lambda values: values.astype(np.float16)
    export = safetensors({name: (dtype, convert(values)) for name, values in weights.items()})
    assert commit(model, tmp_path / "in", {"model.safetensors": export}) < len(export) / 100
    assert model.read_bytes("main", "model.safetensors") == export
    assert {delta.change for delta in model.diff("main~1", "main").tensors.tensors} == {TensorChange.RETYPED}


def test_delta_never_makes_none_and_another_word_is_refused(
    registry: Registry, tmp_path: Path, weights: dict[str, np.ndarray]
) -> None:
    model = registry.model("m")
    commit(model, tmp_path / "in", {"model.safetensors": fp32(weights)})
    commit(model, tmp_path / "in", {"model.safetensors": fp32(trained(weights))}, delta="never")
    assert not any(item.base for item in rows(model))
    with pytest.raises(InvalidInputError, match="auto, never, always"):
        commit(model, tmp_path / "in", {"x": b"x"}, delta="often")


def test_the_base_of_another_model_is_found_when_it_is_named(
    registry: Registry, tmp_path: Path, weights: dict[str, np.ndarray]
) -> None:
    commit(registry.model("base"), tmp_path / "in", {"model.safetensors": fp32(weights)})
    tuned = fp32({f"model.{name}": values for name, values in trained(weights).items()})
    commit(registry.model("tuned"), tmp_path / "in", {"tuned.safetensors": tuned}, base="base@main")
    assert any(item.base for item in rows(registry.model("tuned"))), "names with a prefix are matched by shape"
    assert registry.model("tuned").read_bytes("main", "tuned.safetensors") == tuned


def test_a_lost_base_is_no_reason_to_refuse_a_commit_and_is_named_by_a_check(
    registry: Registry, tmp_path: Path, weights: dict[str, np.ndarray]
) -> None:
    model = registry.model("m")
    commit(model, tmp_path / "in", {"model.safetensors": fp32(weights)})
    base_pack = object_key(rows(model)[0].pack.name)
    commit(model, tmp_path / "in", {"model.safetensors": fp32(trained(weights))})
    assert any(item.base and object_key(item.base.pack.name) == base_pack for item in rows(model))
    model._stores.backend.delete(base_pack)
    third = fp32({**trained(trained(weights), 3), "more": weights["layer.1.bias"] + 1})  # with another header
    commit(model, tmp_path / "in", {"model.safetensors": third})
    assert model.read_bytes("main", "model.safetensors") == third
    report = registry.fsck(read_data=True)
    assert report.exit_code == 5
    assert any(finding.key == base_pack and len(finding.versions) == 2 for finding in report.findings)


def test_tensors_are_listed_and_read_by_name(registry: Registry, tmp_path: Path, weights: dict[str, np.ndarray]) -> None:
    model = registry.model("m")
    commit(model, tmp_path / "in", {"model.safetensors": fp32(weights)})
    second = trained(weights)
    commit(
        model,
        tmp_path / "in",
        {"model.safetensors": fp32(second), "half.safetensors": safetensors({"h": ("BF16", to_bf16(second["embed"]))})},
    )
    assert {(info.name, info.dtype, info.shape) for info in model.tensors("main:model.safetensors")} == {
        (name, "F32", values.shape) for name, values in second.items()
    }
    for name, values in second.items():
        found = model.tensor("main", name)
        assert found.dtype == np.float32
        assert np.array_equal(found, values)
    assert str(model.tensor("main", "h").dtype) == "bfloat16"
    with pytest.raises(NotFoundError, match="no tensor 'x'"):
        model.tensor("main", "x")


def test_a_diff_measures_how_far_values_moved(registry: Registry, tmp_path: Path, weights: dict[str, np.ndarray]) -> None:
    model = registry.model("m")
    commit(model, tmp_path / "in", {"model.safetensors": fp32(weights)})
    second = {**weights, "layer.1.dense": weights["layer.1.dense"] + np.float32(0.01)}
    second["renamed"] = second.pop("layer.0.dense")
    commit(model, tmp_path / "in", {"model.safetensors": fp32(second)})
    diff = model.diff("main~1", "main", values=True).tensors
    by_name = {delta.name: delta for delta in diff.tensors}
    assert (by_name["renamed"].change, by_name["renamed"].old_name) == (TensorChange.RENAMED, "layer.0.dense")
    moved = by_name["layer.1.dense"]
    change = second["layer.1.dense"].astype(np.float64) - weights["layer.1.dense"]
    assert moved.movement is not None
    assert moved.movement.l2 == pytest.approx(float(np.linalg.norm(change)))
    assert moved.movement.max_abs == pytest.approx(float(np.abs(change).max()))
    assert moved.movement.changed_fraction > 0.99
    assert 0 < (moved.movement.cosine or 0) < 1
    assert (diff.unchanged, diff.layers[0].layer) == (2, "layer.1")
