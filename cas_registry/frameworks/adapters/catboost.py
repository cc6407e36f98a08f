"""CatBoost's models, as its own cbm: trees, parameters and labels, no code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.frameworks.hyperparameters import flat_params
from cas_registry.model.manifest import SavedObject
from cas_registry.model.schema import Column, Schema

_FILE = "model.cbm"
_KINDS = ("CatBoostClassifier", "CatBoostRegressor", "CatBoostRanker", "CatBoost")  # special ones first


def _matches(obj: object) -> bool:
    return is_a(obj, "catboost.core:CatBoost")


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    del options
    obj.save_model(str(folder / _FILE), format="cbm")
    kind = next(name for name in _KINDS if is_a(obj, f"catboost.core:{name}"))
    columns = tuple(Column(name, "float") for name in obj.feature_names_ or ())
    return Saved("cbm", {"class": kind}, flat_params(obj.get_params()), Schema(inputs=columns) if columns else None)


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    """One of a class that derives from CatBoost's comes back as CatBoost's."""
    del options
    import catboost

    kind = stored.details.get("class")
    made = getattr(catboost, str(kind) if kind in _KINDS else "CatBoost")()
    return made.load_model(str(folder / _FILE), format="cbm")


ADAPTER = Adapter(
    name="catboost",
    modules=("catboost",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"catboost": "catboost"},
    formats=("cbm",),
)
