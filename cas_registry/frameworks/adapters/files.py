"""Files and folders as they are: a path is the object, and what is loaded is the path where it lies."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions
from cas_registry.model.manifest import SavedObject


def _matches(obj: object) -> bool:
    return isinstance(obj, (str, os.PathLike)) and Path(obj).exists()


def _save(obj: str | os.PathLike[str], folder: Path, options: SaveOptions) -> Saved:
    del options
    path = Path(obj).resolve()  # a link stands for what it names
    if path.is_dir():
        shutil.copytree(path, folder, dirs_exist_ok=True, copy_function=_place)
        return Saved("folder")
    _place(str(path), str(folder / Path(obj).name))
    return Saved("file", {"name": Path(obj).name})


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Path:
    del options
    return folder / stored.files[0] if stored.format == "file" else folder


def _place(source: str, target: str) -> str:
    """A second name where the file system can, for no byte is copied then; a copy elsewhere."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


ADAPTER = Adapter(
    name="files",
    modules=(),
    matches=_matches,
    save=_save,
    load=_load,
    formats=("file", "folder"),
    keeps_files=True,
)
