"""Arrays of numpy, one or several by name, as npz: read without pickle, so arrays of objects are refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cas_registry.errors import InvalidInputError
from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.model.manifest import SavedObject

_FILE = "arrays.npz"
_ALONE = "array"


def _matches(obj: object) -> bool:
    if isinstance(obj, Mapping):
        return bool(obj) and all(isinstance(name, str) and is_a(found, "numpy:ndarray") for name, found in obj.items())
    return is_a(obj, "numpy:ndarray")


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    del options
    import numpy as np

    arrays = dict(obj) if isinstance(obj, Mapping) else {_ALONE: obj}
    if objects := sorted(name for name, array in arrays.items() if array.dtype.hasobject):
        raise InvalidInputError(
            f"arrays of Python objects are pickles within npz: {', '.join(objects)}; give them a type of numbers or text"
        )
    with (folder / _FILE).open("wb") as file:
        np.savez(file, **arrays)
    return Saved("npz", {"several": isinstance(obj, Mapping)})


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    del options
    import numpy as np

    with np.load(folder / _FILE, allow_pickle=False) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    return found if stored.details.get("several") else found[_ALONE]


ADAPTER = Adapter(
    name="numpy",
    modules=("numpy",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"numpy": "numpy"},
    formats=("npz",),
)
