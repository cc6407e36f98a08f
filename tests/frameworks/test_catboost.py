"""CatBoost's models."""

from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.data import TABLE, amounts, names
from tests.frameworks.round_trip import Case, check

QUIET = {"iterations": 20, "verbose": False, "allow_writing_files": False, "thread_count": 1}


def _classifier(seed: int) -> Any:
    import catboost

    return catboost.CatBoostClassifier(random_seed=seed, cat_features=["town"], **QUIET).fit(TABLE, names(seed))


def _regressor(seed: int) -> Any:
    import catboost

    return catboost.CatBoostRegressor(random_seed=seed, cat_features=["town"], **QUIET).fit(TABLE, amounts(seed))


def _told(found: Any) -> Any:
    return [found.predict(TABLE), found.feature_names_, found.get_param("iterations")]


CASES = (
    Case(
        "catboost CatBoostClassifier",
        ("catboost",),
        _classifier,
        lambda found: [found.predict_proba(TABLE), list(found.classes_)],
        "catboost",
        "cbm",
    ),
    Case("catboost CatBoostRegressor", ("catboost",), _regressor, _told, "catboost", "cbm"),
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
