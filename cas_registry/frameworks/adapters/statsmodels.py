"""Results of statsmodels. Its own way of saving is a pickle, and there is no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.frameworks.hyperparameters import flat_params
from cas_registry.model.manifest import SavedObject
from cas_registry.model.schema import Column, Schema

_FILE = "results.pickle"


def _matches(obj: object) -> bool:
    return is_a(obj, "statsmodels.base.wrapper:ResultsWrapper", "statsmodels.base.model:Results")


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    del options
    model = obj.model
    told = {"model": type(model), "nobs": getattr(obj, "nobs", None), "df_model": getattr(obj, "df_model", None)}
    saved = Saved("pickle", params=flat_params(told), schema=_schema(model))
    obj.save(str(folder / _FILE))  # last: what is asked of results, they keep
    return saved


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    del stored, options
    from statsmodels.iolib.smpickle import load_pickle

    return load_pickle(str(folder / _FILE))


def _schema(model: Any) -> Schema | None:
    inputs, outputs = getattr(model, "exog_names", None), getattr(model, "endog_names", None)
    if not isinstance(inputs, list):
        return None
    named = [outputs] if isinstance(outputs, str) else outputs or []
    return Schema(*(tuple(Column(str(name), "float64") for name in names) for names in (inputs, named)))


ADAPTER = Adapter(
    name="statsmodels",
    modules=("statsmodels",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"statsmodels": "statsmodels"},
    pickle_formats=("pickle",),
)
