"""What PyMC samples, as ArviZ holds it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.frameworks.round_trip import Case, check


def _made(seed: int) -> Any:
    import arviz

    draws = np.random.default_rng(seed)
    return arviz.from_dict({"mu": draws.normal(size=(2, 100)), "theta": draws.normal(size=(2, 100, 3))})


def _sampled(seed: int) -> Any:
    import pymc

    observed = np.random.default_rng(seed).normal(1.0, 2.0, size=50)
    with pymc.Model():
        mu = pymc.Normal("mu", 0, 10)
        pymc.Normal("y", mu, 2.0, observed=observed)
        return pymc.sample(
            50, tune=50, chains=2, cores=1, random_seed=seed, progressbar=False, compute_convergence_checks=False
        )


def _posterior(found: Any) -> Any:
    return {str(name): values.values for name, values in found.posterior.data_vars.items()}


CASES = (
    Case("arviz InferenceData", ("arviz", "h5netcdf"), _made, _posterior, "arviz", "netcdf"),
    Case("pymc sample", ("pymc", "arviz", "h5netcdf"), _sampled, _posterior, "arviz", "netcdf"),
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
