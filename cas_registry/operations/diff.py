"""What differs between two versions: files, tensors, bytes shared and new, params and metrics.

From trees and maps alone, unless the tensors' values are asked for.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from cas_registry.model.canonical import Scalar
from cas_registry.model.ids import ChunkId
from cas_registry.operations.progress import Progress
from cas_registry.operations.tensor_diff import TensorDiff, diff_tensors
from cas_registry.operations.version_files import VersionFile, list_files, locate_files
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores


class Change(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    RENAMED = "renamed"


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file that differs. `new_bytes` of the new file are in no chunk of the old version; `shared_bytes` are.

    For a removed file both are 0; `old_path` is set for a renamed one.
    """

    change: Change
    path: str
    old_path: str | None
    old_size_bytes: int
    size_bytes: int
    shared_bytes: int
    new_bytes: int


@dataclass(frozen=True, slots=True)
class VersionDiff:
    """The difference from `old` to `new`. `params` and `metrics` hold (old, new) for each name that differs, None where absent."""

    old: Version
    new: Version
    files: tuple[FileChange, ...]
    unchanged_files: int
    shared_bytes: int
    new_bytes: int
    params: Mapping[str, tuple[Scalar, Scalar]]
    metrics: Mapping[str, tuple[Scalar, Scalar]]
    tensors: TensorDiff

    @property
    def is_empty(self) -> bool:
        """Whether both versions hold the same files (their params and metrics may differ)."""
        return not self.files


def diff_versions(stores: Stores, old: Version, new: Version, *, values: bool = False, progress: Progress) -> VersionDiff:
    """Compare two versions, of one model or of two."""
    commits = stores.objects.read_commits([old.commit, new.commit])
    old_files = {file.path: file for file in list_files(stores.objects, old.tree)[0]}
    new_files = {file.path: file for file in list_files(stores.objects, new.tree)[0]}
    changes: list[FileChange] = []
    same = {path for path, file in new_files.items() if path in old_files and _equal(file, old_files[path])}
    if len(same) < max(len(old_files), len(new_files)):
        changes = _changes(stores, old, new, old_files, new_files, same)
    total = sum(file.entry.size_bytes for file in new_files.values())
    new_bytes = sum(change.new_bytes for change in changes)
    return VersionDiff(
        old=old,
        new=new,
        files=tuple(changes),
        unchanged_files=len(same),
        shared_bytes=total - new_bytes,
        new_bytes=new_bytes,
        params=_side_by_side(commits[0].params, commits[1].params),
        metrics=_side_by_side(commits[0].metrics, commits[1].metrics),
        tensors=diff_tensors(stores, old, new, values=values, progress=progress),
    )


def _equal(left: VersionFile, right: VersionFile) -> bool:
    return left.entry.id == right.entry.id and left.entry.mode == right.entry.mode


def _changes(
    stores: Stores, old: Version, new: Version, old_files: Mapping[str, VersionFile], new_files: Mapping[str, VersionFile],
    same: set[str],
) -> list[FileChange]:  # fmt: skip
    removed = [file for path, file in old_files.items() if path not in new_files]
    fresh = [file for path, file in new_files.items() if path not in same]
    old_chunks = {
        located.placement.chunk for row in locate_files(stores.objects, old.map, old_files.values()).values() for located in row
    }
    rows = locate_files(stores.objects, new.map, fresh)
    by_id: dict[object, list[VersionFile]] = defaultdict(list)
    for file in reversed(removed):
        by_id[file.entry.id].append(file)
    changes: list[FileChange] = []
    counted: set[ChunkId] = set()
    renamed: set[str] = set()
    for file in fresh:
        new_bytes = 0
        for located in rows[file.path]:
            if located.placement.chunk not in old_chunks and located.placement.chunk not in counted:
                counted.add(located.placement.chunk)
                new_bytes += located.placement.raw_bytes
        before = old_files.get(file.path)
        kind, old_path = (Change.CHANGED, None) if before else (Change.ADDED, None)
        if before is None and file.entry.size_bytes and by_id.get(file.entry.id):
            before = by_id[file.entry.id].pop()
            kind, old_path = Change.RENAMED, before.path
            renamed.add(before.path)
        size = file.entry.size_bytes
        changes.append(
            FileChange(kind, file.path, old_path, before.entry.size_bytes if before else 0, size, size - new_bytes, new_bytes)
        )
    changes += [
        FileChange(Change.REMOVED, file.path, None, file.entry.size_bytes, 0, 0, 0)
        for file in removed
        if file.path not in renamed
    ]
    return sorted(changes, key=lambda change: change.path)


def _side_by_side(old: Mapping[str, Scalar], new: Mapping[str, Scalar]) -> dict[str, tuple[Scalar, Scalar]]:
    return {
        name: (old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if name not in old or name not in new or repr(old[name]) != repr(new[name])
    }
