"""Learners of fastai: the weights of their model, and of their optimizer, as safetensors, for a learner to be filled (`into`).

The whole learner with its data pipeline is a pickle, which fastai calls an export: the option `export` writes that, where pickles are allowed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cas_registry.errors import InvalidInputError
from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.frameworks.hyperparameters import flat_params
from cas_registry.frameworks.state_dicts import fill_module, read_state, write_state
from cas_registry.frameworks.trees import read_tree, write_tree
from cas_registry.model.manifest import SavedObject

_EXPORT = "export.pkl"
_OPTIMIZER = "optimizer"


def _matches(obj: object) -> bool:
    return is_a(obj, "fastai.learner:Learner")


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    params = flat_params(
        {
            "parameters": sum(item.numel() for item in obj.model.parameters()),
            "lr": obj.lr,
            "wd": obj.wd,
            "loss_func": type(obj.loss_func).__name__,
            "architecture": type(obj.model).__name__,
        }
    )
    if options.more.get("export"):
        if not options.allow_pickle:
            raise InvalidInputError(
                "an exported learner is a pickle: save(..., allow_pickle=True), or leave out the option export"
            )
        obj.export(folder / _EXPORT)
        return Saved("export", params=params)
    write_state(obj.model.state_dict(), folder)
    if obj.opt is not None:
        state = obj.opt.state_dict()
        write_tree({"state": list(state["state"]), "hypers": list(map(dict, state["hypers"]))}, folder, _OPTIMIZER)
    return Saved("safetensors", params=params)


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    if stored.format == "export":
        from fastai.learner import load_learner

        return load_learner(folder / _EXPORT, cpu=True)
    learner = options.more.get("into")
    if learner is None:
        raise InvalidInputError(
            'the weights of a learner were saved: give one to fill, as in load(..., options={"into": tabular_learner(dls)}); '
            'a whole one is an export: save(..., options={"export": True}, allow_pickle=True)'
        )
    fill_module(learner.model, read_state(folder), what="the model of the learner")
    if (folder / f"{_OPTIMIZER}.json").exists():
        if learner.opt is None:
            learner.create_opt()
        from fastcore.foundation import L

        learner.opt.load_state_dict({name: L(values) for name, values in read_tree(folder, _OPTIMIZER).items()})
    return learner


ADAPTER = Adapter(
    name="fastai",
    modules=("fastai",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"fastai": "fastai", "torch": "torch", "safetensors": "safetensors"},
    formats=("safetensors",),
    pickle_formats=("export",),
    save_options=("export",),
    load_options=("into",),
)
