"""Modules of Equinox: their arrays as safetensors, by where they stand. Functions and sizes are those of the module that is filled (`into`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cas_registry.errors import InvalidInputError
from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.frameworks.trees import array_kind, read_tree, write_tree
from cas_registry.frameworks.trusted import full_name
from cas_registry.model.manifest import SavedObject

_STEM = "arrays"


def _matches(obj: object) -> bool:
    return is_a(obj, "equinox:Module")


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    del options
    arrays = {name: value for name, value in _leaves(obj).items() if array_kind(value)}
    write_tree(arrays, folder, _STEM)
    return Saved(
        "safetensors", {"class": full_name(type(obj))}, {"parameters": sum(int(value.size) for value in arrays.values())}
    )


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    import jax

    target = options.more.get("into")
    if target is None:
        raise InvalidInputError(
            f'give a {stored.details.get("class")} to fill, as in load(..., options={{"into": Net(key=key)}})'
        )
    arrays = read_tree(folder, _STEM)
    leaves = _leaves(target)
    expected = {name: value.shape for name, value in leaves.items() if array_kind(value)}
    if expected != {name: value.shape for name, value in arrays.items()}:
        raise InvalidInputError(f"the arrays do not fit into this {type(target).__name__}: other names, or other shapes")
    return jax.tree_util.tree_unflatten(
        jax.tree_util.tree_structure(target), [arrays.get(name, value) for name, value in leaves.items()]
    )


def _leaves(obj: Any) -> dict[str, Any]:
    import jax

    return {jax.tree_util.keystr(path): value for path, value in jax.tree_util.tree_flatten_with_path(obj)[0]}


ADAPTER = Adapter(
    name="equinox",
    modules=("equinox",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"equinox": "equinox", "jax": "jax", "safetensors": "safetensors"},
    formats=("safetensors",),
    load_options=("into",),
)
