"""What the face tells of files, refs and versions."""

from __future__ import annotations

from dataclasses import dataclass

from cas_registry.model.commit import Commit
from cas_registry.model.entry import CommitStats, RefKind
from cas_registry.model.ids import CommitId, FileId, TreeId
from cas_registry.model.on_load import OnLoad
from cas_registry.model.tree import Mode
from cas_registry.store.refs import Version


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file (or, from `Model.ls`, a folder) of a version. `id` is its BLAKE3: what `b3sum` prints for a file."""

    path: str
    size_bytes: int
    id: FileId | TreeId
    mode: Mode
    on_load: OnLoad | None = None  # what its content does to whoever loads it, as found when it was committed; None of a folder

    @property
    def runs_code(self) -> bool:
        """Whether loading the file runs code, or may, as far as its content was looked at (`on_load` says how far)."""
        return self.on_load is not None and self.on_load.runs_code

    @property
    def is_folder(self) -> bool:
        return self.mode is Mode.FOLDER


@dataclass(frozen=True, slots=True)
class RefInfo:
    """A live branch or tag, the commit and version number that it stands at, and the log entry that last moved it."""

    kind: RefKind
    name: str
    commit: CommitId
    number: int
    moved: int


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """A version with its commit, what it cost when it was made, and the refs that stand at it."""

    version: Version
    commit: Commit
    stats: CommitStats | None
    branches: tuple[str, ...]
    tags: tuple[str, ...]
