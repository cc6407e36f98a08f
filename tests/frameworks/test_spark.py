"""Models and pipelines of Spark, in local mode."""

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cas_registry as reg
from cas_registry.errors import FormatError, FrameworkVersionWarning, UnsafeFileError
from cas_registry.frameworks.adapters.spark_models import _foreign_classes
from tests.frameworks.data import FEATURES, amounts, classes
from tests.frameworks.round_trip import Case, check

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow, pytest.mark.timeout(600)]  # a JVM starts
_MODULES = ("pyspark", "pyarrow") if shutil.which("java") or os.environ.get("JAVA_HOME") else ("pyspark", "a Java runtime")


def _session() -> Any:
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    options = {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "512m",
        "spark.sql.shuffle.partitions": "1",
        "spark.default.parallelism": "1",
        "spark.ui.showConsoleProgress": "false",
    }
    return SparkSession.builder.master("local[1]").config(map=options).getOrCreate()


def _rows(seed: int) -> Any:
    table = [
        [float(label), *map(float, row), amount]
        for label, row, amount in zip(classes(seed), FEATURES[:100], amounts(seed).tolist(), strict=False)
    ]
    return _session().createDataFrame(table, ["label", *(f"f{number}" for number in range(8)), "amount"])


def _columns() -> Any:
    from pyspark.ml.feature import VectorAssembler

    return VectorAssembler(inputCols=[f"f{number}" for number in range(8)], outputCol="features")


def _featured(seed: int) -> Any:
    rows = _rows(seed)
    return _columns().transform(rows)


def _pipeline(seed: int) -> Any:
    from pyspark.ml import Pipeline
    from pyspark.ml.classification import LogisticRegression
    from pyspark.ml.feature import StandardScaler

    rows = _rows(seed)  # starts Spark
    scaler = StandardScaler(inputCol="features", outputCol="scaled")
    return Pipeline(stages=[_columns(), scaler, LogisticRegression(featuresCol="scaled", maxIter=5)]).fit(rows)


def _forest(seed: int) -> Any:
    from pyspark.ml.regression import RandomForestRegressor

    rows = _featured(seed)
    return RandomForestRegressor(labelCol="amount", numTrees=5, maxDepth=4, seed=seed).fit(rows)


def _factors(seed: int) -> Any:
    from pyspark.ml.recommendation import ALS

    seen = [(user, item, float((user * item + seed) % 5)) for user in range(8) for item in range(8)]
    ratings = _session().createDataFrame(seen, ["user", "item", "rating"])
    return ALS(rank=3, maxIter=2, seed=1).setParams(userCol="user", itemCol="item", ratingCol="rating").fit(ratings)


def _told(rows: Any, *names: str) -> Any:
    return [[str(row[name]) for name in names] for row in rows.select(*names).collect()]


CASES = (
    Case("Spark PipelineModel", _MODULES, _pipeline, lambda found: _told(found.transform(_rows(0)), "probability", "prediction"), "spark", "spark"),
    Case("Spark RandomForestRegressionModel", _MODULES, _forest, lambda found: _told(found.transform(_featured(0)), "prediction"), "spark", "spark", same_bytes=False),  # times stand in its Parquet
    Case("Spark ALSModel", _MODULES, _factors, lambda found: _told(found.transform(_session().createDataFrame([(1, 1), (2, 3)], ["user", "item"])), "prediction"), "spark", "spark"),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


@pytest.fixture
def model(tmp_path: Path) -> Any:
    if any(importlib.util.find_spec(module) is None for module in _MODULES):
        pytest.skip("pyspark, pyarrow or Java not installed")
    _session()
    return reg.init(tmp_path / "registry").model("m")


def test_parameters_are_told_by_stage(model: Any) -> None:
    model.save(_pipeline(0))
    params = model.show("main").commit.params
    assert params["2.LogisticRegressionModel.maxIter"] == 5
    assert params["0.VectorAssembler.outputCol"] == "features"


def test_sql_and_classes_of_elsewhere_have_to_be_trusted(model: Any, tmp_path: Path) -> None:
    from pyspark.ml import PipelineModel
    from pyspark.ml.feature import SQLTransformer

    model.save(
        PipelineModel([SQLTransformer(statement="SELECT java_method('java.lang.Math', 'abs', -3) AS three FROM __THIS__")])
    )
    name = "org.apache.spark.ml.feature.SQLTransformer"
    assert model.manifest().objects["model"].trust == (name,)
    with pytest.raises(UnsafeFileError, match="SQLTransformer"):
        model.load()
    assert _told(model.load(trust=[name]).transform(_rows(0)), "three")[0] == ["3"]

    model.checkout("main", tmp_path / "out")
    (part,) = (tmp_path / "out" / "metadata").glob("part-*")
    part.write_text(part.read_text().replace("org.apache.spark.ml.PipelineModel", "antigravity.PipelineModel"))
    model.commit(tmp_path / "out")
    with pytest.raises(UnsafeFileError, match=r"antigravity\.PipelineModel"):
        model.load()


def test_rows_that_a_model_reads_later_are_kept(model: Any) -> None:
    from pyspark.ml import PipelineModel
    from pyspark.ml.fpm import FPGrowth

    baskets = _session().createDataFrame([(["a", "b"],), (["a", "b", "c"],), (["a"],)], ["items"])
    found = FPGrowth(itemsCol="items", minSupport=0.5, minConfidence=0.5).fit(baskets)
    model.save(PipelineModel([found]))
    loaded = model.load()
    asked = _session().createDataFrame([(["a"],), (["b"],)], ["items"])
    assert _told(loaded.transform(asked), "prediction") == _told(found.transform(asked), "prediction") == [["['b']"], ["['a']"]]


def test_a_model_of_elsewhere_is_recognized(model: Any, tmp_path: Path) -> None:
    made = _pipeline(0)
    made.write().save((tmp_path / "mine").as_uri())
    model.commit(tmp_path / "mine")
    assert _told(model.load().transform(_rows(0)), "probability") == _told(made.transform(_rows(0)), "probability")


def test_another_version_is_warned_of_with_both(model: Any, tmp_path: Path) -> None:
    model.save(_columns())
    model.checkout("main", tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "cas-model.json").read_text())
    manifest["objects"]["model"]["versions"]["pyspark"] = "3.5.0"
    (tmp_path / "out" / "cas-model.json").write_text(json.dumps(manifest))
    model.commit(tmp_path / "out")
    with pytest.warns(FrameworkVersionWarning, match=r"pyspark 3\.5\.0 \(here \d"):
        model.load()


# What is looked at before Spark is asked; no JVM


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "part-00000").write_text(
        '{"class":"org.apache.spark.ml.classification.LogisticRegressionModel"}\n'
    )
    return tmp_path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"class":"org.apache.spark.ml.PipelineModel","class":"evil.Thing"}', "stands twice"),
        ("[" * 100_000, "no metadata"),
        ("not json", "no metadata"),
    ],
)
def test_metadata_that_readers_could_take_differently_is_refused(folder: Path, text: str, said: str) -> None:
    (folder / "metadata" / "part-00000").write_text(text)
    with pytest.raises(FormatError, match=said):
        _foreign_classes(folder)


@pytest.mark.parametrize("name", ["_common_metadata", "metadata/x.txt", "data/_metadata", "lib.jar"])
def test_files_that_spark_does_not_write_are_refused(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("{}")
    with pytest.raises(FormatError, match="no part of a model"):
        _foreign_classes(folder)


@pytest.mark.parametrize(
    "name",
    ["os.system", "org.apache.spark.mllib.Thing", "org.apache.spark.ml", "org.apache.spark.ml.feature.SQLTransformer", "xpyspark.ml.Pipeline", "pyspark.ml.feature.evil\nX"],
)  # fmt: skip
def test_classes_that_are_not_sparks_own_models_are_foreign(folder: Path, name: str) -> None:
    (folder / "metadata" / "x=1").mkdir()
    (folder / "metadata" / "x=1" / "part-1.parquet").write_text(json.dumps({"class": name}))  # Spark reads it as text there
    assert _foreign_classes(folder) == {name}


def test_column_types_of_elsewhere_are_foreign(folder: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    def write(**udt: str) -> None:
        schema = {"type": "struct", "fields": [{"name": "a", "type": {"type": "array", "elementType": {"type": "udt", **udt}}}]}
        told = {"org.apache.spark.sql.parquet.row.metadata": json.dumps(schema)}
        (folder / "data").mkdir(exist_ok=True)
        parquet.write_table(pyarrow.table({"a": [1]}).replace_schema_metadata(told), folder / "data" / "part-00000.parquet")

    write(**{"class": "org.apache.spark.ml.linalg.VectorUDT", "pyClass": "pyspark.ml.linalg.VectorUDT"})
    assert _foreign_classes(folder) == set()
    write(**{"class": "evil.Thing", "pyClass": "worse.Thing", "serializedClass": "gASV"})
    assert _foreign_classes(folder) == {"evil.Thing", "worse.Thing", "a pickled class"}
    (folder / "data" / "part-00000.parquet").write_text('{"class":"evil"}')
    with pytest.raises(FormatError, match="no Parquet"):
        _foreign_classes(folder)
