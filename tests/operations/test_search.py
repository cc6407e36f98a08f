"""What a search comes to: rows for tables, files and frames."""

import csv
import io
from dataclasses import replace

import pandas as pd
import pytest

from cas_registry.errors import InvalidInputError
from cas_registry.model.ids import CommitId, TreeId
from cas_registry.operations.indexing.rows import Found
from cas_registry.operations.search import SearchResult
from cas_registry.query import Field, parse_condition, parse_order

NOW_MS = 1_793_491_200_000
FIRST = Found(
    "fraud", 1, CommitId(b"\x01" * 32), 1, TreeId(b"\x02" * 32), "ana", NOW_MS - 90_000, 'said "so",\nthen left', 1000, 400, 500, 3, False,
    tags=("best", "prod"), branches=("main",), inputs=("train",), params={"lr": 0.1, "warm": True}, metrics={"auc": 0.5},
    packages={"torch": "2.9"},
)  # fmt: skip
SECOND = replace(FIRST, number=2, tags=(), size_bytes=None, metrics={"loss": 3}, params={}, message="")


def _result(condition: str | None = None, sort: str | None = None) -> SearchResult:
    return SearchResult(
        (FIRST, SECOND), parse_condition(condition) if condition else None, parse_order(sort) if sort else None, NOW_MS
    )


def test_it_is_a_sequence_of_what_was_found() -> None:
    result = _result()
    assert (len(result), result[0], result[1:], list(result)) == (2, FIRST, (SECOND,), [FIRST, SECOND])
    assert FIRST in result


def test_columns_are_what_every_version_has_then_the_values_of_any_then_what_was_asked_for() -> None:
    names = [field.key for field in _result("packages.torch = '2.9' and params.lr > 0", "-metrics.auc").columns()]
    assert names[:3] == ["model", "number", "commit"]
    assert names[names.index("input") + 1 :] == ["params.lr", "params.warm", "metrics.auc", "metrics.loss", "packages.torch"]
    assert "packages.torch" not in [field.key for field in _result().columns()]
    assert [str(field) for field in _result("tag = prod and params.lr > 0", "metrics.auc").asked_for()] == [
        "tag",
        "params.lr",
        "metrics.auc",
    ]


def test_a_table_holds_what_is_asked_for_in_that_order() -> None:
    fields, rows = _result().table(["metrics.auc", "age", "tag", Field("torch", "packages")])
    assert [field.key for field in fields] == ["metrics.auc", "age", "tag", "packages.torch"]
    assert rows == [[0.5, 90_000, ("best", "prod"), "2.9"], [None, 90_000, (), "2.9"]]
    with pytest.raises(InvalidInputError, match="did you mean author"):
        _result().table(["auther"])


def test_csv_is_read_again_as_it_was_written() -> None:
    file = io.StringIO()
    _result().to_csv(file, ["number", "time", "age", "message", "tag", "params.warm", "metrics.auc", "size"])
    rows = list(csv.reader(io.StringIO(file.getvalue())))
    assert rows == [
        ["number", "time", "age", "message", "tag", "params.warm", "metrics.auc", "size"],
        ["1", "2026-10-31T23:58:30.000Z", "90", 'said "so",\nthen left', "best prod", "true", "0.5", "1000"],
        ["2", "2026-10-31T23:58:30.000Z", "90", "", "", "", "", ""],
    ]
    whole = io.StringIO()
    _result().to_csv(whole)
    assert whole.getvalue().startswith("model,number,commit,time,author,")


def test_a_time_that_no_calendar_has_is_a_number() -> None:
    file = io.StringIO()
    SearchResult((replace(FIRST, time_ms=10**17),), None, None, NOW_MS).to_csv(file, ["time"])
    assert file.getvalue() == f"time\n{10**17}\n"


def test_a_frame_has_times_and_spans_as_pandas_has_them() -> None:
    frame = _result().to_pandas(["number", "time", "age", "metrics.auc", "tag"])
    assert list(frame.columns) == ["number", "time", "age", "metrics.auc", "tag"]
    assert frame["time"][0] == pd.Timestamp(NOW_MS - 90_000, unit="ms", tz="UTC")
    assert frame["age"][0] == pd.Timedelta(seconds=90)
    assert frame["metrics.auc"].isna().tolist() == [False, True]
    assert frame["tag"][0] == ("best", "prod")
    assert len(_result().to_pandas()) == 2
    assert len(SearchResult((), None, None, NOW_MS).to_pandas()) == 0
