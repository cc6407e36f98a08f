"""Tensors beside the model that describes them, and one tensor in every container, through commit and back."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import blake3
import numpy as np
import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.formats import read_index
from cas_registry.operations import external_tensors
from cas_registry.operations.init import create_registry
from cas_registry.operations.version_files import list_files, locate_files
from cas_registry.registry import Model, Registry, registry_over
from cas_registry.settings import Settings
from tests.formats.files import FILES
from tests.formats.test_onnx import entry, external, model, number, part

SAME = {path.removeprefix("same/"): data for path, data in FILES.items() if path.startswith("same/")}
WEIGHTS = np.random.default_rng(1).standard_normal((32, 32)).astype(np.float32)


@pytest.fixture
def registry() -> Registry:
    backend = MemoryBackend()
    create_registry(backend, time_ms=1, who="ada")
    return registry_over(backend, Settings(author="ada", cache_folder=None, clock_ns=lambda: 10**18))


def commit(model: Model, folder: Path, files: Mapping[str, bytes]) -> int:
    """Returns the bytes of the packs written."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return model.commit(folder).stored_bytes


def chunks(model: Model) -> dict[str, list[bytes]]:
    version = model.resolve("main")
    files = list_files(model._stores.objects, version.tree)[0]
    located = locate_files(model._stores.objects, version.map, files)
    return {path: [item.placement.chunk.digest for item in row] for path, row in located.items()}


def tensor(name: bytes, location: bytes, offset: int, floats: int) -> bytes:
    parts = (number(1, floats), number(2, 1), part(8, name), entry(b"location", location), entry(b"offset", b"%d" % offset))
    return part(5, b"".join(parts) + number(14, 1))


def test_external_data_is_listed_and_read_under_the_path_of_its_file(registry: Registry, tmp_path: Path) -> None:
    opened = registry.model("m")
    commit(opened, tmp_path / "in", {"onnx/w.onnx": SAME["w.onnx"], "onnx/w.onnx.data": SAME["w.onnx.data"]})
    assert [(info.path, info.name, info.dtype, info.shape) for info in opened.tensors("main")] == [
        ("onnx/w.onnx.data", "w", "F32", (32, 32))
    ]
    np.testing.assert_array_equal(opened.tensor("main", "w"), WEIGHTS)
    np.testing.assert_array_equal(opened.tensor("main", "w", "onnx/w.onnx.data"), WEIGHTS)


@pytest.mark.parametrize("name", ["w.safetensors", "w.npy", "w.gguf", "w.h5", "inline.onnx", "w.onnx.data"])
def test_one_tensor_is_one_chunk_in_every_container(registry: Registry, tmp_path: Path, name: str) -> None:
    opened = registry.model("m")
    commit(opened, tmp_path / "in", {"first.safetensors": SAME["w.safetensors"]})
    files = {name: SAME[name]} | ({"w.onnx": SAME["w.onnx"]} if name == "w.onnx.data" else {})
    assert commit(opened, tmp_path / "in", files) < 600, "headers, rows and recipes"
    assert blake3.blake3(WEIGHTS.tobytes()).digest() in chunks(opened)[name]
    (info,) = opened.tensors("main", name)
    np.testing.assert_array_equal(opened.tensor("main", info.name), WEIGHTS)
    assert opened.read_bytes("main", name) == SAME[name]


def test_data_may_lie_in_folders_below_the_model(registry: Registry, tmp_path: Path) -> None:
    opened = registry.model("m")
    described = model(tensor(b"a", b"./data/one", 0, 300), tensor(b"b", b"data/deep/two", 1200, 300))
    commit(opened, tmp_path / "in", {"m.onnx": described, "data/one": bytes(1200), "data/deep/two": bytes(2400)})
    assert {(info.path, info.name) for info in opened.tensors("main")} == {("data/one", "a"), ("data/deep/two", "b")}


def test_a_model_that_names_files_elsewhere_or_too_small_ones_is_not_believed(registry: Registry, tmp_path: Path) -> None:
    opened = registry.model("m")
    hostile = model(
        tensor(b"a", b"../one", 0, 300), tensor(b"b", b"/one", 0, 300), tensor(b"c", b"two", 0, 600), external(name=b"d")
    )
    commit(opened, tmp_path / "in", {"x/m.onnx": hostile, "one": bytes(1200), "x/one": bytes(1200), "x/two": bytes(2399)})
    assert opened.tensors("main") == []
    assert opened.read_bytes("main", "x/two") == bytes(2399)


def test_a_model_is_read_once_however_many_files_it_describes(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []

    def counted(source):
        reads.append(source.size_bytes)
        return read_index(source)

    monkeypatch.setattr(external_tensors, "read_index", counted)
    described = model(*(tensor(b"t%d" % count, b"d/%d" % count, 0, 300) for count in range(20)))
    files = {f"d/{count}": bytes([count]) * 1200 for count in range(20)}
    opened = registry.model("m")
    commit(opened, tmp_path / "in", {"m.onnx": described, **files})
    assert len(opened.tensors("main")) == 20
    assert reads == [len(described)]
