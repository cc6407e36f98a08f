"""A folder that serves: versions lie in it side by side, and the link `current` names one of them.

    current -> v17-8f3a91c2d4e5         replaced by a rename: it names the old folder or the new one, and always a whole one
    v17-8f3a91c2d4e5/                   a version, with a `.reg/state.json` of its own
    v16-…/                              the one before
    .reg/served.json                    what `current` named before, and what was refused
    .reg/served.lock                    locked by whoever changes anything here

A version's folder is in use as long as somebody holds a lock on it, shared or not: `flock -s serve/v17-8f3a91c2d4e5 COMMAND`.
"""

import contextlib
import errno
import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from cas_registry.errors import AccessError, BackendError, ConflictError, FormatError, LocalEditsError
from cas_registry.model.ids import CommitId, TreeId
from cas_registry.worktree.binding import read_state
from cas_registry.worktree.scan import TEMPORARY_PREFIX
from cas_registry.worktree.target import PRIVATE_FOLDER, TargetFolder

CURRENT = "current"
STATE = "served.json"
MAX_STATE_BYTES = 64 * 1024  # what is written here has some 400
_LOCK = "served.lock"
_VERSION = re.compile(r"v([0-9]{1,10})-[0-9a-f]{12}")
_TEMPORARY = ".current-"
_GOING = ".removed-"


@dataclass(frozen=True, slots=True)
class Refused:
    """A version that was tried and failed, and the log entry that had put the name there: another entry is another try."""

    commit: str
    moved: int


@dataclass(frozen=True, slots=True)
class ServedState:
    """Of which model the folder is; what `current` named before; what was refused last; and whether what `current` names was taken up by
    those who serve it, as far as anybody knows."""

    registry: str
    model: str
    previous: str | None = None
    refused: Refused | None = None
    settled: bool = True


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """A version in its folder."""

    path: Path
    number: int
    commit: CommitId
    tree: TreeId

    @property
    def name(self) -> str:
        return self.path.name


class ServedFolder:
    """The folder, open and locked: one process at a time changes what it serves. A context manager; not thread-safe."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._handle = -1
        self._lock = -1

    def __enter__(self) -> Self:
        """ConflictError where another process is at work."""
        with self._errors("open"):
            private = self._root / PRIVATE_FOLDER
            private.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(private / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._handle = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except BaseException as error:
                os.close(self._lock)
                if isinstance(error, BlockingIOError):
                    raise ConflictError(
                        f"another process (reg watch, reg deploy) is at work in {self._root}; one folder has one of them",
                        folder=str(self._root),
                    ) from error
                raise
            self._sweep()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)
        os.close(self._lock)

    def read_state(self) -> ServedState | None:
        """What is remembered, or None for a folder that never served. FormatError where it makes no sense: nothing is guessed."""
        path = self._root / PRIVATE_FOLDER / STATE
        try:
            with path.open("rb") as file:
                return _parse(file.read(MAX_STATE_BYTES))
        except FileNotFoundError:
            return None
        except FormatError as error:
            raise FormatError(
                f"{path} is damaged ({error}); remove it, and what was refused is tried again", path=str(path)
            ) from error

    def write_state(self, state: ServedState) -> None:
        """Remember, durably."""
        with TargetFolder(self._root) as folder:
            folder.write_private(STATE, json.dumps(asdict(state)).encode("ascii"))
        with self._errors("sync"):
            os.fsync(self._handle)

    def current(self) -> str | None:
        """The name that the link holds, whether that folder is there or not. LocalEditsError for what is no link of ours."""
        try:
            name = os.readlink(CURRENT, dir_fd=self._handle)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise AccessError(f"cannot read {self._root / CURRENT}: {error.strerror}", path=CURRENT) from error
            name = ""
        if not _VERSION.fullmatch(name):
            raise LocalEditsError(
                f"{self._root / CURRENT} is not a link that was made here; move it away, or choose another folder",
                paths=[CURRENT],
            )
        return name

    def version(self, name: str | None) -> ServedVersion | None:
        """The version in a folder of that name, if a whole one was written there and is there still."""
        match = _VERSION.fullmatch(name or "")
        state = read_state(self._root / match[0]) if match else None
        if match is None or state is None or state.pending:
            return None
        try:
            commit = CommitId.parse(state.commit)
        except FormatError:
            return None
        return (
            ServedVersion(self._root / match[0], int(match[1]), commit, state.tree) if match[0].endswith(commit.short) else None
        )

    def path(self, number: int, commit: CommitId) -> Path:
        """The folder of a version."""
        return self._root / f"v{number}-{commit.short}"

    def switch(self, name: str | None) -> None:
        """Let `current` name that folder, which is made durable first, with all that is in it; with None, name none."""
        with self._errors("switch"):
            if name is None:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(CURRENT, dir_fd=self._handle)
            else:
                _sync_tree(self._root / name)
                os.fsync(self._handle)
                temporary = f"{_TEMPORARY}{secrets.token_hex(8)}"
                os.symlink(name, temporary, dir_fd=self._handle)
                os.replace(temporary, CURRENT, src_dir_fd=self._handle, dst_dir_fd=self._handle)
            os.fsync(self._handle)

    def prune(self, keep: int, spare: set[str]) -> list[str]:
        """Remove the folders of versions but for the `keep` that were written last; never one to `spare`, nor one in use. Their names."""
        with self._errors("prune"):
            there = [
                entry
                for entry in os.scandir(self._handle)
                if _VERSION.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            ]
            ordered = sorted((entry.name for entry in there), key=self._written_ns, reverse=True)
            others = [name for name in ordered if name not in spare]
            gone = [name for name in others[max(0, keep - (len(ordered) - len(others))) :] if self._take_out(name)]
            self._sweep()
            return gone

    def _take_out(self, name: str) -> bool:
        """Give a folder another name, so that no half of it stands under its own; False where it is in use."""
        handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(name, f"{_GOING}{secrets.token_hex(8)}", src_dir_fd=self._handle, dst_dir_fd=self._handle)
        except BlockingIOError:
            return False
        finally:
            os.close(handle)
        return True

    def _written_ns(self, name: str) -> int:
        try:
            return (self._root / name / PRIVATE_FOLDER / "state.json").stat().st_mtime_ns
        except OSError:
            return 0

    def _sweep(self) -> None:
        """Remove what somebody who was stopped has left."""
        for entry in list(os.scandir(self._handle)):
            if entry.name.startswith(_TEMPORARY):
                os.unlink(entry.name, dir_fd=self._handle)
            elif entry.name.startswith(_GOING):
                shutil.rmtree(self._root / entry.name)

    @contextlib.contextmanager
    def _errors(self, verb: str) -> Iterator[None]:
        try:
            yield
        except PermissionError as error:
            raise AccessError(f"cannot {verb} {self._root}: {error.strerror}", folder=str(self._root)) from error
        except OSError as error:
            advice = "its file system has no links; serve from another one" if verb == "switch" else "check the disk"
            raise BackendError(f"cannot {verb} {self._root}: {error.strerror}; {advice}", folder=str(self._root)) from error


def _parse(data: bytes) -> ServedState:
    try:
        value = json.loads(data)
        refused = value["refused"]
        state = ServedState(
            value["registry"], value["model"], value["previous"], Refused(**refused) if refused else None, value["settled"]
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise FormatError("it is not what is written here") from error
    texts = (state.registry, state.model, state.previous or "", state.refused.commit if state.refused else "")
    whole = state.refused is None or type(state.refused.moved) is int
    if not (all(isinstance(text, str) for text in texts) and whole and type(state.settled) is bool):
        raise FormatError("it is not what is written here")
    return state


def _sync_tree(root: Path) -> None:
    """Make all files and folders below durable; what is neither is none of a version's. What somebody who was stopped has half written goes."""
    for folder, _, names in os.walk(root):
        for name in (*names, "."):
            if name.startswith(TEMPORARY_PREFIX):
                Path(folder, name).unlink()
                continue
            path = os.path.join(folder, name)  # noqa: PTH118 - of many files
            try:
                handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                if error.errno not in {errno.ELOOP, errno.ENXIO, errno.ENOENT}:
                    raise
                continue
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
