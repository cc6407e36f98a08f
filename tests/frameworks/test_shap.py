"""Explainers of SHAP, alone and beside the model that they explain."""

from pathlib import Path
from typing import Any

import pytest

import cas_registry as reg
from tests.frameworks.data import FEATURES, amounts
from tests.frameworks.round_trip import Case, assert_same, check


def _forest(seed: int) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(5, max_depth=3, random_state=seed).fit(FEATURES, amounts(seed))


def _trees(seed: int) -> Any:
    import shap

    return shap.TreeExplainer(_forest(seed))


def _linear(seed: int) -> Any:
    import shap
    from sklearn.linear_model import LinearRegression

    return shap.LinearExplainer(LinearRegression().fit(FEATURES, amounts(seed)), FEATURES)


CASES = tuple(
    Case(f"shap {name}", ("shap",), train, lambda found: found.shap_values(FEATURES[:5]), "shap", "pickle", needs_pickle=True)
    for name, train in (("TreeExplainer", _trees), ("LinearExplainer", _linear))
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


@pytest.mark.filterwarnings("ignore")
def test_a_model_and_its_explainer_are_one_version(tmp_path: Path) -> None:
    shap = pytest.importorskip("shap")
    pytest.importorskip("skops")
    model = reg.init(tmp_path / "registry", cache_folder=tmp_path / "cache").model("m")
    forest = _forest(0)
    model.save(forest, explainer=shap.TreeExplainer(forest))
    assert {name: found.needs_pickle for name, found in model.manifest().objects.items()} == {"model": False, "explainer": True}
    assert_same(model.load().predict(FEATURES), forest.predict(FEATURES))  # the pickle beside it keeps nobody from the model
    explainer = model.load("main", "explainer", allow_pickle=True)
    assert_same(explainer.shap_values(FEATURES[:3]), shap.TreeExplainer(forest).shap_values(FEATURES[:3]))
