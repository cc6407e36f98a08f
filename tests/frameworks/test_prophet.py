"""Prophet's models."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.frameworks.round_trip import Case, check

DAYS = pd.DataFrame({"ds": pd.date_range("2025-01-01", periods=200)})


def _prophet(seed: int) -> Any:
    from prophet import Prophet

    noise = np.random.default_rng(seed).normal(size=len(DAYS))
    return Prophet(yearly_seasonality=False, uncertainty_samples=0).fit(
        DAYS.assign(y=np.sin(np.arange(len(DAYS)) / 7) + noise), seed=1
    )


CASES = (
    Case("prophet Prophet", ("prophet",), _prophet, lambda found: found.predict(DAYS)["yhat"].to_numpy(), "prophet", "json"),
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
