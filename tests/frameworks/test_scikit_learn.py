"""Estimators, pipelines and transformers of scikit-learn."""

from pathlib import Path

import numpy as np
import pytest

from tests.frameworks.round_trip import Case, check

FEATURES = np.random.default_rng(7).normal(size=(200, 8))


def _targets(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(scale=0.3, size=len(FEATURES))
    return (FEATURES[:, 0] + FEATURES[:, 1] * FEATURES[:, 2] + noise > 0).astype(int)


def _logistic(seed: int):
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=0.5).fit(FEATURES, _targets(seed))


CASES = (
    Case(
        "scikit-learn LogisticRegression",
        ("sklearn", "skops"),
        _logistic,
        lambda found: found.predict_proba(FEATURES),
        "scikit-learn",
        "skops",
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
