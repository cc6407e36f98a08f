"""Locking versions: writing down by id what revisions mean now, and reading that again."""

from collections.abc import Sequence
from pathlib import Path

from cas_registry.errors import AccessError, ConflictError, FormatError, InvalidInputError, NotFoundError
from cas_registry.model.ids import FileId
from cas_registry.model.lockfile import (
    MAX_LOCK_BYTES,
    MAX_LOCKED_FILES,
    Lock,
    LockedFile,
    LockedVersion,
    decode_lock,
    encode_lock,
)
from cas_registry.redaction import redact
from cas_registry.store.objects import walk_tree
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores
from cas_registry.worktree.target import TargetFolder


def make_lock(stores: Stores, wanted: Sequence[tuple[str, Version]]) -> Lock:
    """The lock of these versions, each with the revision that asked for it. Reads their commits and trees."""
    return Lock(stores.format.registry, redact(stores.backend.url), tuple(_locked(stores, *each) for each in wanted))


def write_lock(path: Path, lock: Lock) -> None:
    """Write a lock file, whole or not at all."""
    with TargetFolder(path.parent) as folder:
        folder.write(path.name, iter([encode_lock(lock).encode("utf-8")]), executable=False)


def read_lock(path: Path) -> Lock:
    """The lock in a file. NotFoundError if it is not there, InvalidInputError says what is wrong in it."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_LOCK_BYTES + 1)
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no lock file {path}; reg lock writes one", path=str(path)) from error
    except OSError as error:
        raise AccessError(f"cannot read {path}: {error.strerror}", path=str(path)) from error
    try:
        return decode_lock(data)
    except FormatError as error:
        raise InvalidInputError(f"{path} is damaged, or no lock file: {error}", path=str(path)) from error


def find_locked(stores: Stores, lock: Lock, model: str, revision: str, *, path: Path) -> tuple[LockedVersion, Version]:
    """What a lock says that a revision is, with that version in the registry.

    NotFoundError where the lock says nothing of it, or the registry has the version no more; ConflictError where the lock is of another
    registry, or the registry has another tree under the commit.
    """
    if lock.registry != stores.format.registry:
        raise ConflictError(
            f"{path} is of the registry at {lock.url} ({lock.registry[:12]}), and this is another one ({stores.format.registry[:12]})",
            locked=lock.registry,
            actual=stores.format.registry,
        )
    locked = lock.find(model, revision)
    if locked is None:
        there = ", ".join(f"{version.model}@{version.revision}" for version in lock.versions[:8])
        raise NotFoundError(f"{path} says nothing of {model}@{revision}; it has: {there}", path=str(path), revision=revision)
    version = stores.refs(model).find_entry(locked.id)
    if version.tree != locked.tree:
        raise ConflictError(
            f"{path} locks {model}@{locked.id.short} with tree {locked.tree.short}, and the registry's log gives it {version.tree.short}; "
            "run reg fsck",
            locked=locked.tree.hex,
            actual=version.tree.hex,
        )
    return locked, version


def _locked(stores: Stores, revision: str, version: Version) -> LockedVersion:
    commit = stores.objects.read_commit(version.commit)
    files: list[LockedFile] = []
    folders: set[str] = set()
    filled: set[str] = set()
    for path, entry, _ in walk_tree(stores.objects, version.tree):
        filled.add(path.rpartition("/")[0])
        if isinstance(entry.id, FileId):
            files.append(LockedFile(path, entry.mode, entry.size_bytes, entry.id))
        else:
            folders.add(path)
    files.sort(key=lambda file: file.path)
    few = len(files) + len(folders) <= MAX_LOCKED_FILES
    return LockedVersion(
        version.model, revision, version.number, version.commit, commit, tuple(files) if few else None,
        tuple(sorted(folders - filled)) if few else (),
    )  # fmt: skip
