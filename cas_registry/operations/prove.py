"""Proving that a folder holds exactly one version: by its files alone, and one id. No registry is asked.

Every byte is read. The files make up trees, whose hashes end in one tree's id; a commit's id is proven by the commit's bytes, which name the
tree. What a commit would leave out (`.regignore`, `.git`) counts: only a checkout's own `.reg` may lie beside the version.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cas_registry.errors import ChangedDuringCommitError, FormatError, HostileNameError, InvalidInputError
from cas_registry.model.ids import CommitId, FileId, TreeId
from cas_registry.model.lockfile import LOCK_NAME, LockedVersion
from cas_registry.model.tree import Mode
from cas_registry.operations.lock import read_lock
from cas_registry.operations.progress import Progress
from cas_registry.operations.snapshot import build_trees, hash_file
from cas_registry.operations.transfer import map_ordered, worker_pool
from cas_registry.worktree.scan import FileStat, Snapshot, scan_all
from cas_registry.worktree.target import PRIVATE_FOLDER

_FILES_IN_FLIGHT = 64


@dataclass(frozen=True, slots=True)
class Proof:
    """What a folder holds, and whether that is the version of the id that was given.

    `tree` is the tree that the folder's files make up (None where they make up none), `wanted` the one that the id stands for. `extra` are paths that no
    version can hold, or that a commit would leave out. `added`, `changed` and `removed` tell how the folder differs, as far as the files of the version
    are known: `listed`.
    """

    folder: Path
    id: str
    commit: CommitId | None
    wanted: TreeId
    tree: TreeId | None
    files: int
    size_bytes: int
    extra: tuple[str, ...]
    listed: bool = False
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether the folder holds that version, and nothing else."""
        return self.tree == self.wanted and not self.extra


def prove_folder(folder: Path, identity: str, locked: LockedVersion | None, *, progress: Progress) -> Proof:
    """Read all of a folder and compare it with an id: that of a tree, or of the commit of the locked version.

    InvalidInputError for what is no id, ChangedDuringCommitError for a folder that does not hold still.
    """
    wanted = locked.tree if locked else _tree_id(identity)
    snapshot, extra = scan_all(folder)
    ids = _hash_all(snapshot, progress)
    try:
        tree = build_trees(snapshot, ids).root
    except (HostileNameError, InvalidInputError):  # two names that are one on some file system: no version's folder
        tree = None
    after, extra_after = scan_all(folder)
    moved = _states(snapshot, extra).items() ^ _states(after, extra_after).items()
    if moved:
        raise ChangedDuringCommitError(
            f"{folder} changed while it was read, and nothing is said of it; wait for whoever writes there, then verify again",
            paths=sorted({path.rstrip("\0") for path, _ in moved}),
        )
    listed = locked is not None and locked.files is not None
    here = {file.path: (ids[file.path], Mode.EXECUTABLE if file.executable else Mode.FILE) for file in snapshot.files}
    there = {file.path: (file.id, file.mode) for file in locked.files} if locked and locked.files is not None else {}
    return Proof(
        folder=folder,
        id=identity,
        commit=locked.id if locked else None,
        wanted=wanted,
        tree=tree,
        files=snapshot.count,
        size_bytes=snapshot.size_bytes,
        extra=extra,
        listed=listed,
        added=tuple(sorted(here.keys() - there.keys())) if listed else (),
        changed=tuple(sorted(path for path in here.keys() & there.keys() if here[path] != there[path])),
        removed=tuple(sorted(there.keys() - here.keys())),
    )


def choose_locked(folder: Path, identity: str | None, lock: Path | None, model: str | None) -> LockedVersion | None:
    """The version that a lock file has for an id, that of a commit or a tree; without an id, the one of that model, or the only one."""
    beside = folder / PRIVATE_FOLDER / LOCK_NAME
    found = read_lock(lock) if lock else read_lock(beside) if identity is not None and beside.is_file() else None
    if identity is not None:
        versions = found.versions if found else ()
        return next((version for version in versions if identity in (version.id.hex, version.tree.hex)), None)
    if found is None:
        raise InvalidInputError("which version should the folder hold? Give the id of a commit or a tree, or a lock file")
    mine = [version for version in found.versions if model is None or version.model == model]
    if len(mine) != 1:
        there = ", ".join(f"{version.model}@{version.revision}" for version in found.versions)
        raise InvalidInputError(
            f"{lock} has several versions, or none of that model: name the model, or give an id; it has: {there}"
        )
    return mine[0]


def _tree_id(identity: str) -> TreeId:
    try:
        return TreeId.parse(identity)
    except FormatError as error:
        raise InvalidInputError(f"not an id: {identity[:80]!r}; give all 64 hex digits of a commit or a tree") from error


def _states(snapshot: Snapshot, extra: Sequence[str]) -> dict[str, FileStat | bool | None]:
    """What was there, for comparing: files with their state and whether they may be run, folders, and all else."""
    states: dict[str, FileStat | bool | None] = dict.fromkeys((*(f"{folder}/" for folder in snapshot.folders), *extra))
    for file in snapshot.files:
        states[file.path], states[f"{file.path}\0"] = file.stat, file.executable
    return states


def _hash_all(snapshot: Snapshot, progress: Progress) -> Mapping[str, FileId]:
    ids: dict[str, FileId] = {}
    done = 0
    with worker_pool() as pool:
        hashed = map_ordered(pool, hash_file, snapshot.files, in_flight=_FILES_IN_FLIGHT)
        for file, identity in zip(snapshot.files, hashed, strict=True):
            ids[file.path] = identity
            done += file.stat.size_bytes
            progress.update("hash", done, snapshot.size_bytes)
    return ids
