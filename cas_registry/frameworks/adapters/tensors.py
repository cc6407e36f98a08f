"""Tensors of PyTorch and JAX by name, nested as they come: state dicts, checkpoints, trees of parameters. Safetensors, and JSON for what is no array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions
from cas_registry.frameworks.trees import array_kind, has_array, read_tree, write_tree
from cas_registry.model.manifest import SavedObject

_STEM = "tensors"
_KINDS = ("torch", "jax")


def _matches(obj: object) -> bool:
    return array_kind(obj) in _KINDS or (
        (type(obj) in {dict, list, tuple} or type(obj).__name__ == "OrderedDict") and has_array(obj, *_KINDS)
    )


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    del options
    write_tree(obj, folder, _STEM)
    libraries = {kind: kind for kind in _KINDS if array_kind(obj) == kind or has_array(obj, kind)}
    return Saved("safetensors", libraries=libraries)


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    del stored, options
    return read_tree(folder, _STEM)


ADAPTER = Adapter(
    name="tensors",
    modules=("torch", "jax"),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"safetensors": "safetensors"},
    formats=("safetensors",),
)
