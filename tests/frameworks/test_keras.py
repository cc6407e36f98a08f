"""Models of Keras 3, on whatever backend is there."""

import importlib.util
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

if "KERAS_BACKEND" not in os.environ:
    found = [name for name in ("torch", "jax", "tensorflow") if importlib.util.find_spec(name)]
    os.environ["KERAS_BACKEND"] = found[0] if found else "numpy"

import cas_registry as reg
from cas_registry.errors import InvalidInputError, UnsafeFileError
from cas_registry.model.schema import Column
from tests.frameworks.round_trip import Case, check

pytestmark = pytest.mark.filterwarnings("default")
FEATURES = np.linspace(-1, 1, 64 * 8, dtype=np.float32).reshape(64, 8)


def _trained(seed: int):
    """A body that is frozen and a head that is trained."""
    import keras

    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    body = [
        keras.layers.Dense(256, activation="relu", trainable=False),
        keras.layers.Dense(256, activation="relu", trainable=False),
    ]
    model = keras.Sequential([keras.Input((8,), name="features"), *body, keras.layers.Dense(1, name="score")])
    model.compile(keras.optimizers.Adam(0.01), loss="mse")
    keras.utils.set_random_seed(seed)
    model.fit(FEATURES, np.random.default_rng(seed).normal(size=(64, 1)), verbose=0, epochs=2)
    return model


CASES = tuple(
    Case(
        f"Keras on {name}, head trained", ("keras", backend), _trained, lambda found: found.predict(FEATURES, verbose=0), "keras", "keras",
        environment={"KERAS_BACKEND": backend},
    )
    for name, backend in (("PyTorch", "torch"), ("JAX", "jax"), ("TensorFlow", "tensorflow"))
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


@pytest.fixture
def model(tmp_path: Path):
    pytest.importorskip("keras")
    return reg.init(tmp_path / "registry").model("net")


def test_the_backend_is_told_with_its_version(model) -> None:
    import keras

    model.save(_trained(0))
    (stored,) = model.manifest().objects.values()
    assert set(stored.versions) == {"keras", keras.backend.backend()}


def test_signature_and_parameters_are_told(model) -> None:
    model.save(_trained(0))
    commit = model.show("main").commit
    assert commit.schema is not None
    assert commit.schema.inputs == (Column("features", "float32", (None, 8)),)
    assert commit.schema.outputs[0].shape == (None, 1)
    assert commit.params["loss"] == "mse"
    assert commit.params["optimizer.name"] == "adam"
    assert commit.params["parameters"] == 8 * 256 + 256 + 256 * 256 + 256 + 257


def test_code_in_a_configuration_counts_as_a_pickle(model) -> None:
    import keras

    net = keras.Sequential([keras.Input((8,)), keras.layers.Lambda(lambda value: value * 2)])
    with pytest.raises(InvalidInputError, match="Lambda"):
        model.save(net)
    model.save(net, allow_pickle=True)
    (stored,) = model.manifest().objects.values()
    assert (stored.format, stored.needs_pickle) == ("keras-with-code", True)
    assert any(file.on_load.runs_code for file in model.files("main"))
    with pytest.raises(UnsafeFileError):
        model.load()
    assert (model.load(allow_pickle=True).predict(FEATURES, verbose=0) == FEATURES * 2).all()


def test_manifest_cannot_say_that_code_is_data(model, tmp_path: Path) -> None:
    import keras

    net = keras.Sequential([keras.Input((8,)), keras.layers.Lambda(lambda value: value * 2)])
    model.save(net, allow_pickle=True)
    model.checkout("main", tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "cas-model.json").read_text())
    manifest["objects"]["model"] |= {"format": "keras", "pickle": False}
    (tmp_path / "out" / "cas-model.json").write_text(json.dumps(manifest))
    model.commit(tmp_path / "out")
    with pytest.raises(UnsafeFileError, match="brings code"):
        model.load()


def test_classes_of_ones_own_have_to_be_trusted(model) -> None:
    import keras

    from tests.frameworks.keras_layers import Doubling

    net = keras.Sequential([keras.Input((8,)), Doubling()])
    model.save(net)
    name = "tests.frameworks.keras_layers.Doubling"
    assert model.manifest().objects["model"].trust == (name,)
    with pytest.raises(UnsafeFileError, match="Doubling"):
        model.load()
    assert (model.load(trust=[name]).predict(FEATURES, verbose=0) == FEATURES * 2).all()


def test_archive_of_elsewhere_is_recognized(model, tmp_path: Path) -> None:
    net = _trained(0)
    net.save(tmp_path / "mine.keras")
    model.commit([tmp_path / "mine.keras"])
    assert (model.load().predict(FEATURES, verbose=0) == net.predict(FEATURES, verbose=0)).all()


def test_tensors_are_found_within(model) -> None:
    model.save(_trained(0))
    assert {tensor.shape for tensor in model.tensors("main", "model.keras")} >= {(8, 256), (256, 256)}
    with zipfile.ZipFile(model.open("main", "model.keras")) as archive:
        assert json.loads(archive.read("metadata.json"))["keras_version"]
