"""Flax: the state of NNX modules, train states and frozen trees of parameters, as safetensors with a JSON tree. What has a class is filled (`into`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cas_registry.errors import InvalidInputError
from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.frameworks.trees import read_tree, write_tree
from cas_registry.frameworks.trusted import full_name
from cas_registry.model.manifest import SavedObject

_STEM = "state"
_NNX = "flax.nnx:Module"
_FROZEN = "flax.core.frozen_dict:FrozenDict"
_TRAIN_STATE = "flax.training.train_state:TrainState"


def _matches(obj: object) -> bool:
    return is_a(obj, _NNX, _FROZEN, _TRAIN_STATE)


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    del options
    if is_a(obj, _NNX):
        from flax import nnx

        tree: Any = nnx.to_pure_dict(nnx.state(obj))
        how = "nnx"
    elif is_a(obj, _FROZEN):
        tree, how = obj.unfreeze(), "frozen"
    else:
        from flax import serialization

        tree, how = serialization.to_state_dict(obj), "train-state"
    write_tree(tree, folder, _STEM)
    return Saved("safetensors", {"class": full_name(type(obj)), "how": how}, {"parameters": _count(tree.get("params", tree))})


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    tree, how, target = read_tree(folder, _STEM), stored.details.get("how"), options.more.get("into")
    if how == "frozen":
        from flax.core import freeze

        return freeze(tree)
    if target is None:
        raise InvalidInputError(
            f'give a {stored.details.get("class")} to fill, as in load(..., options={{"into": Net(rngs=nnx.Rngs(0))}})'
        )
    try:
        if how == "nnx":
            from flax import nnx

            state = nnx.state(target)
            nnx.replace_by_pure_dict(state, tree)
            nnx.update(target, state)
            return target
        from flax import serialization

        return serialization.from_state_dict(target, tree)
    except (ValueError, KeyError) as error:
        raise InvalidInputError(f"the state does not fit into this {type(target).__name__}: {str(error)[:1000]}") from error


def _count(tree: Any) -> int:
    """The elements of floating point, those of random states apart."""
    if isinstance(tree, Mapping):
        return sum(_count(item) for item in tree.values())
    if isinstance(tree, (list, tuple)):
        return sum(_count(item) for item in tree)
    return int(tree.size) if hasattr(tree, "size") and "float" in str(getattr(tree, "dtype", "")) else 0


ADAPTER = Adapter(
    name="flax",
    modules=("flax",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"flax": "flax", "jax": "jax", "safetensors": "safetensors"},
    formats=("safetensors",),
    load_options=("into",),
)
