"""Whole files by their id, kept on this machine, so that no second checkout fetches them.

    <cache>/files/<2 hex digits>/<file id>     read-only (0444), put there by rename once it is whole and verified
    <cache>/files/tmp-<random>                 under way; garbage after a day

The cache is a convenience: whatever fails, the file is fetched. Nothing in it is believed either: who copies a file from here
hashes the copy, and calls `discard` where that is not what its name says. Several processes share one cache without a lock, and so do
several users where somebody made `<cache>/files` for them (`chmod 1777`, or a group's folder).
"""

import contextlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cas_registry.errors import IntegrityError
from cas_registry.model.ids import FileId
from cas_registry.worktree.copying import copy_file

LARGE_BYTES = 1024 * 1024  # below, fetching along with others costs less than a file of its own; links are for these alone
FEW_SMALL_FILES = 200  # small ones are kept of a checkout with no more, at 1.5 ms each: those of a model, not of a data set
_STALE_NS = 24 * 3600 * 10**9
_TEMPORARY_PREFIX = "tmp-"


@dataclass(frozen=True, slots=True)
class _Kept:
    path: Path
    size_bytes: int
    used_ns: int


class FileCache:
    """The files kept below a folder, at most `limit_bytes`: the least recently used go first. None keeps nothing. Not thread-safe."""

    def __init__(self, folder: Path | None, *, limit_bytes: int, clock_ns: Callable[[], int]) -> None:
        self._root = folder / "files" if folder is not None and limit_bytes > 0 else None
        self._limit_bytes = limit_bytes
        self._clock_ns = clock_ns
        self._used: set[Path] = set()
        self._kept: dict[Path, _Kept] | None = None
        self._kept_bytes = 0

    def has(self, file: FileId, size_bytes: int) -> bool:
        """Whether there is a file of that name and size; what it holds is another question."""
        path = self.path(file, size_bytes)
        if path is None:
            return False
        try:
            status = path.lstat()
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size == size_bytes

    def path(self, file: FileId, size_bytes: int) -> Path | None:
        """Where the file is, or would be. None where files of that size are not kept."""
        if self._root is None or not 0 < size_bytes <= self._limit_bytes:
            return None
        return self._root / file.hex[:2] / file.hex

    @contextlib.contextmanager
    def open(self, file: FileId, size_bytes: int) -> Iterator[int | None]:
        """A descriptor for reading the file, or None. Counts as a use."""
        path = self.path(file, size_bytes)
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            handle = os.open(path, flags) if path else None
        except OSError:
            handle = None
        if path is None or handle is None:
            yield None
            return
        try:
            self._touch(path, handle)
            yield handle
        finally:
            os.close(handle)

    def insert(self, file: FileId, size_bytes: int, source: int, *, spare_bytes: int) -> bool:
        """Keep a copy of an open file if it is that file, and if `spare_bytes` of the disk stay free; says whether there is one now."""
        path = self.path(file, size_bytes)
        if self._root is None or path is None:
            return False
        if self.has(file, size_bytes):
            return True
        temporary = self._root / f"{_TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)  # for its owner alone, unless somebody made it for more
            with contextlib.suppress(FileExistsError):
                path.parent.mkdir()
                path.parent.chmod(stat.S_IMODE(self._root.stat().st_mode))  # as open to others as the folder above it
            if not self._make_room(size_bytes) or _free_bytes(self._root) < size_bytes + spare_bytes:
                return False
            _write(temporary, source, file)
            temporary.rename(path)
        except (OSError, IntegrityError):
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            return False
        self._used.add(path)
        self._remember(path, size_bytes)
        return True

    def discard(self, file: FileId, size_bytes: int) -> None:
        """Forget a file that is not what its name says."""
        path = self.path(file, size_bytes)
        if path:
            self._remove(path)

    def trim(self) -> None:
        """Remove what is beyond the limit (other processes fill the cache too), and what was left half-written."""
        if self._root is None or not self._root.is_dir():
            return
        self._kept = None
        self._used.clear()
        self._make_room(0)
        before_ns = self._clock_ns() - _STALE_NS
        with contextlib.suppress(OSError):
            for path in self._root.glob(f"{_TEMPORARY_PREFIX}*"):
                if path.lstat().st_mtime_ns < before_ns:
                    path.unlink(missing_ok=True)

    def _touch(self, path: Path, handle: int) -> None:
        """Note the use in the time of access, which needs no second file; the other times stay."""
        self._used.add(path)
        with contextlib.suppress(OSError):
            os.utime(handle, ns=(self._clock_ns(), os.fstat(handle).st_mtime_ns))

    def _make_room(self, size_bytes: int) -> bool:
        """Remove the least recently used until that much fits; never what this checkout has used."""
        if self._kept is None:
            self._kept = {kept.path: kept for kept in self._list()}
            self._kept_bytes = sum(kept.size_bytes for kept in self._kept.values())
        if self._kept_bytes + size_bytes <= self._limit_bytes:
            return True
        for kept in sorted(self._kept.values(), key=lambda kept: kept.used_ns):
            if self._kept_bytes + size_bytes <= self._limit_bytes:
                break
            if kept.path not in self._used:
                self._remove(kept.path)
        return self._kept_bytes + size_bytes <= self._limit_bytes

    def _list(self) -> Iterator[_Kept]:
        assert self._root is not None  # noqa: S101 - callers have looked
        for folder in _entries(self._root):
            if folder.name.startswith(_TEMPORARY_PREFIX):
                continue
            for entry in _entries(folder):
                with contextlib.suppress(OSError):  # another process has removed it
                    status = entry.lstat()
                    yield _Kept(entry, status.st_size, status.st_atime_ns)

    def _remember(self, path: Path, size_bytes: int) -> None:
        if self._kept is not None:
            before = self._kept.get(path)
            self._kept[path] = _Kept(path, size_bytes, self._clock_ns())
            self._kept_bytes += size_bytes - (before.size_bytes if before else 0)

    def _remove(self, path: Path) -> bool:
        try:
            path.unlink(missing_ok=True)
        except OSError:
            return False
        if self._kept is not None and (kept := self._kept.pop(path, None)):
            self._kept_bytes -= kept.size_bytes
        return True


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _free_bytes(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def _write(path: Path, source: int, file: FileId) -> None:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if copy_file(source, handle) != file:
            raise IntegrityError(f"not the bytes of file {file.short}", file=file.hex)
        os.fchmod(handle, 0o444)
    finally:
        os.close(handle)
