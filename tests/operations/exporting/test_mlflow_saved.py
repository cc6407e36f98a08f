"""What `Model.save` wrote, exported as an MLflow model: the real MLflow loads it and predicts what the object did."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cas_registry.errors import InvalidInputError
from tests.operations.exporting.bench import Bench

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def table() -> tuple[Any, Any]:
    np = pytest.importorskip("numpy")
    random = np.random.default_rng(3)
    found = random.normal(size=(200, 3))
    return found, (found[:, 0] + found[:, 1] > 0).astype(int)


def same(bench: Bench, asked: Any, wanted: Any, *, column: str | None = None) -> Any:
    """The second run over a finished export changes nothing; MLflow's prediction is the wanted one. The document of the model."""
    mlflow = pytest.importorskip("mlflow")
    np = pytest.importorskip("numpy")
    out = bench.place / "out"
    bench.model.export("main", out, format="mlflow")
    assert not bench.model.export("main", out, format="mlflow").changed
    predicted = mlflow.pyfunc.load_model(str(out)).predict(asked)
    if column is not None:
        assert predicted[column].tolist() == wanted
    else:
        predicted = next(iter(predicted.values())) if isinstance(predicted, dict) else predicted
        np.testing.assert_allclose(np.asarray(predicted).reshape(-1), np.asarray(wanted).reshape(-1), rtol=1e-5)
    return mlflow.models.Model.load(str(out))


@pytest.mark.parametrize("kind", ["LogisticRegression", "RandomForestClassifier", "HistGradientBoostingRegressor", "Pipeline"])
def test_scikit_learn(bench: Bench, kind: str) -> None:
    for module in ("linear_model", "ensemble", "pipeline", "preprocessing"):
        pytest.importorskip(f"sklearn.{module}")
    pytest.importorskip("skops")
    import sklearn

    asked, wanted = table()
    made = {
        "LogisticRegression": sklearn.linear_model.LogisticRegression,
        "RandomForestClassifier": lambda: sklearn.ensemble.RandomForestClassifier(5, n_jobs=1),
        "HistGradientBoostingRegressor": lambda: sklearn.ensemble.HistGradientBoostingRegressor(max_iter=5),
        "Pipeline": lambda: sklearn.pipeline.make_pipeline(
            sklearn.preprocessing.StandardScaler(), sklearn.ensemble.GradientBoostingClassifier(n_estimators=3)
        ),
    }[kind]().fit(asked, wanted)
    bench.model.save(made, X_train=asked)
    same(bench, asked, made.predict(asked))


@pytest.mark.parametrize("kind", ["XGBClassifier", "XGBRegressor", "Booster"])
def test_xgboost(bench: Bench, kind: str) -> None:
    xgboost = pytest.importorskip("xgboost")
    asked, wanted = table()
    if kind == "Booster":
        data = xgboost.DMatrix(asked, wanted)
        made = xgboost.train({"nthread": 1}, data, 3)
        found = made.predict(data)
    else:
        made = getattr(xgboost, kind)(n_estimators=3, n_jobs=1).fit(asked, wanted)
        found = made.predict(asked)
    bench.model.save(made)
    same(bench, asked, found)


@pytest.mark.parametrize("kind", ["LGBMClassifier", "LGBMRegressor"])
def test_lightgbm_as_the_booster_it_is(bench: Bench, kind: str) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    asked, wanted = table()
    made = getattr(lightgbm, kind)(n_estimators=3, n_jobs=1, verbose=-1).fit(asked, wanted)
    bench.model.save(made)
    same(bench, asked, made.booster_.predict(asked))


@pytest.mark.parametrize("kind", ["CatBoostClassifier", "CatBoostRegressor"])
def test_catboost(bench: Bench, kind: str) -> None:
    catboost = pytest.importorskip("catboost")
    asked, wanted = table()
    made = getattr(catboost, kind)(iterations=3, verbose=False, thread_count=1, allow_writing_files=False).fit(asked, wanted)
    bench.model.save(made)
    model = same(bench, asked, made.predict(asked))
    assert model.flavors["catboost"]["model_type"] == kind


def test_keras(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "KERAS_BACKEND", os.environ.get("KERAS_BACKEND", "torch"))
    keras = pytest.importorskip("keras")
    asked, _ = table()
    made = keras.Sequential([keras.Input([3]), keras.layers.Dense(4, "relu"), keras.layers.Dense(1)])
    bench.model.save(made)
    same(bench, asked.astype("float32"), made.predict(asked.astype("float32")))


def test_onnx(bench: Bench) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    np = pytest.importorskip("numpy")
    helper = onnx.helper
    weights = np.array([[1.0], [2.0], [3.0]], dtype=np.float32)
    value = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, size]) for name, size in (("x", 3), ("y", 1))]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "linear", value[:1], value[1:], [onnx.numpy_helper.from_array(weights, "w")])
    bench.model.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9))
    same(bench, {"x": np.eye(3, dtype=np.float32)}, weights)


def tiny_classifier(folder: Path) -> tuple[Any, Any]:
    """A classifier of three words and its tokenizer, of random weights."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    tokenizers = pytest.importorskip("tokenizers")
    torch.manual_seed(3)
    words = {word: number for number, word in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "words"))}
    core = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    core.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", mask_token="[MASK]"
    )
    config = transformers.BertConfig(
        vocab_size=8,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=16,
        num_labels=3,
    )
    return transformers.BertForSequenceClassification(config).eval(), tokenizer


@pytest.mark.parametrize("way", ["pipeline", "two objects", "folder"])
def test_transformers(bench: Bench, way: str) -> None:
    transformers = pytest.importorskip("transformers")
    model, tokenizer = tiny_classifier(bench.place)
    pipeline = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer)
    if way == "pipeline":
        bench.model.save(pipeline)
    elif way == "two objects":
        bench.model.save(model=model, tokenizer=tokenizer)
    else:
        pipeline.save_pretrained(bench.work)
        bench.model.commit(bench.work)
    asked = ["good words", "bad bad words"]
    same(bench, asked, [row["label"] for row in pipeline(asked)], column="label")


def test_a_program_of_torch_export_without_any_pickle(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    asked = torch.from_numpy(table()[0]).float()
    made = torch.nn.Linear(3, 1).eval()
    bench.model.save(torch.export.export(made, (asked,), dynamic_shapes=({0: torch.export.Dim.AUTO},)))
    same(bench, asked[:7].numpy(), made(asked[:7]).detach().numpy())


def test_a_model_of_pytorch_is_refused_and_says_why(bench: Bench) -> None:
    torch = pytest.importorskip("torch")
    bench.model.save(torch.nn.Linear(2, 1))
    with pytest.raises(InvalidInputError, match=r"pytorch as safetensors: MLflow loads PyTorch from pickles"):
        bench.model.export("main", bench.place / "out", format="mlflow")
    assert json.loads(bench.model.open("main", "cas-model.json").read())["kind"] == "saved objects"
