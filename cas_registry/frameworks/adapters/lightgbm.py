"""LightGBM's boosters and its estimators, as its own text: trees and parameters, no code."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from cas_registry.errors import InvalidInputError
from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.frameworks.hyperparameters import flat_params
from cas_registry.model.canonical import Scalar
from cas_registry.model.manifest import SavedObject
from cas_registry.model.schema import Column, Schema

_FILE = "model.txt"
_CLASSES = "classes.npy"
_BOOSTER = "Booster"
_ESTIMATORS = ("LGBMClassifier", "LGBMRegressor", "LGBMRanker")


def _matches(obj: object) -> bool:
    return is_a(obj, "lightgbm.basic:Booster", *(f"lightgbm.sklearn:{name}" for name in _ESTIMATORS))


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    del options
    if is_a(obj, "lightgbm.basic:Booster"):
        obj.save_model(folder / _FILE)
        return Saved(
            "text", {"estimator": _BOOSTER, "best_iteration": obj.best_iteration}, flat_params(obj.params), _schema(obj)
        )
    params = obj.get_params()
    if callable(params.get("objective")):
        raise InvalidInputError(
            "an objective that is a function is not in LightGBM's text; save the booster alone (estimator.booster_)"
        )
    obj.booster_.save_model(folder / _FILE, num_iteration=-1)
    details: dict[str, Scalar] = {
        "estimator": next(name for name in _ESTIMATORS if is_a(obj, f"lightgbm.sklearn:{name}")),
        "best_iteration": obj.booster_.best_iteration,
        "objective": obj.objective_,
        "has_names": hasattr(obj, "feature_names_in_"),
    }
    details |= {f"param.{name}": value for name, value in params.items() if _is_kept(value)}
    if is_a(obj, "lightgbm.sklearn:LGBMClassifier"):
        _save_classes(obj.classes_, folder)
    return Saved("text", details, flat_params(params), _schema(obj.booster_))


def _save_classes(classes: Any, folder: Path) -> None:
    import numpy as np

    found = np.asarray(classes)
    if found.dtype.hasobject:
        found = found.astype(str) if all(isinstance(name, str) for name in found.tolist()) else found
    if found.dtype.hasobject:
        raise InvalidInputError("the labels of the classes are Python objects; give them as numbers or text")
    np.save(folder / _CLASSES, found, allow_pickle=False)


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    """The booster, or the estimator around it. One of a class that derives from LightGBM's comes back as LightGBM's.

    LightGBM has no loader for its estimators: what `fit` sets is set here, which the tests hold against the real one.
    """
    del options
    import lightgbm

    booster = lightgbm.Booster(model_file=folder / _FILE)
    best = stored.details.get("best_iteration")
    booster.best_iteration = best if isinstance(best, int) else -1
    name = stored.details.get("estimator")
    if name not in _ESTIMATORS:
        return booster
    kind = getattr(lightgbm, str(name))
    given = {param.removeprefix("param."): value for param, value in stored.details.items() if param.startswith("param.")}
    made = kind(**given)
    made._Booster = booster
    made._n_features = made._n_features_in = booster.num_feature()
    made._objective = stored.details.get("objective")
    made._best_iteration = booster.best_iteration
    made._fitted_with_feature_names = bool(stored.details.get("has_names"))
    made.fitted_ = True
    if name == "LGBMClassifier":
        _set_classes(made, folder)
    return made


def _set_classes(made: Any, folder: Path) -> None:
    import numpy as np
    from sklearn.preprocessing import LabelEncoder

    made._le = LabelEncoder().fit(np.load(folder / _CLASSES, allow_pickle=False))
    made._classes = made._le.classes_
    made._n_classes = len(made._classes)


def _is_kept(value: object) -> bool:
    return isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value))


def _schema(booster: Any) -> Schema:
    return Schema(inputs=tuple(Column(name, "float64") for name in booster.feature_name()))


ADAPTER = Adapter(
    name="lightgbm",
    modules=("lightgbm",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"lightgbm": "lightgbm"},
    formats=("text",),
)
