"""Every change that this process makes to files below a folder, as numbered steps: written down, and any of them the last, or one that fails.

All of the interpreter's ways to change a file that the package uses are wrapped where every module finds them, in `os` and `io`;
tests/reliability/test_t01_kill.py shows with an audit hook that nothing goes past them.
"""

import builtins
import errno
import io
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

CHANGING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Kind(StrEnum):
    """What a step does. CREATE makes a file (or empties one); SYNC is of a file, SYNC_FOLDER of a folder."""

    CREATE = "create"
    WRITE = "write"
    SYNC = "sync"
    SYNC_FOLDER = "sync folder"
    LINK = "link"
    SYMLINK = "symlink"
    REPLACE = "replace"
    UNLINK = "unlink"
    MKDIR = "mkdir"
    RMDIR = "rmdir"
    MODE = "mode"


class Fate(StrEnum):
    """What becomes of a step: the process is killed right before it, in the middle of it (a write) or after it; or the step fails."""

    PASS = "pass"
    KILL_BEFORE = "before"
    KILL_WITHIN = "within"
    KILL_AFTER = "after"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Step:
    """A change of `path`, relative to the folder. `target` is the new name of LINK and REPLACE, `data` what WRITE wrote."""

    kind: Kind
    path: str
    target: str = ""
    data: bytes = b""


class Steps:
    """Records the changes below `root` while the block is open; `fate` says what becomes of each.

    Steps are one after another, whatever thread takes them: `taken` is their order on disk.
    """

    def __init__(self, root: Path, fate: Callable[[int, Step], Fate] = lambda *_: Fate.PASS) -> None:
        self._root = f"{root}{os.sep}"
        self._fate = fate
        self._lock = threading.RLock()
        self._paths: dict[int, str] = {}  # of the descriptors that were opened here
        self._inside = threading.local()
        self._real: dict[tuple[Any, str], Any] = {}
        self.taken: list[Step] = []

    def __enter__(self) -> Self:
        wrappers = {
            "open": self._open, "close": self._close, "dup": self._dup, "write": self._write, "fsync": self._fsync,
            "link": self._link, "symlink": self._symlink, "rename": self._replace, "replace": self._replace, "unlink": self._unlink,
            "remove": self._unlink, "mkdir": self._mkdir, "rmdir": self._rmdir, "fchmod": self._mode("fchmod"),
            "chmod": self._mode("chmod"), "utime": self._mode("utime"),
        }  # fmt: skip
        for name, wrapper in wrappers.items():
            self._wrap(os, name, wrapper)
        for module in (io, builtins):
            self._wrap(module, "open", self._open_file)
        return self

    def __exit__(self, *_: object) -> None:
        for (module, name), real in self._real.items():
            setattr(module, name, real)

    @property
    def is_inside(self) -> bool:
        """Whether this thread is in one of the wrapped calls right now."""
        return getattr(self._inside, "depth", 0) > 0

    def _wrap(self, module: Any, name: str, wrapper: Callable[..., Any]) -> None:
        self._real[module, name] = getattr(module, name)

        def call(*arguments: Any, **named: Any) -> Any:
            self._inside.depth = getattr(self._inside, "depth", 0) + 1
            try:
                return wrapper(*arguments, **named)
            finally:
                self._inside.depth -= 1

        setattr(module, name, call)

    def _take(
        self, kind: Kind, path: str, action: Callable[[], Any], *, target: str = "", data: bytes = b"", half: Any = None
    ) -> Any:
        """Take the step, unless it is none of ours; `half` does half of it."""
        if not (target or path).startswith(self._root):
            return action()
        with self._lock:
            step = Step(kind, path.removeprefix(self._root), target.removeprefix(self._root), data)
            fate = self._fate(len(self.taken), step)
            if fate is Fate.KILL_WITHIN and half is not None:
                half()
            if fate in {Fate.KILL_BEFORE, Fate.KILL_WITHIN}:
                os.kill(os.getpid(), signal.SIGKILL)
            if fate is Fate.FAIL:
                self.taken.append(step)
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            answer = action()
            self.taken.append(step)
            if fate is Fate.KILL_AFTER:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

    def _path(self, path: Any, folder: int | None = None) -> str:
        """Where a path leads, given the descriptor that it is relative to."""
        name = self._paths.get(path, "") if isinstance(path, int) else os.fsdecode(path)
        return name if folder is None else os.path.join(self._paths.get(folder, ""), name)

    # what stands in for the functions of `os`

    def _open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        real = self._real[os, "open"]
        where = self._path(path, dir_fd)
        if flags & CHANGING_FLAGS:
            handle = self._take(Kind.CREATE, where, lambda: real(path, flags, mode, dir_fd=dir_fd))
        else:
            handle = real(path, flags, mode, dir_fd=dir_fd)
        self._paths[handle] = where
        return handle

    def _close(self, handle: int) -> None:
        self._paths.pop(handle, None)
        self._real[os, "close"](handle)

    def _dup(self, handle: int) -> int:
        copy = self._real[os, "dup"](handle)
        self._paths[copy] = self._paths.get(handle, "")
        return copy

    def _write(self, handle: int, data: Any) -> int:
        real = self._real[os, "write"]
        half = lambda: real(handle, memoryview(data)[: len(data) // 2])
        return self._take(Kind.WRITE, self._path(handle), lambda: real(handle, data), data=bytes(data), half=half)

    def _fsync(self, handle: int) -> None:
        path = self._path(handle)
        kind = Kind.SYNC_FOLDER if os.path.isdir(path) else Kind.SYNC
        if not f"{path}{os.sep}".startswith(self._root):
            self._real[os, "fsync"](handle)
            return
        # Nothing here takes the power away, so what is synced need not reach a disk, which costs more than all else.
        self._take(kind, f"{path}{os.sep}" if f"{path}{os.sep}" == self._root else path, lambda: None)

    def _link(self, source: Any, target: Any, **named: Any) -> None:
        new = self._path(target, named.get("dst_dir_fd"))
        old = self._path(source, named.get("src_dir_fd"))
        self._take(Kind.LINK, old, lambda: self._real[os, "link"](source, target, **named), target=new)

    def _symlink(self, target: Any, path: Any, *, dir_fd: int | None = None) -> None:
        self._take(Kind.SYMLINK, self._path(path, dir_fd), lambda: self._real[os, "symlink"](target, path, dir_fd=dir_fd))

    def _replace(self, source: Any, target: Any, **named: Any) -> None:
        new = self._path(target, named.get("dst_dir_fd"))
        old = self._path(source, named.get("src_dir_fd"))
        self._take(Kind.REPLACE, old, lambda: self._real[os, "replace"](source, target, **named), target=new)

    def _unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._take(Kind.UNLINK, self._path(path, dir_fd), lambda: self._real[os, "unlink"](path, dir_fd=dir_fd))

    def _mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        self._take(Kind.MKDIR, self._path(path, dir_fd), lambda: self._real[os, "mkdir"](path, mode, dir_fd=dir_fd))

    def _rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._take(Kind.RMDIR, self._path(path, dir_fd), lambda: self._real[os, "rmdir"](path, dir_fd=dir_fd))

    def _mode(self, name: str) -> Callable[..., Any]:
        def change(path: Any, *arguments: Any, **named: Any) -> Any:
            real = self._real[os, name]
            return self._take(Kind.MODE, self._path(path, named.get("dir_fd")), lambda: real(path, *arguments, **named))

        return change

    def _open_file(self, file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        """`open` for writing makes the file, writes all of it at once and closes it, as Path.write_bytes does."""
        real = self._real[io, "open"]
        where = self._path(file)
        if isinstance(file, int) or not set(mode) & set("wax+") or not where.startswith(self._root):
            return real(file, mode, *arguments, **named)
        opened = self._take(Kind.CREATE, where, lambda: real(file, mode, 0))
        return _Written(opened, lambda data: self._write_file(opened, where, data))

    def _write_file(self, opened: io.RawIOBase, where: str, data: Any) -> int:
        half = lambda: opened.write(memoryview(data)[: len(data) // 2])
        written: int = self._take(Kind.WRITE, where, lambda: opened.write(data), data=bytes(data), half=half)
        return written


class _Written:
    """A file open for writing bytes."""

    def __init__(self, opened: io.RawIOBase, write: Callable[[Any], int]) -> None:
        self.write = write
        self.close = opened.close

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
