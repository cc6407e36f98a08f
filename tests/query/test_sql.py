"""The SQL of a condition finds in SQLite exactly what the condition matches."""

import pytest
from hypothesis import given

from cas_registry.query import Condition, Facts, parse_condition, parse_order
from cas_registry.query.parsing import MAX_DEPTH, MAX_PARTS
from cas_registry.query.sql import order_by, scalar, stored, where
from tests.query import conditions as make
from tests.query.test_condition import FACTS, NOT_TRUE, NOW_MS, PROD, TRUE

ONE: dict[str, object] = {"model": "fraud", "tag": ("prod",), "branch": (), "input": ()}


@given(make.conditions, make.versions())
def test_sqlite_and_python_agree(condition: Condition, versions: list[Facts]) -> None:
    expected = {
        position
        for position, facts in enumerate(versions)
        if condition.matches(
            facts, now_ms=make.NOW_MS, version=lambda name, facts=facts: make.at(versions, facts["model"], name)
        )  # type: ignore[misc]
    }
    assert make.Database(versions).matching(where(condition, now_ms=make.NOW_MS)) == expected


@pytest.mark.parametrize("text", [*TRUE, *NOT_TRUE])
def test_the_examples_by_hand_agree_as_well(text: str) -> None:
    here = {**FACTS, "tag": ("v1.4", "candidate")}
    there = {**PROD, "model": "fraud", "branch": (), "input": ()}
    condition = parse_condition(text)
    found = 0 in make.Database([here, there]).matching(where(condition, now_ms=NOW_MS))
    assert found == condition.matches(here, now_ms=NOW_MS, version=lambda name: there if name == "prod" else None)


def test_the_largest_condition_is_not_too_much_for_sqlite() -> None:
    many = parse_condition(f"number in ({','.join(['1'] * MAX_PARTS)})")
    deep = parse_condition("not (" * (MAX_DEPTH // 2) + "tag = prod" + ")" * (MAX_DEPTH // 2))
    database = make.Database([FACTS])
    assert database.matching(where(many, now_ms=NOW_MS)) == set()
    assert database.matching(where(deep, now_ms=NOW_MS)) == {0}


@pytest.mark.parametrize("value", [True, False, 0, 1, 1.5, "", "1", "true"])
def test_a_scalar_comes_back_of_its_own_kind(value: bool | float | str) -> None:
    found = stored(value)
    assert found is not None
    assert (scalar(found), type(scalar(found))) == (value, type(value))


def test_what_is_no_value_is_not_stored() -> None:
    assert stored(None) is None
    assert stored(float("nan")) is None


def test_sorting_puts_the_highest_first_and_what_lacks_the_value_last() -> None:
    shared = {"model": "fraud", "tag": (), "branch": (), "input": ()}
    versions: list[Facts] = [
        {**shared, "metrics.auc": 0.5, "author": "c", "number": 1},
        {**shared, "author": "a", "number": 2},
        {**shared, "metrics.auc": 0.9, "author": "b", "number": 3},
        {**shared, "metrics.auc": "broken", "number": 4},
    ]
    database = make.Database(versions)
    assert database.sorted_by(order_by(parse_order("metrics.auc"), now_ms=NOW_MS)) == [2, 0, 3, 1]
    assert database.sorted_by(order_by(parse_order("metrics.auc:min"), now_ms=NOW_MS)) == [0, 2, 3, 1]
    assert database.sorted_by(order_by(parse_order("author"), now_ms=NOW_MS)) == [1, 2, 0, 3]
    assert database.sorted_by(order_by(parse_order("-number"), now_ms=NOW_MS)) == [0, 1, 2, 3]
    assert database.sorted_by(order_by(parse_order("model"), now_ms=NOW_MS)) == [0, 1, 2, 3]
