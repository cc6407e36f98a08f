"""A new file that nobody sees before it is whole: written beside its place under a temporary name, then given its own."""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Self

from cas_registry.errors import AccessError, BackendError, ConflictError
from cas_registry.worktree.scan import TEMPORARY_PREFIX

_FULL = {errno.ENOSPC, errno.EDQUOT}


class Aside:
    """A file under a temporary name in `folder`, which is made where it is not there. It is gone after the block unless it was placed."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        self._placed = False
        self.file: BinaryIO

    def __enter__(self) -> Self:
        with disk_errors("write", self._path.parent):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self.file = self._path.open("xb")
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # what could not be written may fail to be written once more
            self.file.close()
        if not self._placed:
            with contextlib.suppress(OSError):
                self._path.unlink()

    def place(self, target: Path, *, replace: bool) -> None:
        """Sync the file and give it its name. Without `replace`, ConflictError where that is taken by now."""
        with disk_errors("write", target):
            self.file.flush()
            os.fsync(self.file.fileno())
            self.file.close()
            if not replace:
                self._link(target)
            else:
                self._path.replace(target)
                self._placed = True

    def _link(self, target: Path) -> None:
        """A second name, which the file gets only if nobody has it; the first one goes with the block."""
        try:
            target.hardlink_to(self._path)
        except FileExistsError as error:
            raise ConflictError(
                f"{target} has appeared meanwhile; look at it, and give --force to replace it", path=str(target)
            ) from error
        except OSError:  # a file system without links
            self._path.replace(target)
            self._placed = True


def write_whole(target: Path, data: bytes) -> None:
    """Put a small file in place of what was there."""
    with Aside(target.parent) as aside, disk_errors("write", target):
        aside.file.write(data)
        aside.place(target, replace=True)


@contextlib.contextmanager
def disk_errors(verb: str, path: Path) -> Iterator[None]:
    """The system's errors as those of this package, saying what was tried on which path."""
    try:
        yield
    except OSError as error:
        advice = "free some space and run the same command again" if error.errno in _FULL else "check the disk"
        message = f"cannot {verb} {path}: {error.strerror or error}"
        if isinstance(error, (PermissionError, FileExistsError, NotADirectoryError, IsADirectoryError)):
            raise AccessError(message, path=str(path)) from error
        if error.errno == errno.EROFS:
            raise AccessError(f"{message}; the file system is mounted read-only", path=str(path)) from error
        raise BackendError(f"{message}; {advice}", path=str(path)) from error
