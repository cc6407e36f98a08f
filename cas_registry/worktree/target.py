"""Writing into one folder and never outside it.

Every path is opened component by component relative to an open folder, links never followed, so a link planted below the
target (before or during a checkout) leads nowhere. A file is written, copied or linked under a temporary name and renamed when it
is whole.
"""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cas_registry.errors import AccessError, BackendError, IntegrityError, LocalEditsError, RegistryError
from cas_registry.model.ids import FileId
from cas_registry.model.names import check_path
from cas_registry.worktree.copying import copy_file, hash_file, write_all
from cas_registry.worktree.scan import TEMPORARY_PREFIX, FileStat

PRIVATE_FOLDER = ".reg"
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_A_FOLDER = frozenset({errno.ENOTDIR, errno.ELOOP})


@dataclass(frozen=True, slots=True)
class OnDisk:
    """What lies at `path`: a plain file (with its state and the number of its names), a folder, or something else."""

    path: str
    stat: FileStat
    is_file: bool
    is_folder: bool
    executable: bool
    links: int


class TargetFolder:
    """An open folder, made where it is not there. A context manager; not thread-safe.

    Without `create` a folder that is not there looks like an empty one, and must not be written to.
    """

    def __init__(self, root: Path, *, create: bool = True) -> None:
        self._root = root
        self._create = create
        self._handle = -1
        self._parent: tuple[tuple[str, ...], int] | None = None

    def __enter__(self) -> Self:
        with self._errors("open", str(self._root)):
            if self._create:
                self._root.mkdir(parents=True, exist_ok=True)
            elif not self._root.exists():
                return self
            self._handle = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return self

    def __exit__(self, *_: object) -> None:
        self._forget_parent()
        if self._handle >= 0:
            os.close(self._handle)

    def look(self, path: str) -> OnDisk | None:
        """What is at `path`, or else at the first of its parents that is no folder; links not followed. None if nothing is."""
        parts = check_path(path)
        if self._handle < 0:
            return None
        with self._errors("look at", path):
            try:
                return self._look(parts)
            except _InTheWayError as error:
                return self._look(error.parts)
            except FileNotFoundError:
                return None

    def walk(self, path: str) -> Iterator[OnDisk]:
        """Everything below a folder, links not followed; what is in a folder comes before it."""
        with self._errors("list", path), os.scandir(self._folder(tuple(path.split("/")), create=False)) as entries:
            names = sorted(entry.name for entry in entries)
        for name in names:
            found = self._look((*path.split("/"), name))
            if found.is_folder:
                yield from self.walk(found.path)
            yield found

    def read(self, path: str, *, buffer_bytes: int) -> Iterator[bytes]:
        """The bytes of a plain file at `path`, links not followed."""
        *parents, name = check_path(path)
        with self._errors("read", path):
            handle = os.open(
                name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._folder(tuple(parents), create=False)
            )
            with open(handle, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor, not a path
                while data := file.read(buffer_bytes):
                    yield data

    def open_file(self, path: str) -> int:
        """A descriptor for reading a plain file, links not followed; the caller closes it. AccessError for anything else."""
        *parents, name = check_path(path)
        with self._errors("open", path):
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe put there would wait for its writer
            handle = os.open(name, flags, dir_fd=self._folder(tuple(parents), create=False))
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                os.close(handle)
                raise AccessError(f"{path} in {self._root} is no file", path=path)
            return handle

    def write(self, path: str, parts: Iterator[bytes | memoryview], *, executable: bool) -> FileStat:
        """Write a whole file and put it in place of what was there. Nothing stays behind if `parts` raises."""
        return self._write(check_path(path), lambda handle: _write_parts(handle, parts), executable=executable)

    def copy(self, path: str, source: int, file: FileId, *, executable: bool) -> FileStat | None:
        """Put a copy of an open file in place of what was there. None, and nothing is changed, if its bytes are not those of `file`."""

        def fill(handle: int) -> None:
            if copy_file(source, handle) != file:
                raise _OtherBytesError

        try:
            return self._write(check_path(path), fill, executable=executable)
        except _OtherBytesError:
            return None

    def link(self, path: str, source: Path, file: FileId) -> FileStat | None:
        """Put another name of a read-only file in place of what was there. None, and nothing is changed, if that cannot be done or its
        bytes are not those of `file`."""
        *parents, name = check_path(path)
        with self._errors("link", path):
            folder = self._folder(tuple(parents), create=True)
            temporary = f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
            try:
                os.link(source, temporary, dst_dir_fd=folder, follow_symlinks=False)
            except OSError:
                return None  # another file system, one without links, or too many of them
            try:
                if not _is_read_only(temporary, folder, file):
                    return None
                os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
                return FileStat.of(os.stat(name, dir_fd=folder, follow_symlinks=False))
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(
                        temporary, dir_fd=folder
                    )  # also where both names were of one file, which rename leaves as they are

    def write_private(self, name: str, data: bytes) -> None:
        """Write `.reg/name`, which no version can hold. After a power loss it is the old file or the new one, and no rubbish: unlike a
        version's files it could not be checked."""

        def fill(handle: int) -> None:
            write_all(handle, data)
            os.fsync(handle)

        self._write((PRIVATE_FOLDER, name), fill, executable=False)

    def _write(self, path_parts: tuple[str, ...], fill: Callable[[int], None], *, executable: bool) -> FileStat:
        *parents, name = path_parts
        with self._errors("write", "/".join(path_parts)):
            folder = self._folder(tuple(parents), create=True)
            temporary = f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            handle = os.open(temporary, flags, 0o755 if executable else 0o644, dir_fd=folder)
            try:
                try:
                    fill(handle)
                finally:
                    os.close(handle)
                folder = self._folder(tuple(parents), create=True)
                os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=self._folder(tuple(parents), create=False))
                raise
            return FileStat.of(os.stat(name, dir_fd=folder, follow_symlinks=False))

    def set_executable(self, path: str, *, executable: bool) -> None:
        """Set a plain file's permissions to 0755 or 0644."""
        *parents, name = check_path(path)
        with self._errors("change", path):
            folder = self._folder(tuple(parents), create=False)
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            try:
                os.fchmod(handle, 0o755 if executable else 0o644)
            finally:
                os.close(handle)

    def make_folder(self, path: str) -> None:
        """Create a folder and its parents."""
        with self._errors("create", path):
            self._folder(check_path(path), create=True)

    def remove(self, path: str) -> None:
        """Remove a file; absent is fine."""
        *parents, name = check_path(path)
        with self._errors("remove", path), contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._folder(tuple(parents), create=False))

    def remove_folder(self, path: str) -> bool:
        """Remove a folder if it is empty; says whether it is gone."""
        *parents, name = check_path(path)
        self._forget_parent()
        try:
            os.rmdir(name, dir_fd=self._folder(tuple(parents), create=False))
        except OSError:
            return False
        return True

    def _folder(self, parts: tuple[str, ...], *, create: bool) -> int:
        """An open handle on a folder below the root; the last one asked for stays open."""
        if not parts:
            return self._handle
        if self._parent and self._parent[0] == parts:
            return self._parent[1]
        handle = os.dup(self._handle)
        for depth, name in enumerate(parts, start=1):
            try:
                below = self._open_folder(name, handle, create=create)
            except OSError as error:
                if error.errno in _NOT_A_FOLDER:
                    raise _InTheWayError(parts[:depth]) from error
                raise
            finally:
                os.close(handle)
            handle = below
        self._forget_parent()
        self._parent = (parts, handle)
        return handle

    def _look(self, parts: tuple[str, ...]) -> OnDisk:
        *parents, name = parts
        status = os.stat(name, dir_fd=self._folder(tuple(parents), create=False), follow_symlinks=False)
        mode = status.st_mode
        return OnDisk(
            "/".join(parts),
            FileStat.of(status),
            stat.S_ISREG(mode),
            stat.S_ISDIR(mode),
            bool(mode & stat.S_IXUSR),
            status.st_nlink,
        )

    @staticmethod
    def _open_folder(name: str, parent: int, *, create: bool) -> int:
        if create:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=parent)
        return os.open(name, _FOLDER_FLAGS, dir_fd=parent)

    def _forget_parent(self) -> None:
        if self._parent:
            os.close(self._parent[1])
            self._parent = None

    @contextlib.contextmanager
    def _errors(self, verb: str, path: str) -> Iterator[None]:
        try:
            yield
        except RegistryError:
            raise
        except _InTheWayError as error:
            where = "/".join(error.parts)
            raise LocalEditsError(
                f"{self._root / where} is a link or a file where a folder is needed; nothing is written through it. Remove it first",
                paths=[where],
            ) from error
        except IsADirectoryError as error:
            raise LocalEditsError(
                f"{self._root / path} is a folder where a file is needed; remove it first", paths=[path]
            ) from error
        except (PermissionError, FileExistsError, NotADirectoryError) as error:
            raise AccessError(f"cannot {verb} {path} in {self._root}: {error.strerror}", path=path) from error
        except OSError as error:
            advice = _ADVICE.get(error.errno or 0, "check the disk")
            kind = AccessError if error.errno == errno.EROFS else BackendError
            raise kind(f"cannot {verb} {path} in {self._root}: {error.strerror}; {advice}", path=path) from error


_ADVICE = {
    errno.ENOSPC: "free some space and run the same command again",
    errno.EDQUOT: "your quota is used up; free some space and run the same command again",
    errno.EROFS: "the file system is mounted read-only",
}


class _InTheWayError(OSError):
    """A parent is a link, a file or a device."""

    def __init__(self, parts: tuple[str, ...]) -> None:
        super().__init__(errno.ENOTDIR, os.strerror(errno.ENOTDIR), "/".join(parts))
        self.parts = parts


class _OtherBytesError(Exception):
    """A file does not hold what it was taken for."""


def _write_parts(handle: int, parts: Iterator[bytes | memoryview]) -> None:
    for data in parts:
        write_all(handle, data)


def _is_read_only(name: str, folder: int, file: FileId) -> bool:
    """Whether that is a plain file that nobody may write or run, and its bytes are those of `file`."""
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return False
    try:
        mode = os.fstat(handle).st_mode
        return stat.S_ISREG(mode) and not mode & 0o333 and hash_file(handle) == file
    except IntegrityError:
        return False
    finally:
        os.close(handle)
