"""A version with some files replaced, made without a checkout: the others are named where they lie, none of their bytes is read."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path

from cas_registry.errors import ChangedDuringCommitError, ConflictError
from cas_registry.model.ids import FileId
from cas_registry.model.names import check_path
from cas_registry.model.tree import Mode
from cas_registry.operations.commit import CommitReport, CommitRequest, check_expected, publish
from cas_registry.operations.progress import Progress
from cas_registry.operations.version_files import VersionFile, list_files
from cas_registry.operations.writing import VersionWriter, Written
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores
from cas_registry.worktree.scan import FileStat, FoundFile, Listing, Snapshot
from cas_registry.worktree.stat_cache import StatCache

_FILE_MODE, _EXECUTABLE_MODE = 0o100644, 0o100755


def edit_version(
    stores: Stores, version: Version, files: Mapping[str, bytes], request: CommitRequest, *, clock_ns: Callable[[], int], progress: Progress
) -> CommitReport:  # fmt: skip
    """Commit `version` with these files in place of its own (or beside them). The branch of `request` must stand at it, else ConflictError.

    A file in place of an executable one is executable. What `request` says of params, metrics and the rest is the new version's; its paths and its base do not count.
    """
    for path in files:
        check_path(path)
    before, folders = list_files(stores.objects, version.tree)
    kept = [file for file in before if file.path not in files]
    ids = {file.path: file.file_id for file in kept} | {path: FileId.of(data) for path, data in files.items()}
    refs = stores.refs(request.model)
    head = refs.existing_head()
    request = replace(request, paths=(), base=None, capture=None, expect=version.commit)
    standing = head[1].branches.get(request.branch)
    check_expected(request, standing.commit if standing else None)
    executables = {file.path for file in before if file.entry.mode is Mode.EXECUTABLE}
    threats = stores.threats(head[0].entry)
    with tempfile.TemporaryDirectory(prefix="cas_registry-") as name:
        snapshot = _snapshot(kept, files, folders, executables, Path(name))

        def write(nearest: Version | None) -> Written:
            writer = VersionWriter(
                stores, snapshot, (), nearest or version, version, threats, delta=request.delta, identified=ids
            )  # fmt: skip
            written = writer.write(StatCache(None), clock_ns, progress, None, lambda _: False)
            assert written is not None  # noqa: S101 - it was told that nothing of it is known
            return written

        try:
            return publish(stores, refs, head, request, write(version), threats, write)
        except ChangedDuringCommitError as error:  # a file that neither version is known to have
            raise ConflictError(
                f"{version.model}@{version.commit.short} cannot be edited without its files, since a collection is under way or its maps are too "
                "large; check it out, change the files there, and commit",
                commit=version.commit.hex,
            ) from error


def _snapshot(
    kept: Sequence[VersionFile], files: Mapping[str, bytes], folders: Sequence[str], executables: Set[str], scratch: Path
) -> Snapshot:
    """What a scan would find of the version, with the new files below `scratch`; the others are nowhere."""
    nowhere = scratch / "nowhere"
    listings: dict[tuple[str, Path], list[FoundFile]] = {}
    for file in kept:
        prefix, name = _split(file.path)
        stat = FileStat(file.entry.size_bytes, 0, 0, 0)
        listings.setdefault((prefix, nowhere), []).append(FoundFile(file.path, nowhere, name, stat, file.path in executables))
    parents = set(folders)
    for number, (path, data) in enumerate(files.items()):
        prefix, name = _split(path)
        place = scratch / str(number)
        place.mkdir()
        (place / name).write_bytes(data)
        listings.setdefault((prefix, place), []).append(
            FoundFile(path, place, name, FileStat.of((place / name).stat()), path in executables)
        )
        parts = path.split("/")[:-1]
        parents.update("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))
    return Snapshot(tuple(_listing(prefix, disk, found) for (prefix, disk), found in listings.items()), frozenset(parents))


def _split(path: str) -> tuple[str, str]:
    folder, separator, name = path.rpartition("/")
    return f"{folder}{separator}", name


def _listing(prefix: str, disk: Path, found: Sequence[FoundFile]) -> Listing:
    return Listing(
        prefix,
        disk,
        tuple(file.spelling for file in found),
        tuple(file.stat.size_bytes for file in found),
        tuple(file.stat.mtime_ns for file in found),
        tuple(file.stat.ctime_ns for file in found),
        tuple(file.stat.inode for file in found),
        tuple(_EXECUTABLE_MODE if file.executable else _FILE_MODE for file in found),
    )
