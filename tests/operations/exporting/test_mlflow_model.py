"""MLflow models: read by the real MLflow where it is installed, by their own words where it is not."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cas_registry.errors import InvalidInputError
from cas_registry.model.schema import Column, Schema
from tests.operations.exporting.bench import Bench
from tests.support.folders import File, read_folder

TREE = b"tree\nversion=v4\nnum_class=1\n"
PACKAGES = {"lightgbm": "4.6.0", "numpy": "2.1.0", "torch": "2.5.0+cpu", "evil\nname": "1", "pandas": "2\n--index-url x"}


def exported(bench: Bench, revision: str = "main") -> dict[str, Any]:
    bench.model.export(revision, bench.place / "out", format="mlflow")
    found: dict[str, Any] = yaml.safe_load((bench.place / "out" / "MLmodel").read_text())
    return found


def lightgbm_text(bench: Bench, **words: Any) -> None:
    bench.commit({"model.lgb": File(TREE), "config.json": File(b"{}")}, **words)


def test_a_file_that_mlflow_has_a_loader_for_gets_its_mlmodel(bench: Bench) -> None:
    schema = Schema((Column("x", "double"), Column("y", "long")), (Column(None, "float32", (None, 1)),))
    lightgbm_text(bench, schema=schema, framework=PACKAGES, labels={"owner": "risk"})
    found = exported(bench)
    version = bench.model.resolve("main")
    assert found["flavors"]["python_function"] == {
        "data": "model.lgb",
        "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
        "loader_module": "mlflow.lightgbm",
    }
    assert found["flavors"]["lightgbm"]["lgb_version"] == "4.6.0"
    assert found["flavors"]["lightgbm"]["model_class"] == "lightgbm.basic.Booster"
    assert found["metadata"]["cas_registry"]["commit"] == version.commit.hex
    assert found["metadata"]["cas_registry"]["labels"] == {"owner": "risk"}
    assert json.loads(found["signature"]["inputs"])[1] == {"type": "long", "name": "y", "required": True}
    requirements = (bench.place / "out" / "requirements.txt").read_text().splitlines()
    assert requirements == ["mlflow", "lightgbm==4.6.0", "numpy==2.1.0", "pandas", "scipy"]
    conda = yaml.safe_load((bench.place / "out" / "conda.yaml").read_text())
    assert conda["dependencies"][-1] == {"pip": requirements}
    assert yaml.safe_load((bench.place / "out" / "python_env.yaml").read_text())["dependencies"] == ["-r requirements.txt"]


def test_a_second_run_changes_nothing(bench: Bench) -> None:
    lightgbm_text(bench)
    bench.model.export("main", bench.place / "out", format="mlflow", metadata=True)
    report = bench.model.export("main", bench.place / "out", format="mlflow", metadata=True)
    assert not report.changed
    assert [file.path for file in report.files] == [
        "MLmodel", "cas-version.json", "conda.yaml", "config.json", "model.lgb", "python_env.yaml", "requirements.txt"
    ]  # fmt: skip


def test_an_mlmodel_of_the_versions_own_is_left_as_it_is(bench: Bench) -> None:
    own = {"MLmodel": File(b"flavors: {python_function: {loader_module: x}}\n"), "model.lgb": File(TREE)}
    bench.commit(own)
    bench.model.export("main", bench.place / "out", format="mlflow")
    assert read_folder(bench.place / "out") == own


def test_requirements_of_the_versions_own_are_kept(bench: Bench) -> None:
    bench.commit({"model.lgb": File(TREE), "requirements.txt": File(b"lightgbm==3.0\n")})
    exported(bench)
    assert (bench.place / "out" / "requirements.txt").read_bytes() == b"lightgbm==3.0\n"


@pytest.mark.parametrize(
    "held",
    [
        {"model.pkl": File(b"\x80\x04N.")},
        {"deep/model.lgb": File(TREE)},
        {"model.json": File(b'{"layers": 3}')},
        {"model.txt": File(b"prose")},
        {"a.lgb": File(TREE), "b.lgb": File(TREE)},
    ],
)
def test_what_mlflow_cannot_load_is_refused(bench: Bench, held: dict[str, File | None], tmp_path: Path) -> None:
    bench.commit(held)
    with pytest.raises(InvalidInputError, match="export it as a folder"):
        bench.model.export("main", tmp_path / "out", format="mlflow")
    assert not (tmp_path / "out").exists()


def _table() -> Any:
    pd = pytest.importorskip("pandas")
    np = pytest.importorskip("numpy")
    random = np.random.default_rng(3)
    table = pd.DataFrame(random.normal(size=(200, 3)), columns=["a", "b", "c"])
    return table, (table["a"] + table["b"] > 0).astype(int)


SCHEMA = Schema(tuple(Column(name, "double") for name in "abc"))


@pytest.mark.filterwarnings("ignore")
def test_mlflow_predicts_with_lightgbm(bench: Bench) -> None:
    mlflow = pytest.importorskip("mlflow")
    lightgbm = pytest.importorskip("lightgbm")
    np = pytest.importorskip("numpy")
    table, wanted = _table()
    booster = lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, lightgbm.Dataset(table, wanted), 5)
    bench.work.mkdir()
    booster.save_model(bench.work / "model.txt")
    bench.model.commit(bench.work, schema=SCHEMA)
    _same(mlflow, bench, table, booster.predict(table), np)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["ubj", "json"])
def test_mlflow_predicts_with_xgboost(bench: Bench, suffix: str) -> None:
    mlflow = pytest.importorskip("mlflow")
    xgboost = pytest.importorskip("xgboost")
    np = pytest.importorskip("numpy")
    table, wanted = _table()
    data = xgboost.DMatrix(table, wanted)
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, 5)
    bench.work.mkdir()
    booster.save_model(bench.work / f"model.{suffix}")
    bench.model.commit(bench.work, schema=SCHEMA)
    _same(mlflow, bench, table, booster.predict(data), np)


@pytest.mark.filterwarnings("ignore")
def test_mlflow_predicts_with_onnx(bench: Bench) -> None:
    mlflow = pytest.importorskip("mlflow")
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    np = pytest.importorskip("numpy")
    helper = onnx.helper
    weights = np.array([[1.0], [2.0], [3.0]], dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, 3])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None, 1])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    bench.work.mkdir()
    onnx.save(made, str(bench.work / "model.onnx"))
    bench.model.commit(bench.work, schema=Schema((Column("x", "float32", (None, 3)),)))
    table = np.eye(3, dtype=np.float32)
    _same(mlflow, bench, {"x": table}, table @ weights, np)


@pytest.mark.filterwarnings("ignore")
def test_mlflow_predicts_with_scikit_learn_by_skops(bench: Bench) -> None:
    mlflow = pytest.importorskip("mlflow")
    skops = pytest.importorskip("skops.io")
    linear = pytest.importorskip("sklearn.linear_model")
    np = pytest.importorskip("numpy")
    table, wanted = _table()
    model = linear.LogisticRegression().fit(table, wanted)
    bench.work.mkdir()
    skops.dump(model, bench.work / "model.skops")
    bench.model.commit(bench.work, schema=SCHEMA)
    _same(mlflow, bench, table, model.predict(table), np)


def _same(mlflow: Any, bench: Bench, table: Any, wanted: Any, np: Any) -> None:
    """MLflow reads what was exported, with its signature, and predicts what the model does."""
    bench.model.export("main", bench.place / "out", format="mlflow")
    read = mlflow.models.Model.load(str(bench.place / "out"))
    assert read.signature.inputs
    assert read.metadata["cas_registry"]["commit"] == bench.model.resolve("main").commit.hex
    predicted = mlflow.pyfunc.load_model(str(bench.place / "out")).predict(table)
    if isinstance(predicted, dict):
        (predicted,) = predicted.values()
    np.testing.assert_allclose(np.asarray(predicted).reshape(-1), np.asarray(wanted).reshape(-1), rtol=1e-6)
