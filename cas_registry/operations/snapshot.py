"""From a folder on disk to trees: which files must be read, their ids, and whether the folder held still."""

import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import blake3

from cas_registry.errors import AccessError, ChangedDuringCommitError, LimitError
from cas_registry.model.ids import FileId, TreeId
from cas_registry.model.tree import MAX_VERSION_ENTRIES, Mode, Tree, TreeEntry, encode_tree, make_tree
from cas_registry.operations.progress import Progress
from cas_registry.operations.transfer import READ_BUFFER_BYTES, map_ordered
from cas_registry.worktree.scan import FileStat, FoundFile, Snapshot, scan
from cas_registry.worktree.stat_cache import StatCache

_LISTED = 10
_FILES_IN_FLIGHT = 64


@dataclass(frozen=True, slots=True)
class BuiltTrees:
    """The trees of a snapshot: by id, and the id of every folder by path (the root is "")."""

    root: TreeId
    trees: Mapping[TreeId, Tree]
    folders: Mapping[str, TreeId]


def identify(
    snapshot: Snapshot, stat_cache: StatCache, executor: Executor, *, clock_ns: Callable[[], int], progress: Progress,
    leave: Callable[[FoundFile], bool] = lambda _: False,
) -> tuple[dict[str, FileId], int]:  # fmt: skip
    """The id of every file by path, and how many files had to be read. Unchanged files are not opened.

    Files that would have to be read, and that `leave` is true of, are not: their ids are missing.
    """
    stat_cache.keep_only(snapshot)
    ids, unknown = stat_cache.look_up(snapshot)
    unknown = [file for file in unknown if not leave(file)]
    total = sum(file.stat.size_bytes for file in unknown)
    done = 0
    read_at_ns = clock_ns()
    hashed = map_ordered(executor, hash_file, unknown, in_flight=_FILES_IN_FLIGHT)
    for file, identity in zip(unknown, hashed, strict=True):
        ids[file.path] = identity
        stat_cache.put(file.disk, file.stat, identity, read_at_ns=read_at_ns)
        done += file.stat.size_bytes
        progress.update("hash", done, total)
    return ids, len(unknown)


def hash_file(file: FoundFile) -> FileId:
    """The id of a file's bytes. ChangedDuringCommitError if its size is not what the scan saw."""
    hasher = blake3.blake3()
    size_bytes = 0
    for data in read_file(file):
        hasher.update(data)
        size_bytes += len(data)
    if size_bytes != file.stat.size_bytes:
        raise changed([file.path])
    return FileId(hasher.digest())


def read_file(file: FoundFile) -> Iterator[bytes]:
    """The bytes of a file, buffer by buffer. AccessError if it cannot be read."""
    try:
        with file.disk.open("rb", buffering=0) as handle:
            while data := handle.read(READ_BUFFER_BYTES):
                yield data
    except FileNotFoundError as error:
        raise changed([file.path]) from error
    except OSError as error:
        raise AccessError(f"cannot read {file.disk}: {error.strerror}", path=str(file.disk)) from error


class OpenFile:
    """A file that is being committed: its next bytes (from `position` on), hashed as they go by, and ranges of it."""

    def __init__(self, file: FoundFile, handle: io.FileIO) -> None:
        self.size_bytes = file.stat.size_bytes
        self.position = 0
        self._handle = handle.fileno()
        self._hasher = blake3.blake3()

    def read(self, offset: int, length: int) -> bytes:
        """The bytes [offset, offset + length), fewer only at the end of the file."""
        return self._read(offset, max(0, min(length, self.size_bytes - offset)))

    def take(self, length: int) -> bytes:
        """The next `length` bytes, fewer only at the end of the file."""
        data = self._read(self.position, length)
        self.position += len(data)
        self._hasher.update(data)
        return data

    def digest(self) -> bytes:
        """BLAKE3 of what was taken so far."""
        return self._hasher.digest()

    def _read(self, offset: int, length: int) -> bytes:
        data = os.pread(self._handle, length, offset)
        while len(data) < length and (more := os.pread(self._handle, length - len(data), offset + len(data))):
            data += more
        return data


@contextmanager
def open_found(file: FoundFile) -> Iterator[OpenFile]:
    """Open a file of the snapshot. AccessError if it cannot be read."""
    try:
        with file.disk.open("rb", buffering=0) as handle:
            yield OpenFile(file, handle)
    except FileNotFoundError as error:
        raise changed([file.path]) from error
    except OSError as error:
        raise AccessError(f"cannot read {file.disk}: {error.strerror}", path=str(file.disk)) from error


def build_trees(snapshot: Snapshot, ids: Mapping[str, FileId]) -> BuiltTrees:
    """The trees of a snapshot, deepest first. HostileNameError where a folder cannot hold two names everywhere, LimitError for more
    files and folders than a version may have."""
    if snapshot.count + len(snapshot.folders) > MAX_VERSION_ENTRIES:
        raise LimitError(
            f"{snapshot.count:,} files in {len(snapshot.folders):,} folders; a version has at most {MAX_VERSION_ENTRIES:,} of both. "
            "Put small files into archives, or leave some out (.regignore)"
        )
    entries: dict[str, list[TreeEntry]] = {"": [], **{folder: [] for folder in snapshot.folders}}
    for file in snapshot.files:
        parent, _, name = file.path.rpartition("/")
        mode = Mode.EXECUTABLE if file.executable else Mode.FILE
        entries[parent].append(TreeEntry(name, mode, file.stat.size_bytes, ids[file.path]))
    trees: dict[TreeId, Tree] = {}
    folders: dict[str, TreeId] = {}
    for folder in sorted(entries, key=lambda path: path.count("/") if path else -1, reverse=True):
        tree = make_tree(entries[folder])
        identity = TreeId.of(encode_tree(tree))
        trees[identity] = tree
        folders[folder] = identity
        if folder:
            parent, _, name = folder.rpartition("/")
            entries[parent].append(TreeEntry(name, Mode.FOLDER, tree.size_bytes, identity))
    return BuiltTrees(folders[""], trees, folders)


def check_unchanged(before: Snapshot, paths: Sequence[Path]) -> None:
    """Scan again and compare. ChangedDuringCommitError lists what was added, removed or touched meanwhile."""
    after = scan(paths)
    if after == before:
        return
    states: dict[str, tuple[FileStat, bool]] = {file.path: (file.stat, file.executable) for file in before.files}
    now = {file.path: (file.stat, file.executable) for file in after.files}
    moved = sorted(path for path in states.keys() | now.keys() if states.get(path) != now.get(path))
    moved += sorted(before.folders ^ after.folders)
    if moved:
        raise changed(moved)


def changed(paths: list[str]) -> ChangedDuringCommitError:
    """The error for a folder that did not hold still."""
    shown = ", ".join(paths[:_LISTED]) + (f" and {len(paths) - _LISTED} more" if len(paths) > _LISTED else "")
    return ChangedDuringCommitError(
        f"the folder changed while it was committed ({shown}); no commit was made. Wait for whoever writes there, then commit again",
        paths=paths,
    )
