"""What PyMC samples, as ArviZ holds it: InferenceData before version 1, a tree of xarray since."""

import importlib.util
from importlib.metadata import PackageNotFoundError, version
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


def _is_timeless() -> bool:
    """Whether HDF5 is one that does not write the time, in seconds, into every group: version 2, which h5py has from 3.15 on."""
    try:
        return tuple(map(int, version("h5py").split(".")[:2])) >= (3, 15)
    except PackageNotFoundError:
        return True


CASES = tuple(
    Case(name, modules, made, _posterior, "arviz", "netcdf", same_bytes=_is_timeless() or None)
    for name, modules, made in (
        ("arviz InferenceData", _BEFORE_1, _made),
        ("pymc sample", ("pymc", *_BEFORE_1), _sampled),
        ("arviz DataTree", ("arviz", "arviz_base", "h5netcdf", "h5py"), _made),
        ("pymc sample, DataTree", ("pymc", "arviz", "arviz_base", "h5netcdf", "h5py"), _sampled),
    )
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
