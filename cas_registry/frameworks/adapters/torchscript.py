"""Programs of TorchScript: one archive that holds code and, for its constants, a pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.model.manifest import SavedObject

_FILE = "model.torchscript"


def _matches(obj: object) -> bool:
    return is_a(obj, "torch.jit:ScriptModule", "torch.jit:ScriptFunction")


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    del options
    obj.save(str(folder / _FILE))
    return Saved("torchscript")


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    del stored, options
    import torch

    return torch.jit.load(folder / _FILE, map_location="cpu")


ADAPTER = Adapter(
    name="torchscript",
    modules=("torch",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"torch": "torch"},
    pickle_formats=("torchscript",),
)
