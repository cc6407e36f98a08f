"""What PyMC samples, as ArviZ holds it: InferenceData before version 1, a tree of xarray since."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.frameworks.round_trip import Case, check

_IS_TREE = importlib.util.find_spec("arviz_base") is not None
_BEFORE_1 = ("arviz before 1", "h5netcdf", "h5py") if _IS_TREE else ("arviz", "h5netcdf", "h5py")


def _made(seed: int) -> Any:
    import arviz

    draws = np.random.default_rng(seed)
    posterior = {"mu": draws.normal(size=(2, 100)), "theta": draws.normal(size=(2, 100, 3))}
    return arviz.from_dict({"posterior": posterior} if _IS_TREE else posterior)


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
    Case("arviz InferenceData", _BEFORE_1, _made, _posterior, "arviz", "netcdf"),
    Case("pymc sample", ("pymc", *_BEFORE_1), _sampled, _posterior, "arviz", "netcdf"),
    Case("arviz DataTree", ("arviz", "arviz_base", "h5netcdf", "h5py"), _made, _posterior, "arviz", "netcdf"),
    Case("pymc sample, DataTree", ("pymc", "arviz", "arviz_base", "h5netcdf", "h5py"), _sampled, _posterior, "arviz", "netcdf"),
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
