"""What a folder holds right now: names, sizes and times; no file is read.

Symbolic links to files are followed (a Hugging Face cache is nothing else); links to folders, broken links and devices
are refused by name. `.regignore` holds patterns as .gitignore does; `.git`, `.reg` and what a killed checkout left half-written are
never taken.
"""

import os
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from cas_registry.errors import AccessError, HostileNameError, InvalidInputError, LimitError, NotFoundError
from cas_registry.model.names import check_component, check_path

IGNORE_FILE = ".regignore"
NEVER_TAKEN = frozenset({".git", ".reg"})
TEMPORARY_PREFIX = ".reg-tmp-"  # of a checkout's files until they are whole
_LISTED = 10  # names in an error message


@dataclass(frozen=True, slots=True)
class FileStat:
    """What tells whether a file may have changed: bytes, nanoseconds since 1970, inode number."""

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> "FileStat":
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One file: its path in the version, its path on disk, and its state when it was looked at."""

    path: str
    disk: Path
    stat: FileStat
    executable: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Files and folders by path, sorted; folders include empty ones and all parents, not the root itself."""

    files: tuple[FoundFile, ...]
    folders: frozenset[str]

    @property
    def size_bytes(self) -> int:
        return sum(file.stat.size_bytes for file in self.files)


class Matcher(Protocol):
    """Gitignore patterns."""

    def match_file(self, file: str) -> bool:
        """Whether the path (folders end in `/`) is ignored."""


def scan(paths: Sequence[Path]) -> Snapshot:
    """The files below `paths`: one folder is the version's root, otherwise every path goes in under its own name.

    Raises NotFoundError for a path that is not there, HostileNameError with every name that cannot be stored,
    InvalidInputError for links and devices, AccessError for what cannot be read.
    """
    if not paths:
        raise InvalidInputError("nothing to commit: give a folder or files")
    files: list[FoundFile] = []
    folders: set[str] = set()
    problems: list[str] = []
    for name, path in _given(paths).items():
        if path.is_dir():
            prefix = "" if len(paths) == 1 else f"{name}/"
            if prefix:
                check_component(name)
                folders.add(name)
            _Scanner(path, files, folders, problems).folder(path, prefix)
            continue
        check_component(name)
        status = path.stat()
        if stat.S_ISREG(status.st_mode):
            files.append(_found(name, path, status))
        else:
            problems.append(f"{path}: neither a file nor a folder")
    if problems:
        shown = "; ".join(problems[:_LISTED]) + (f"; and {len(problems) - _LISTED} more" if len(problems) > _LISTED else "")
        raise HostileNameError(
            f"cannot be stored: {shown}. Rename or remove them, or list them in {IGNORE_FILE}", problems=problems
        )
    files.sort(key=lambda file: file.path)
    for left, right in pairwise(files):
        if left.path == right.path:
            raise InvalidInputError(f"{left.disk} and {right.disk} would both be {left.path!r} in the version", path=left.path)
    return Snapshot(tuple(files), frozenset(folders))


def _given(paths: Sequence[Path]) -> dict[str, Path]:
    """The paths by the names under which they go in."""
    given: dict[str, Path] = {}
    for path in paths:
        if not path.exists():
            raise NotFoundError(f"{path} does not exist", path=str(path))
        name = unicodedata.normalize("NFC", path.resolve().name if path.is_dir() else path.name)
        if name in given:
            raise InvalidInputError(f"{given[name]} and {path} would both be {name!r} in the version", path=name)
        given[name] = path
    return given


class _Scanner:
    """One walk; collects instead of returning so that a hundred thousand files stay cheap."""

    def __init__(self, root: Path, files: list[FoundFile], folders: set[str], problems: list[str]) -> None:
        self._files = files
        self._folders = folders
        self._problems = problems
        self._ignored = read_ignore_file(root)

    def folder(self, disk: Path, prefix: str) -> None:
        for entry in _entries(disk):
            name = entry.name if entry.name.isascii() else unicodedata.normalize("NFC", entry.name)
            if name in NEVER_TAKEN or name.startswith(TEMPORARY_PREFIX):
                continue
            path = f"{prefix}{name}"
            is_folder = entry.is_dir(follow_symlinks=False)
            if self._ignored and self._ignored.match_file(f"{path}/" if is_folder else path):
                continue
            problem = self._problem(entry, name, path)
            if is_folder and path in self._folders:
                problem = f"{path}: two folders whose names differ in their Unicode form only"
            if problem:
                self._problems.append(problem)
            elif is_folder:
                self._folders.add(path)
                self.folder(disk / entry.name, f"{path}/")
            else:
                self._files.append(_found(path, disk / entry.name, entry.stat()))

    @staticmethod
    def _problem(entry: os.DirEntry[str], name: str, path: str) -> str | None:
        try:
            check_component(name)
            check_path(path)
        except (HostileNameError, LimitError) as error:
            return f"{path!a}: {error.message}"
        try:
            mode = entry.stat().st_mode
        except FileNotFoundError:
            return f"{path}: a link to nothing" if entry.is_symlink() else f"{path}: vanished while the folder was read"
        except OSError as error:
            return f"{path}: {error.strerror}"
        if entry.is_symlink() and stat.S_ISDIR(mode):
            return f"{path}: a link to a folder (links to files are followed)"
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            return f"{path}: neither a file nor a folder"
        return None


def read_ignore_file(root: Path) -> Matcher | None:
    """The patterns of `.regignore` in `root`, or None without one."""
    try:
        lines = (root / IGNORE_FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{root / IGNORE_FILE} cannot be read as UTF-8 text: {error}") from error
    import pathspec  # noqa: PLC0415 - 40 ms that folders without the file need not pay

    matcher: Matcher = pathspec.GitIgnoreSpec.from_lines(lines)
    return matcher


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except PermissionError as error:
        raise AccessError(f"cannot read the folder {folder}: {error.strerror}", path=str(folder)) from error


def _found(path: str, disk: Path, status: os.stat_result) -> FoundFile:
    return FoundFile(path, disk, FileStat.of(status), bool(status.st_mode & stat.S_IXUSR))
