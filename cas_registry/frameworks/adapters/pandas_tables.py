"""Tables of pandas as parquet: columns, their types and the index, no code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.model.manifest import SavedObject
from cas_registry.model.schema import Column, Schema

_FILE = "table.parquet"


def _matches(obj: object) -> bool:
    return is_a(obj, "pandas:DataFrame")


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    del options
    obj.to_parquet(folder / _FILE, engine="pyarrow")
    return Saved("parquet", schema=Schema(inputs=tuple(Column(str(name), str(kind)) for name, kind in obj.dtypes.items())))


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    del stored, options
    import pandas as pd

    return pd.read_parquet(folder / _FILE, engine="pyarrow")


ADAPTER = Adapter(
    name="pandas",
    modules=("pandas",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"pandas": "pandas", "pyarrow": "pyarrow"},
    formats=("parquet",),
)
