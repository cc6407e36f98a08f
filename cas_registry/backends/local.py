"""A folder as a store, on any file system with hard links.

`create` writes aside, syncs, then links: the link is atomic and fails if the name is taken, and a name never stands for a
torn object. Directory entries are synced together at `flush`. Temporary names start with `.tmp-` and are garbage.
"""

import contextlib
import errno
import os
import re
import secrets
import stat
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from cas_registry.backends import Data, ObjectInfo, check_key
from cas_registry.errors import AccessError, AlreadyExistsError, BackendError, InvalidInputError, NotFoundError

TEMPORARY_PREFIX = ".tmp-"
_TEMPORARY = re.compile(r"\.tmp-[0-9]+-[0-9a-f]{16}")  # as this backend names them: what others call .tmp-something is theirs
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_ABSENT = (
    FileNotFoundError,
    NotADirectoryError,
    IsADirectoryError,
)  # a key may name what is a folder here, or lie below a file
_READING = frozenset({"read", "stat"})
_SYNC_UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})


class LocalBackend:
    """Objects are files below `root`. Thread-safe; any number of processes may share the folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._unsynced: set[Path] = set()
        self._lock = threading.Lock()
        self._flushing = threading.Lock()

    @property
    def url(self) -> str:
        return str(self._root)

    def get(self, key: str, *, start: int = 0, length: int) -> bytes:
        with self._errors("read", key):
            handle = os.open(self._path(key), os.O_RDONLY | os.O_CLOEXEC)
            try:
                return _read_at(handle, start, length)
            finally:
                os.close(handle)

    def get_many(self, keys: Sequence[str], *, length: int) -> list[bytes | None]:
        found: list[bytes | None] = []
        for key in keys:
            try:
                found.append(self.get(key, length=length))
            except NotFoundError:
                found.append(None)
        return found

    def put(self, key: str, data: Data) -> None:
        with self._errors("write", key):
            temporary = self._write_aside(key, data, sync=False)
            try:
                temporary.replace(self._path(key))
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise

    def create(self, key: str, data: Data) -> None:
        path = self._path(key)
        with self._errors("create", key):
            temporary = self._write_aside(key, data, sync=True)
            try:
                os.link(temporary, path)
            except FileExistsError as error:
                self._remember(path.parent)  # its writer may not have flushed; whoever relies on it has to
                raise AlreadyExistsError(f"{key} exists already in {self.url}", key=key) from error
            except OSError as error:
                if error.errno in _NO_LINKS:
                    raise BackendError(
                        f"{self.url} is on a file system without hard links, which safe creation needs ({error.strerror}); "
                        "use another disk, or an object store",
                        key=key,
                    ) from error
                raise
            finally:
                temporary.unlink(missing_ok=True)
            self._remember(path.parent)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        folder, _, stem = prefix.rpartition("/")
        with self._errors("list", prefix):
            yield from self._walk(self._path(folder) if folder else self._root, f"{folder}/" if folder else "", stem)

    def stat(self, key: str) -> ObjectInfo:
        with self._errors("stat", key):
            status = _of_object(self._path(key).stat())
            return ObjectInfo(key, status.st_size, status.st_mtime_ns // 1_000_000)

    def delete(self, key: str) -> None:
        with self._errors("delete", key), contextlib.suppress(*_ABSENT):
            self._path(key).unlink()

    def flush(self) -> None:
        with self._flushing:  # a second caller waits for the folders that the first one took
            with self._lock:
                folders, self._unsynced = self._unsynced, set()
            try:
                for folder in folders:
                    with self._errors("sync", folder.name):
                        _sync_folder(folder)
            except BaseException:
                with self._lock:
                    self._unsynced |= folders
                raise

    def sweep(self, *, before_ms: int, delete: bool) -> Sequence[ObjectInfo]:
        found: list[ObjectInfo] = []
        with self._errors("clear", TEMPORARY_PREFIX):
            for folder, _, names in os.walk(self._root):
                for name in filter(_TEMPORARY.fullmatch, names):
                    path = Path(folder, name)
                    with contextlib.suppress(FileNotFoundError):  # its writer has finished, or another sweeps as well
                        status = path.lstat()
                        modified_ms = status.st_mtime_ns // 1_000_000
                        if not stat.S_ISREG(status.st_mode) or modified_ms >= before_ms:
                            continue
                        if delete:
                            path.unlink()
                        found.append(ObjectInfo(str(path.relative_to(self._root)), status.st_size, modified_ms))
        return found

    def _remember(self, folder: Path) -> None:
        """Sync `folder` at the next flush, and all above it: another process may have made them and not synced yet."""
        inside = [parent for parent in folder.parents if parent == self._root or self._root in parent.parents]
        with self._lock:
            self._unsynced.update((folder, *inside))

    def _path(self, key: str) -> Path:
        path = self._root / check_key(key)
        if path.name.startswith(TEMPORARY_PREFIX):
            raise InvalidInputError(f"not a key: {key[:120]!r}; {TEMPORARY_PREFIX} is for temporary files")
        return path

    def _write_aside(self, key: str, data: Data, *, sync: bool) -> Path:
        path = self._path(key)
        self._make_folder(path.parent)
        temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(8)}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(temporary, flags, 0o644)
        try:
            try:
                _write_all(handle, data)
                if sync:
                    _sync_file(handle)
            finally:
                os.close(handle)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return temporary

    def _make_folder(self, folder: Path) -> None:
        missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
        for parent in reversed(missing):
            parent.mkdir(exist_ok=True)
            self._remember(parent.parent)

    def _walk(self, folder: Path, prefix: str, stem: str) -> Iterator[ObjectInfo]:
        try:
            entries = list(os.scandir(folder))
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in entries:
            if not entry.name.startswith(stem):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(folder / entry.name, f"{prefix}{entry.name}/", "")
            elif entry.is_file(follow_symlinks=False) and not entry.name.startswith(TEMPORARY_PREFIX):
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    yield ObjectInfo(prefix + entry.name, status.st_size, status.st_mtime_ns // 1_000_000)

    @contextlib.contextmanager
    def _errors(self, verb: str, key: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise NotFoundError(f"{key} is not in {self.url}", key=key) from error
        except (NotADirectoryError, IsADirectoryError) as error:
            if verb in _READING:
                raise NotFoundError(f"{key} is not in {self.url}", key=key) from error
            raise AccessError(
                f"cannot {verb} {key} in {self.url}: {error.strerror}; remove what is in the way", key=key
            ) from error
        except PermissionError as error:
            raise AccessError(f"cannot {verb} {key} in {self.url}: {error.strerror}; check its permissions", key=key) from error
        except OSError as error:
            advice = _ADVICE.get(error.errno or 0, "check the disk")
            kind = AccessError if error.errno == errno.EROFS else BackendError
            raise kind(f"cannot {verb} {key} in {self.url}: {error.strerror}; {advice}", key=key) from error


_ADVICE = {
    errno.ENOSPC: "free some space and run the same command again",
    errno.EDQUOT: "your quota is used up; free some space and run the same command again",
    errno.EROFS: "the file system is mounted read-only",
    errno.EMFILE: "too many open files; raise the limit (ulimit -n)",
}


def _of_object(status: os.stat_result) -> os.stat_result:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return status


def _read_at(handle: int, start: int, length: int) -> bytes:
    length = min(length, max(0, _of_object(os.fstat(handle)).st_size - start))
    parts: list[bytes] = []
    while length > 0:
        part = os.pread(handle, length, start)
        if not part:
            break
        parts.append(part)
        start += len(part)
        length -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _write_all(handle: int, data: Data) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def _sync_file(handle: int) -> None:
    if sys.platform == "darwin":
        import fcntl  # noqa: PLC0415 - fsync there leaves the drive's cache unflushed

        fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
    else:
        os.fsync(handle)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _SYNC_UNSUPPORTED:
            raise
    finally:
        os.close(handle)
