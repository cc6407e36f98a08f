"""What is told of training data, and that no row of it is."""

import math

import numpy as np
import pandas as pd
import pytest

from cas_registry.frameworks.training_data import MAX_COLUMNS, MAX_LABELS, describe_data
from cas_registry.model.schema import Column

TABLE = pd.DataFrame({"age": [20, 30, 40], "income": [1.5, None, 2.5], "town": ["Rome", None, "Oslo"]})


def test_a_table_is_told_by_its_columns() -> None:
    told = describe_data(TABLE, pd.Series([0, 1, 1], name="churned"))
    assert told.params == {"X_train.rows": 3, "X_train.columns": 3, "y_train.rows": 3, "y_train.labels": 2}
    age, income, town = told.data["X_train"]["columns"]
    assert age == {"name": "age", "dtype": "int64", "missing": 0, "min": 20, "max": 40, "mean": 30.0}
    assert income == {"name": "income", "dtype": "float64", "missing": 1, "min": 1.5, "max": 2.5, "mean": 2.0}
    assert (town["name"], town["missing"]) == ("town", 1)
    assert told.data["y_train"]["labels"] == {"0": 1, "1": 2}
    assert told.schema is not None
    assert [column.name for column in told.schema.inputs] == ["age", "income", "town"]
    assert told.schema.outputs == (Column("churned", "int64", (None,)),)
    assert "Rome" not in str(told)


def test_an_array_is_told_by_its_shape() -> None:
    told = describe_data(np.array([[1, 2], [3, np.nan]], dtype=np.float32), ["a", "b"])
    assert told.data["X_train"] == {
        "type": "numpy.ndarray", "shape": [2, 2], "dtype": "float32", "missing": 1, "min": 1.0, "max": 3.0, "mean": 2.0,
    }  # fmt: skip
    assert told.data["y_train"]["labels"] == {"a": 1, "b": 1}
    assert told.schema is not None
    assert told.schema.inputs == (Column(None, "float32", (None, 2)),)


def test_a_sparse_matrix_stays_sparse() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    told = describe_data(sparse.csr_matrix((10**6, 10**6)), None)  # 8 TB if it were unpacked
    assert told.params == {"X_train.rows": 10**6, "X_train.columns": 10**6}


@pytest.mark.parametrize(
    ("targets", "labels"),
    [
        ([0.0, 1.0, 1.0], {"0.0": 1, "1.0": 2}),
        ([0.5, 1.5], None),
        ([1.0, math.nan], None),
        (list(range(MAX_LABELS + 1)), None),
        ([True, False], {"False": 1, "True": 1}),
        (pd.DataFrame({"y": ["no", "yes", "no"]}), {"no": 2, "yes": 1}),
        (np.array([[1], [2]]), {"1": 1, "2": 1}),
        (np.zeros((2, 2)), None),
    ],
)
def test_labels_are_counted_where_there_are_some(targets, labels) -> None:
    assert describe_data(None, targets).data["y_train"].get("labels") == labels


@pytest.mark.parametrize(
    "found", [np.array([]), [], np.zeros((0, 3)), np.array([math.inf, math.nan]), np.array(3), object(), "text"]
)
def test_nothing_is_too_odd(found) -> None:
    told = describe_data(found, found)
    assert set(told.data) == {"X_train", "y_train"}
    assert "NaN" not in str(told.data).replace("nan", "NaN") or "labels" not in told.data["y_train"]


def test_nothing_is_told_of_nothing() -> None:
    told = describe_data(None, None)
    assert (told.params, told.data, told.schema) == ({}, {}, None)


def test_very_wide_tables_are_told_up_to_a_bound() -> None:
    wide = pd.DataFrame(np.zeros((2, MAX_COLUMNS + 5)))
    told = describe_data(wide, None).data["X_train"]
    assert told["shape"] == [2, MAX_COLUMNS + 5]
    assert len(told["columns"]) == MAX_COLUMNS


def test_columns_of_one_name_are_told_by_the_shape() -> None:
    told = describe_data(pd.DataFrame(np.zeros((2, 2)), columns=["a", "a"]), None).data["X_train"]
    assert told["shape"] == [2, 2]
    assert "columns" not in told
