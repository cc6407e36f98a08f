"""LightGBM's boosters and estimators."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cas_registry as reg
from cas_registry.errors import InvalidInputError
from tests.frameworks.data import FEATURES, TABLE, amounts, classes, names
from tests.frameworks.round_trip import Case, check

NUMBERS = TABLE.drop(columns="town")
QUIET = {"verbosity": -1, "num_threads": 1}


def _booster(seed: int) -> Any:
    import lightgbm

    return lightgbm.train(
        {"objective": "binary", "seed": seed, **QUIET}, lightgbm.Dataset(NUMBERS, classes(seed)), num_boost_round=20
    )


def _classifier(seed: int) -> Any:
    import lightgbm

    return lightgbm.LGBMClassifier(n_estimators=20, random_state=seed, n_jobs=1, verbosity=-1).fit(NUMBERS, names(seed))


def _binary(seed: int) -> Any:
    import lightgbm

    return lightgbm.LGBMClassifier(n_estimators=20, n_jobs=1, verbosity=-1).fit(NUMBERS, classes(seed))


def _regressor(seed: int) -> Any:
    import lightgbm

    made = lightgbm.LGBMRegressor(n_estimators=50, n_jobs=1, verbosity=-1, learning_rate=0.3)
    stop = lightgbm.early_stopping(3, verbose=False)
    return made.fit(NUMBERS[:200], amounts(seed)[:200], eval_X=NUMBERS[200:], eval_y=amounts(seed)[200:], callbacks=[stop])


def _ranker(seed: int) -> Any:
    import lightgbm

    return lightgbm.LGBMRanker(n_estimators=10, n_jobs=1, verbosity=-1).fit(FEATURES, classes(seed), group=[10] * 30)


def _told(found: Any) -> Any:
    params = {name: str(value) for name, value in found.get_params().items()}
    return [found.predict(NUMBERS), params, found.n_features_in_, found.feature_importances_, list(found.feature_names_in_)]


def _case(name: str, train: Any, predict: Any) -> Case:
    return Case(f"lightgbm {name}", ("lightgbm",), train, predict, "lightgbm", "text")


CASES = (
    _case("Booster", _booster, lambda found: [found.predict(NUMBERS), found.feature_name()]),
    _case("LGBMClassifier of names", _classifier, lambda found: [found.predict_proba(NUMBERS), found.classes_, _told(found)]),
    _case("LGBMClassifier", _binary, lambda found: [found.predict_proba(NUMBERS), found.classes_, _told(found)]),
    _case("LGBMRegressor", _regressor, lambda found: [_told(found), found.best_iteration_]),
    _case("LGBMRanker", _ranker, lambda found: found.predict(FEATURES)),
)


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_an_objective_that_is_a_function_is_refused(tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    made = lightgbm.LGBMRegressor(
        objective=lambda wanted, found: (found - wanted, np.ones_like(found)), n_estimators=2, verbosity=-1
    )
    made.fit(FEATURES, amounts(0))
    model = reg.init(tmp_path / "registry", cache_folder=tmp_path / "cache").model("m")
    with pytest.raises(InvalidInputError, match="booster_"):
        model.save(made)
    assert model.save(made.booster_).created
