"""Modules and checkpoints of TensorFlow by their variables, and SavedModels, which are programs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cas_registry as reg
from cas_registry.errors import FrameworkVersionWarning, InvalidInputError, UnsafeFileError
from cas_registry.model.schema import Column
from tests.frameworks.filling import Into
from tests.frameworks.round_trip import Case, assert_same, check

pytestmark = pytest.mark.filterwarnings("default")
FEATURES = np.linspace(-1, 1, 64 * 8, dtype=np.float32).reshape(64, 8)


def _net(seed: int, *, body: int = 0) -> Any:
    """A body that is shared and a head of its own, in bfloat16, which stands in two places."""
    import tensorflow as tf

    class Net(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            weights = np.random.default_rng(body).normal(size=(8, 256)).astype(np.float32)
            head = np.random.default_rng(seed).normal(size=(256, 2)).astype(np.float32)
            self.layers = [tf.Variable(weights), {"head": tf.Variable(tf.cast(head, tf.bfloat16))}]
            self.head = self.layers[1]["head"]
            self.steps = tf.Variable(seed, dtype=tf.int64, trainable=False)

        @tf.function(input_signature=[tf.TensorSpec((None, 8), tf.float32, name="features")])
        def __call__(self, features: Any) -> Any:
            return tf.matmul(tf.cast(features @ self.layers[0], tf.bfloat16), self.head)

    return Net()


def _predict(net: Any) -> Any:
    return [np.asarray(net(FEATURES)).astype(np.float32), int(net.steps.numpy())]


def _checkpoint(seed: int, *, steps: int = 2) -> Any:
    """A model of Keras in training, with its optimizer."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    net = keras.Sequential([keras.Input((8,)), keras.layers.Dense(64, activation="relu"), keras.layers.Dense(1)])
    optimizer = keras.optimizers.Adam(0.01)
    optimizer.build(net.trainable_variables)
    for _ in range(steps):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((net(FEATURES) - seed) ** 2)
        optimizer.apply_gradients(zip(tape.gradient(loss, net.trainable_variables), net.trainable_variables, strict=True))
    return tf.train.Checkpoint(net=net, optimizer=optimizer)


def _checkpoint_state(found: Any) -> Any:
    return [np.asarray(found.net(FEATURES)), [np.asarray(value) for value in found.optimizer.variables]]


_ASKED = {"options": {"adapter": "saved-model"}}
CASES = (
    Case("TensorFlow module, head trained", ("tensorflow", "safetensors"), _net, _predict, "tensorflow", "safetensors", load=Into(lambda: _net(9, body=9))),
    Case("TensorFlow checkpoint with its optimizer", ("tensorflow", "safetensors", "keras"), _checkpoint, _checkpoint_state, "tensorflow", "safetensors", load=Into(lambda: _checkpoint(9, steps=0)), environment={"KERAS_BACKEND": "tensorflow"}),
    Case("TensorFlow SavedModel, head trained", ("tensorflow",), _net, _predict, "saved-model", "saved-model", needs_pickle=True, save=_ASKED, same_bytes=False, is_marked=False),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


@pytest.fixture
def model(tmp_path: Path) -> Any:
    pytest.importorskip("tensorflow")
    pytest.importorskip("safetensors")
    return reg.init(tmp_path / "registry").model("net")


def test_variables_are_named_by_the_shortest_path(model: Any) -> None:
    model.save(_net(0))
    tensors = {tensor.name: tensor.shape for tensor in model.tensors("main", "variables.safetensors")}
    assert tensors == {"head": (256, 2), "layers/0": (8, 256), "steps": ()}
    assert model.show("main").commit.params == {"parameters": 8 * 256 + 256 * 2}


def test_what_does_not_fit_is_said_and_nothing_is_filled(model: Any) -> None:
    import tensorflow as tf

    model.save(_net(0))
    with pytest.raises(InvalidInputError, match="into"):
        model.load()
    with pytest.raises(InvalidInputError, match=r"head, layers/0.* in one of the two only"):
        model.load(options={"into": tf.train.Checkpoint(steps=tf.Variable(0, dtype=tf.int64))})
    other = _net(5)
    other.steps = tf.Variable(5, dtype=tf.int32)
    before = other.head.numpy()
    with pytest.raises(InvalidInputError, match=r"steps is int32\[\], not int64\[\]"):
        model.load(options={"into": other})
    assert_same(other.head.numpy(), before)


def test_what_safetensors_has_no_place_for_is_named(model: Any) -> None:
    import tensorflow as tf

    net = tf.Module()
    with pytest.raises(InvalidInputError, match="no variables"):
        model.save(net)
    net.words = tf.Variable(["a", "b"])
    with pytest.raises(InvalidInputError, match=r"words is a variable of text.*saved-model"):
        model.save(net)
    del net.words
    net.inner = tf.Module()
    net.inner.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["x"], [1]), -1)
    with pytest.raises(InvalidInputError, match="inner/table is a StaticHashTable"):
        model.save(net)
    del net.inner
    net.rows = iter(tf.data.Dataset.range(3))
    with pytest.raises(InvalidInputError, match=r"rows is a .*Iterator"):
        model.save(net)
    del net.rows
    net.by_number = {"a": tf.Variable(1.0), 3: tf.Variable(2.0)}
    with pytest.raises(InvalidInputError, match="by_number cannot be saved"):
        model.save(net)


def test_a_saved_model_is_a_program(model: Any, tmp_path: Path) -> None:
    """Tables of text and files beside it come along; loading writes what its operations write."""
    import tensorflow as tf

    (tmp_path / "words.txt").write_text("yes\nno\n")

    class Words(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            lines = tf.lookup.TextFileInitializer(
                str(tmp_path / "words.txt"),
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
            )
            self.table = tf.lookup.StaticHashTable(lines, -1)

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="words")])
        def __call__(self, words: Any) -> Any:
            return self.table.lookup(words)

    model.save(Words(), options={"adapter": "saved-model"})
    (tmp_path / "words.txt").unlink()
    (stored,) = model.manifest().objects.values()
    assert (stored.adapter, stored.needs_pickle) == ("saved-model", True)
    assert "assets/words.txt" in stored.files
    schema = model.show("main").commit.schema
    assert schema.inputs == (Column("words", "string", (None,)),)
    with pytest.raises(UnsafeFileError, match="allow_pickle=True"):
        model.load()
    loaded = model.load(allow_pickle=True)
    assert loaded(tf.constant(["no", "maybe"])).numpy().tolist() == [1, -1]
    model.save(_net(0), options={"adapter": "saved-model"})
    model.save(model.load(allow_pickle=True), message="saved once more")  # what was loaded has no class but this
    assert_same(_predict(model.load(allow_pickle=True))[0], _predict(_net(0))[0])


def test_a_model_of_keras_is_a_program_that_serves(model: Any) -> None:
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("runs with KERAS_BACKEND=tensorflow")
    net = keras.Sequential([keras.Input((8,), name="features"), keras.layers.Dense(3), keras.layers.Dense(1, name="score")])
    model.save(net, options={"adapter": "saved-model"})
    assert model.manifest().objects["model"].adapter == "saved-model"
    assert model.show("main").commit.schema.inputs == (Column("features", "float32", (None, 8)),)
    loaded = model.load(allow_pickle=True)  # to be held: what it serves names its variables weakly
    assert_same(loaded.serve(FEATURES).numpy(), net(FEATURES).numpy())


def test_a_saved_model_of_elsewhere_is_recognized_and_needs_consent(model: Any, tmp_path: Path) -> None:
    import tensorflow as tf

    tf.saved_model.save(_net(0), str(tmp_path / "exported"))
    model.commit(tmp_path / "exported")
    with pytest.raises(UnsafeFileError, match="allow_pickle=True"):
        model.load()
    assert_same(_predict(model.load(allow_pickle=True))[0], _predict(_net(0))[0])


def test_another_version_is_warned_of_with_both(model: Any, tmp_path: Path) -> None:
    import tensorflow as tf

    model.save(_net(0))
    model.checkout("main", tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "cas-model.json").read_text())
    manifest["objects"]["model"]["versions"]["tensorflow"] = "2.9.0"
    (tmp_path / "out" / "cas-model.json").write_text(json.dumps(manifest))
    model.commit(tmp_path / "out")
    with pytest.warns(FrameworkVersionWarning, match=rf"tensorflow 2\.9\.0 \(here {tf.__version__}\)"):
        model.load(options={"into": _net(9)})
