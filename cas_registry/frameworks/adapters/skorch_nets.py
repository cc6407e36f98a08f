"""Nets of skorch: the module's weights as safetensors and the history as JSON, its own way, for a net to be filled (`into`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cas_registry.errors import InvalidInputError
from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.frameworks.hyperparameters import flat_params
from cas_registry.frameworks.state_dicts import WEIGHTS
from cas_registry.frameworks.trees import read_tree, write_tree
from cas_registry.model.manifest import SavedObject

_HISTORY = "history.json"
_FITTED = "fitted"
_CLASSES = "classes_inferred_"  # the labels of a classifier


def _matches(obj: object) -> bool:
    return is_a(obj, "skorch.net:NeuralNet")


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    del options
    if not getattr(obj, "initialized_", False):
        raise InvalidInputError(f"this {type(obj).__name__} has no module yet: fit or initialize it first")
    obj.save_params(f_params=str(folder / WEIGHTS), f_history=str(folder / _HISTORY), use_safetensors=True)
    classes = getattr(obj, _CLASSES, None)
    if classes is not None:
        write_tree({_CLASSES: classes.tolist() if classes.dtype.kind in "OU" else classes}, folder, _FITTED)
    return Saved("safetensors", params=flat_params(obj.get_params(deep=False)))


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    del stored
    net = options.more.get("into")
    if net is None:
        raise InvalidInputError('give a net to fill, as in load(..., options={"into": NeuralNetClassifier(Module)})')
    if not getattr(net, "initialized_", False):
        net.initialize()
    net.load_params(f_params=str(folder / WEIGHTS), f_history=str(folder / _HISTORY), use_safetensors=True)
    if (folder / f"{_FITTED}.json").exists():
        import numpy as np

        net.classes_inferred_ = np.asarray(read_tree(folder, _FITTED)[_CLASSES])
    return net


ADAPTER = Adapter(
    name="skorch",
    modules=("skorch",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"skorch": "skorch", "torch": "torch", "safetensors": "safetensors"},
    formats=("safetensors",),
    load_options=("into",),
)
