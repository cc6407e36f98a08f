"""Prophet's models, by its own serialiser to JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.frameworks.hyperparameters import flat_params
from cas_registry.model.manifest import SavedObject

_FILE = "model.json"
_PARAMS = (
    "growth",
    "n_changepoints",
    "changepoint_range",
    "yearly_seasonality",
    "weekly_seasonality",
    "daily_seasonality",
    "seasonality_mode",
    "seasonality_prior_scale",
    "changepoint_prior_scale",
    "holidays_prior_scale",
    "mcmc_samples",
    "interval_width",
    "uncertainty_samples",
)


def _matches(obj: object) -> bool:
    return is_a(obj, "prophet.forecaster:Prophet")


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    del options
    from prophet.serialize import model_to_json

    (folder / _FILE).write_text(model_to_json(obj), encoding="utf-8")
    return Saved("json", params=flat_params({name: getattr(obj, name, None) for name in _PARAMS}))


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    del stored, options
    from prophet.serialize import model_from_json

    return model_from_json((folder / _FILE).read_text(encoding="utf-8"))


ADAPTER = Adapter(
    name="prophet",
    modules=("prophet",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"prophet": "prophet"},
    formats=("json",),
)
