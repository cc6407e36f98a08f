"""Results of statsmodels."""

from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.data import TABLE, amounts, classes
from tests.frameworks.round_trip import Case, check

NUMBERS = TABLE.drop(columns="town")


def _ols(seed: int) -> Any:
    import statsmodels.api as sm

    return sm.OLS(amounts(seed), NUMBERS).fit()


def _logit(seed: int) -> Any:
    import statsmodels.api as sm

    return sm.Logit(classes(seed), NUMBERS).fit(disp=False)


def _case(name: str, train: Any, predict: Any) -> Case:
    return Case(f"statsmodels {name}", ("statsmodels",), train, predict, "statsmodels", "pickle", needs_pickle=True)


CASES = (
    _case("OLS", _ols, lambda found: [found.predict(NUMBERS), found.params, found.pvalues]),
    _case("Logit", _logit, lambda found: [found.predict(NUMBERS), found.params]),
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
