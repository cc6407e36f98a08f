"""Modules of MLX: their weights as safetensors, its own way. The class is not stored: who loads gives a module to fill (`into`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cas_registry.errors import InvalidInputError
from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.frameworks.trusted import full_name
from cas_registry.model.manifest import SavedObject

_FILE = "model.safetensors"


def _matches(obj: object) -> bool:
    return is_a(obj, "mlx.nn.layers.base:Module")


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    del options
    from mlx.utils import tree_flatten

    obj.save_weights(str(folder / _FILE))
    count = sum(value.size for _, value in tree_flatten(obj.parameters()))
    return Saved("safetensors", {"class": full_name(type(obj))}, {"parameters": count})


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    import mlx.core

    module = options.more.get("into")
    if module is None:
        raise InvalidInputError(f'give a {stored.details.get("class")} to fill, as in load(..., options={{"into": Net()}})')
    try:
        module.load_weights(str(folder / _FILE))
    except ValueError as error:
        raise InvalidInputError(f"the weights do not fit into this {type(module).__name__}: {str(error)[:1000]}") from error
    mlx.core.eval(module.parameters())  # reads what is lazy while the files are there
    return module


ADAPTER = Adapter(
    name="mlx",
    modules=("mlx",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"mlx": "mlx.core"},
    formats=("safetensors",),
    load_options=("into",),
)
