"""What a condition answers of the facts of a version."""

import pytest

from cas_registry.errors import InvalidInputError
from cas_registry.query import Facts, parse_condition
from cas_registry.query.condition import DAY_MS

NOW_MS = 1_793_491_200_000 + 12 * 3_600_000  # noon of 2026-11-01
FACTS: Facts = {
    "params.lr": 0.001,
    "params.opt": "Adam",
    "params.warm": True,
    "params.nothing": None,
    "params.learning rate": 3,
    "metrics.auc": 0.93,
    "metrics.bad": float("nan"),
    "author": "Ana <ana@example.org>",
    "message": "Größer",
    "model": "fraud",
    "number": 17,
    "commit": "8f3a91c2" + "0" * 56,
    "time": NOW_MS - DAY_MS,
    "size": 1000,
    "tag": ("prod", "v1.4"),
    "branch": (),
    "input": ("s3://data/train", "base@0123"),
}
PROD: Facts = {"metrics.auc": 0.91, "params.lr": "0.1", "size": 2000, "time": NOW_MS - 3 * DAY_MS, "tag": ("prod",)}
TRUE = [
    "metrics.auc > 0.9 and params.lr < 1e-2 and tag = prod and author ~ 'ANA' and age < 30d",
    "params.opt = Adam",
    "params.opt != adam",
    "params.opt ~ adam",
    "params.opt !~ sgd",
    "params.opt > A",
    "params.warm = true",
    "params.warm != false",
    "params.warm > false",
    "params.'learning rate' = 3.0",
    "params.lr in (1, 0.001)",
    "not params.lr in (1, 2)",
    "params.nothing is null",
    "params.absent is null",
    "metrics.bad is null",
    "params.lr is not null",
    "exists params.lr",
    "exists tag",
    "branch is null",
    "number = 17",
    "commit = 8f3a",
    "commit = 8F3A91C2",
    "commit != 8f3b",
    "commit in (aa, 8f)",
    "age = 1d",
    "age >= 24h",
    "time = 2026-10-31",
    "time < 2026-11-01",
    "time <= 2026-10-31",
    "time >= 2026-10-31",
    "time > 2026-10-30",
    "tag = v1.4",
    "tag != staging",
    "tag !~ stag",
    "tag ~ PRO",
    "tag in (a, prod)",
    "not tag in (a, b)",
    "branch != main",
    "branch !~ main",
    "not branch = main",
    "input ~ s3://",
    "message ~ 'GRÖSSER'",
    "metrics.auc >= prod",
    "metrics.auc > prod.metrics.auc",
    "size < prod",
    "time > prod",
    "age < prod",
    "params.absent = 1 or tag = prod",
    "not (params.absent = 1 and tag = staging)",
]
NOT_TRUE = [
    "metrics.auc > 0.95",
    "params.warm = 1",  # true is no number
    "params.opt = 1",
    "params.opt < 1",
    "params.opt != 1",  # text does not compare with a number, not even as unequal
    "params.lr ~ 0",
    "params.lr !~ 7",
    "params.absent = 1",
    "params.absent != 1",
    "not params.absent = 1",
    "not params.absent in (1, 2)",
    "params.nothing = 1",
    "not params.nothing = 1",
    "metrics.bad > 0",
    "metrics.bad <= 0",
    "not metrics.bad > 0",
    "exists params.nothing",
    "files > 0",
    "files is not null",
    "tag = staging",
    "tag != prod",
    "not tag = prod",
    "time = 2026-11-01",
    "time > 2026-10-31",
    "metrics.auc >= gone",
    "not metrics.auc >= gone",
    "metrics.auc >= prod.metrics.roc",
    "params.lr = prod.params.lr",
    "params.lr != prod.params.lr",  # of another kind there
    "params.absent = 1 and tag = prod",
    "params.absent = 1 or tag = staging",
]


def _version(name: str) -> Facts | None:
    return PROD if name == "prod" else None


@pytest.mark.parametrize("text", TRUE)
def test_matches(text: str) -> None:
    assert parse_condition(text).matches(FACTS, now_ms=NOW_MS, version=_version)


@pytest.mark.parametrize("text", NOT_TRUE)
def test_does_not_match(text: str) -> None:
    assert not parse_condition(text).matches(FACTS, now_ms=NOW_MS, version=_version)


def test_a_comparison_with_another_version_needs_somebody_who_knows_it() -> None:
    with pytest.raises(InvalidInputError, match=r"prod\.metrics\.auc"):
        parse_condition("metrics.auc >= prod").matches(FACTS, now_ms=NOW_MS)


def test_objections_name_each_part_that_is_not_met_with_what_was_found() -> None:
    condition = parse_condition("metrics.auc >= 0.95 and metrics.auc >= prod and params.absent = 1 and tag = gold and age < 3h")
    assert condition.objections(FACTS, now_ms=NOW_MS, version=_version) == (
        "metrics.auc >= 0.95 (metrics.auc is 0.93)",
        "params.absent = 1 (params.absent is missing)",
        'tag = "gold" (tag is "prod", "v1.4")',
        "age < 3h (age is 1d)",
    )
    worse = parse_condition("metrics.auc < prod")
    assert worse.objections(FACTS, now_ms=NOW_MS, version=_version) == (
        "metrics.auc < prod.metrics.auc (metrics.auc is 0.93, prod.metrics.auc is 0.91)",
    )
    assert parse_condition("tag = prod").objections(FACTS, now_ms=NOW_MS) == ()
