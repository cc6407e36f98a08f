"""Folders on disk that belong to a registry: the binding, and what a folder remembers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cas_registry.face.world import AnyPath
from cas_registry.model.ids import CommitId, TreeId
from cas_registry.worktree.binding import (
    Binding,
    FolderState,
    find_bound_folder,
    is_secret,
    read_binding,
    read_state,
    write_binding,
    write_state,
)
from cas_registry.worktree.target import TargetFolder

if TYPE_CHECKING:
    from cas_registry.face.registry import Registry


@dataclass(frozen=True, slots=True)
class BoundFolder:
    """A working folder with a `.reg/config.toml`: its registry (absolute, where it is a folder), and what it last dealt with."""

    folder: Path
    registry: str
    model: str | None
    storage_options: Mapping[str, Any]
    state: FolderState | None


def find_binding(start: AnyPath) -> BoundFolder | None:
    """The nearest folder at or above `start` that is bound to a registry. InvalidInputError if its configuration is damaged."""
    folder = find_bound_folder(Path(fspath(start)).absolute())
    if folder is None:
        return None
    binding = read_binding(folder)
    registry = binding.registry if "://" in binding.registry else str(folder / binding.registry)
    return BoundFolder(folder, registry, binding.model, binding.storage_options, read_state(folder))


def bind_folder(
    folder: AnyPath, registry: Registry, *, model: str | None = None, storage_options: Mapping[str, Any] | None = None
) -> BoundFolder:
    """Bind a folder to a registry. Of the storage options only plain ones that look like no secret are written down."""
    path = Path(fspath(folder)).absolute()
    kept = plain_options(storage_options or {})
    write_binding(path, Binding(registry.url, model, kept))
    return BoundFolder(path, registry.url, model, kept, read_state(path))


def plain_options(storage_options: Mapping[str, Any]) -> dict[str, str | bool | int]:
    """The storage options that may be written down or shown: text, numbers and booleans whose names do not speak of secrets."""
    return {
        name: value for name, value in storage_options.items() if isinstance(value, str | bool | int) and not is_secret(name)
    }


def remember_version(
    keeper: AnyPath, held: AnyPath, registry: Registry, model: str, commit: CommitId, tree: TreeId, *, branch: str | None = None
) -> None:
    """Note in `keeper/.reg/state.json` that the folder `held` (the same, or one that it works with) holds a version."""
    folder, content = Path(fspath(keeper)).absolute(), Path(fspath(held)).absolute()
    where = content.relative_to(folder) if content.is_relative_to(folder) else content
    state = FolderState(registry.id, model, where.as_posix(), commit.hex, tree, branch=branch)
    if read_state(folder) == state:
        return
    with TargetFolder(folder) as opened:
        write_state(opened, state)
