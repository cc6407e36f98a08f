"""XGBoost's boosters and its estimators, as its own UBJ: trees and parameters, no code."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.frameworks.hyperparameters import flat_params
from cas_registry.model.canonical import Scalar
from cas_registry.model.manifest import SavedObject
from cas_registry.model.schema import Column, Schema

_FILE = "model.ubj"
_BOOSTER = "Booster"
_ESTIMATORS = (
    "XGBRFClassifier",
    "XGBRFRegressor",
    "XGBClassifier",
    "XGBRegressor",
    "XGBRanker",
    "XGBModel",
)  # special ones first


def _matches(obj: object) -> bool:
    return is_a(obj, "xgboost.core:Booster", "xgboost.sklearn:XGBModel")


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    del options
    obj.save_model(folder / _FILE)
    if is_a(obj, "xgboost.core:Booster"):
        return Saved("ubj", {"estimator": _BOOSTER}, schema=_schema(obj))
    params = obj.get_params()
    details: dict[str, Scalar] = {"estimator": next(name for name in _ESTIMATORS if is_a(obj, f"xgboost.sklearn:{name}"))}
    details |= {f"param.{name}": value for name, value in params.items() if _is_kept(value)}
    return Saved("ubj", details, flat_params(params), _schema(obj.get_booster()))


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    """The booster, or the estimator with the parameters that the file does not hold. One of a class that derives from XGBoost's comes back as XGBoost's."""
    del options
    import xgboost

    name = stored.details.get("estimator")
    if name not in _ESTIMATORS:
        booster = xgboost.Booster()
        booster.load_model(folder / _FILE)
        return booster
    estimator = getattr(xgboost, str(name), None) or getattr(xgboost.sklearn, str(name))
    known = estimator().get_params()
    given = {param.removeprefix("param."): value for param, value in stored.details.items() if param.startswith("param.")}
    made = estimator(**{param: value for param, value in given.items() if param in known})
    made.load_model(folder / _FILE)
    return made


def _is_kept(value: object) -> bool:
    return isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value))


def _schema(booster: Any) -> Schema | None:
    names, kinds = booster.feature_names, booster.feature_types
    if not names:
        return None
    return Schema(inputs=tuple(Column(name, kind) for name, kind in zip(names, kinds or ["float"] * len(names), strict=True)))


def _recognizes(paths: list[str] | Any) -> SavedObject | None:
    found = [path for path in paths if path.endswith(".ubj") and "/" not in path]
    return SavedObject("xgboost", "xgboost.core.Booster", "ubj", (_FILE,)) if found == [_FILE] else None


ADAPTER = Adapter(
    name="xgboost",
    modules=("xgboost",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"xgboost": "xgboost"},
    formats=("ubj",),
    recognizes=_recognizes,
)
