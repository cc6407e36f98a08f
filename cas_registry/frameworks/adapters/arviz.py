"""What PyMC samples, as netCDF: groups of arrays with named dimensions, no code. The model itself PyMC cannot save: it is the script's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.model.manifest import SavedObject

_FILE = "inference.nc"


def _matches(obj: object) -> bool:
    return is_a(obj, "arviz.data.inference_data:InferenceData", "xarray.core.datatree:DataTree")


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    del options
    obj.to_netcdf(folder / _FILE)
    return Saved("netcdf")


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    del stored, options
    import arviz

    found = arviz.from_netcdf(folder / _FILE)
    return found.load() if hasattr(found, "load") else found


ADAPTER = Adapter(
    name="arviz",
    modules=("arviz", "arviz_base"),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"arviz": "arviz"},
    formats=("netcdf",),
)
