"""Programs of torch.export: an archive whose reader evaluates expressions and unpickles sample inputs, so that it counts as a pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.model.manifest import SavedObject
from cas_registry.model.schema import Column, Schema

_FILE = "model.pt2"


def _matches(obj: object) -> bool:
    return is_a(obj, "torch.export:ExportedProgram")


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    del options
    import torch

    torch.export.save(obj, folder / _FILE)
    return Saved("pt2", schema=_schema(obj))


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    del stored, options
    import torch

    return torch.export.load(folder / _FILE)


def _schema(program: Any) -> Schema:
    signature = program.graph_signature
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}

    def columns(names: Any) -> tuple[Column, ...]:
        return tuple(
            Column(
                name,
                str(values[name].dtype).removeprefix("torch."),
                tuple(size if type(size) is int else None for size in values[name].shape),
            )
            for name in names
            if is_a(values.get(name), "torch:Tensor")
        )

    return Schema(columns(signature.user_inputs), columns(signature.user_outputs))


ADAPTER = Adapter(
    name="torch-export",
    modules=("torch",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"torch": "torch"},
    pickle_formats=("pt2",),
)
