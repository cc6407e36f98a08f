"""XGBoost's boosters and estimators."""

from pathlib import Path
from typing import Any

import pytest

import cas_registry as reg
from tests.frameworks.data import FEATURES, TABLE, amounts, classes
from tests.frameworks.round_trip import Case, check

NUMBERS = TABLE.drop(columns="town")


def _booster(seed: int) -> Any:
    import xgboost

    data = xgboost.DMatrix(NUMBERS, label=classes(seed))
    return xgboost.train({"objective": "binary:logistic", "max_depth": 3, "seed": seed, "nthread": 1}, data, 20)


def _predicted(booster: Any) -> Any:
    import xgboost

    return [booster.predict(xgboost.DMatrix(NUMBERS)), booster.feature_names]


def _classifier(seed: int) -> Any:
    import xgboost

    return xgboost.XGBClassifier(n_estimators=20, learning_rate=0.2, n_jobs=1, random_state=seed).fit(NUMBERS, classes(seed))


def _regressor(seed: int) -> Any:
    import xgboost

    return xgboost.XGBRegressor(n_estimators=20, n_jobs=1, early_stopping_rounds=3).fit(
        FEATURES[:200], amounts(seed)[:200], eval_set=[(FEATURES[200:], amounts(seed)[200:])], verbose=False
    )


def _ranker(seed: int) -> Any:
    import numpy as np
    import xgboost

    return xgboost.XGBRanker(n_estimators=10, n_jobs=1).fit(FEATURES, classes(seed), qid=np.repeat(np.arange(30), 10))


def _params(found: Any) -> dict[str, str]:
    """Those that were chosen; loading fills in what the file knows of the others."""
    return {
        name: str(value) for name, value in found.get_params().items() if name not in {"base_score", "booster", "feature_types"}
    }


def _case(name: str, train: Any, predict: Any) -> Case:
    return Case(f"xgboost {name}", ("xgboost",), train, predict, "xgboost", "ubj")


CASES = (
    _case("Booster", _booster, _predicted),
    _case("XGBClassifier", _classifier, lambda found: [found.predict_proba(NUMBERS), found.predict(NUMBERS), _params(found)]),
    _case("XGBRegressor", _regressor, lambda found: [found.predict(FEATURES), found.best_iteration, _params(found)]),
    _case("XGBRanker", _ranker, lambda found: found.predict(FEATURES)),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_what_it_tells(tmp_path: Path) -> None:
    pytest.importorskip("xgboost")
    model = reg.init(tmp_path / "registry", cache_folder=tmp_path / "cache").model("m")
    model.save(_classifier(0))
    commit = model.show("main").commit
    assert (commit.params["learning_rate"], commit.params["n_estimators"]) == (0.2, 20)
    assert commit.schema is not None
    assert [(column.name, column.dtype) for column in commit.schema.inputs][:2] == [("f0", "float"), ("f1", "float")]


def test_a_file_of_its_own_is_recognised(tmp_path: Path) -> None:
    pytest.importorskip("xgboost")
    (tmp_path / "work").mkdir()
    booster = _booster(0)
    booster.save_model(tmp_path / "work" / "model.ubj")
    model = reg.init(tmp_path / "registry", cache_folder=tmp_path / "cache").model("m")
    model.commit(tmp_path / "work")
    assert model.load().get_dump() == booster.get_dump()
