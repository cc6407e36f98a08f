"""Explainers of SHAP. Its own way of saving is a row of pickles, and there is no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.frameworks.hyperparameters import flat_params
from cas_registry.model.manifest import SavedObject

_FILE = "explainer.shap"


def _matches(obj: object) -> bool:
    return is_a(obj, "shap.explainers._explainer:Explainer")


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    del options
    import pickle

    with (folder / _FILE).open("wb") as file:
        pickle.dump(obj, file)
    told = {name: getattr(obj, name, None) for name in ("algorithm", "model_output", "feature_perturbation")}
    return Saved(
        "pickle", params=flat_params({"explainer": type(obj), **{name: value for name, value in told.items() if value}})
    )


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    del stored, options
    import pickle

    with (folder / _FILE).open("rb") as file:
        return pickle.load(file)


ADAPTER = Adapter(
    name="shap",
    modules=("shap",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"shap": "shap"},
    pickle_formats=("pickle",),
)
