"""What a working folder remembers, so that verbs may leave out the folder: which one was committed or checked out, and what it held.

A checked-out folder keeps its own `.reg`. A bound folder that is no checkout itself remembers one folder that it works with.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cas_registry.model.ids import CommitId, TreeId
from cas_registry.registry import BoundFolder, Registry, bind_folder, find_binding, remember_version

if TYPE_CHECKING:
    from cas_registry.operations.commit import CommitReport
    from cas_registry.registry import FolderState, Version


@dataclass(frozen=True, slots=True)
class Held:
    """A folder and the version that it last held."""

    folder: Path
    model: str
    commit: str
    tree: TreeId
    branch: str | None


class Workspace:
    """The bound folder, if there is one, in its dealings with one registry."""

    def __init__(self, bound: BoundFolder | None, registry: Registry) -> None:
        self._bound = bound
        self._registry = registry

    def held(self, folder: Path | None) -> Held | None:
        """What `folder` last held, by its own memory or the bound folder's; without `folder`, of the one remembered."""
        if folder is None:
            return self._remembered()
        state = self._registry.folder_state(folder)
        if state and state.folder == ".":
            return _held(folder, state)
        remembered = self._remembered()
        return remembered if remembered and remembered.folder.resolve() == folder.resolve() else None

    def default_target(self, model: str) -> Path:
        """Where a version goes if nobody says: the folder remembered, if it is of this model, else one named for the model."""
        remembered = self._remembered()
        return remembered.folder if remembered and remembered.model == model else Path(model)

    def before_checkout(self, target: Path) -> None:
        """Let a folder that was committed from here know what it holds, so that its files are not taken for edits."""
        remembered = self._remembered()
        if remembered is None or not target.is_dir() or remembered.folder.resolve() != target.resolve():
            return
        own = self._registry.folder_state(target)
        if own is None or own.folder != ".":
            commit = CommitId.parse(remembered.commit)
            self._remember(target, target, remembered.model, commit, remembered.tree, remembered.branch)

    def checked_out(self, target: Path, version: "Version", *, branch: str | None) -> None:
        """Bind the folder, and remember it here unless another one is remembered."""
        binding = find_binding(target)
        if binding is None or binding.folder.resolve() != target.resolve() or binding.registry != self._registry.url:
            options = self._bound.storage_options if self._bound and self._bound.registry == self._registry.url else {}
            bind_folder(target, self._registry, model=version.model, storage_options=options)
        remembered = self._remembered()
        if remembered is None or remembered.folder.resolve() == target.resolve():
            self._remember_here(target, version.model, version.commit, version.tree, branch)

    def committed(self, folder: Path, report: "CommitReport") -> None:
        """The folder holds what was just committed."""
        own = self._registry.folder_state(folder)
        if own and own.folder == ".":
            self._remember(folder, folder, report.model, report.commit, report.tree, report.branch)
        self._remember_here(folder, report.model, report.commit, report.tree, report.branch)

    def _remember_here(self, folder: Path, model: str, commit: CommitId, tree: TreeId, branch: str | None) -> None:
        """In the bound folder, unless that is a checkout itself: it then remembers itself alone."""
        if self._bound is None:
            return
        here = self._bound.folder
        state = self._registry.folder_state(here)
        if folder.resolve() == here.resolve() or not (state and state.folder == "."):
            self._remember(here, folder, model, commit, tree, branch)

    def _remember(self, keeper: Path, held: Path, model: str, commit: CommitId, tree: TreeId, branch: str | None) -> None:
        remember_version(keeper.resolve(), held.resolve(), self._registry, model, commit, tree, branch=branch)

    def _remembered(self) -> Held | None:
        state = self._registry.folder_state(self._bound.folder) if self._bound else None
        return _held(self._bound.folder / state.folder, state) if self._bound and state else None


def _held(folder: Path, state: "FolderState") -> Held:
    return Held(_shorten(folder), state.model, state.commit, state.tree, state.branch)


def _shorten(folder: Path) -> Path:
    """Relative to the current folder where it lies below it."""
    absolute, here = folder.resolve(), Path.cwd()
    return absolute.relative_to(here) if absolute.is_relative_to(here) else absolute
