"""What a folder holds right now: names, sizes and times; no file is read.

Symbolic links to files are followed (a Hugging Face cache is nothing else); links to folders, broken links and devices
are refused by name. `.regignore` holds patterns as .gitignore does; `.git`, `.reg` and what a killed checkout left half-written are
never taken.
"""

import os
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from cas_registry.errors import AccessError, HostileNameError, InvalidInputError, LimitError, NotFoundError
from cas_registry.model.names import MAX_PATH_BYTES, MAX_PATH_DEPTH, are_plain, check_component, check_path

IGNORE_FILE = ".regignore"
NEVER_TAKEN = frozenset({".git", ".reg"})
_OWN_FOLDER = ".reg"  # what a checkout remembers, right in its folder
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
    """One file: its path in the version, the folder and the name that it has on disk, and its state when it was looked at."""

    path: str
    folder: Path
    spelling: str
    stat: FileStat
    executable: bool

    @property
    def disk(self) -> Path:
        """Its path on disk."""
        return self.folder / self.spelling


Row = tuple[str, int, int, int, int, int]  # a name, and the size, mtime, ctime, inode and mode that it stands for


@dataclass(frozen=True, slots=True)
class Listing:
    """The files right in one folder in columns, in the order in which the disk lists them.

    Columns, and no object per file: of a hundred thousand files nothing is asked in most commits but whether they are what they were.
    `prefix` is the folder's path in the version with a slash, or nothing for the root. `spellings` has the names on disk that differ
    from the version's.
    """

    prefix: str
    disk: Path
    names: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    mtimes: tuple[int, ...] = ()
    ctimes: tuple[int, ...] = ()
    inodes: tuple[int, ...] = ()
    modes: tuple[int, ...] = ()
    spellings: Mapping[str, str] = field(default_factory=dict)

    def rows(self) -> Iterator[Row]:
        """The files one by one."""
        return zip(self.names, self.sizes, self.mtimes, self.ctimes, self.inodes, self.modes, strict=True)

    def found(self, row: Row) -> FoundFile:
        """One of the rows as a value."""
        name, size_bytes, mtime_ns, ctime_ns, inode, mode = row
        state = FileStat(size_bytes, mtime_ns, ctime_ns, inode)
        return FoundFile(f"{self.prefix}{name}", self.disk, self.spellings.get(name, name), state, bool(mode & stat.S_IXUSR))


@dataclass(frozen=True)  # with room for what is worked out once
class Snapshot:
    """What a scan found: a listing for every folder that holds files, and the folders by path.

    `folders` include empty ones and all parents, not the root itself.
    """

    listings: tuple[Listing, ...]
    folders: frozenset[str]

    @cached_property
    def files(self) -> tuple[FoundFile, ...]:
        """The files sorted by path; made when they are asked for."""
        found = [listing.found(row) for listing in self.listings for row in listing.rows()]
        return tuple(sorted(found, key=lambda file: file.path))

    @property
    def count(self) -> int:
        """The number of files."""
        return sum(len(listing.names) for listing in self.listings)

    @property
    def size_bytes(self) -> int:
        return sum(sum(listing.sizes) for listing in self.listings)


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
    listings: list[Listing] = []
    folders: set[str] = set()
    problems: list[str] = []
    for name, path in _given(paths).items():
        if path.is_dir():
            prefix = "" if len(paths) == 1 else f"{name}/"
            if prefix:
                check_component(name)
                folders.add(name)
            _Scanner(path, listings, folders, problems).folder(path, prefix)
            continue
        check_component(name)
        row = _row(name, path.stat())
        if stat.S_ISREG(row[-1]):
            listings.append(_listing("", path.parent, [row], {} if name == path.name else {name: path.name}))
        else:
            problems.append(f"{path}: neither a file nor a folder")
    if problems:
        shown = "; ".join(problems[:_LISTED]) + (f"; and {len(problems) - _LISTED} more" if len(problems) > _LISTED else "")
        raise HostileNameError(
            f"cannot be stored: {shown}. Rename or remove them, or list them in {IGNORE_FILE}", problems=problems
        )
    return Snapshot(tuple(listings), frozenset(folders))


def scan_all(root: Path) -> tuple[Snapshot, tuple[str, ...]]:
    """All that a folder holds, `.regignore` or not, and what no version of it could hold: hostile names, links to folders, `.git`.

    Only the folder's own `.reg`, and what a killed checkout left half-written in it, are passed over. NotFoundError where it is no folder.
    """
    if not root.is_dir():
        raise NotFoundError(f"there is no folder {root}", path=str(root))
    listings: list[Listing] = []
    folders: set[str] = set()
    problems: list[str] = []
    scanner = _Scanner(root, listings, folders, problems, everything=True)
    scanner.folder(root, "")
    return Snapshot(tuple(listings), frozenset(folders)), tuple(sorted(problems))


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

    def __init__(
        self, root: Path, listings: list[Listing], folders: set[str], problems: list[str], *, everything: bool = False
    ) -> None:
        self._listings = listings
        self._folders = folders
        self._problems = problems
        self._everything = everything
        self._ignored = None if everything else read_ignore_file(root)

    def folder(self, disk: Path, prefix: str) -> None:
        rows: list[Row] = []
        below: list[str] = []
        lost: dict[str, str] = {}
        try:
            with os.scandir(disk) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        below.append(entry.name)
                        continue
                    try:
                        state = entry.stat()
                    except OSError as error:
                        lost[entry.name] = _why_lost(entry, error)
                        continue
                    rows.append((entry.name, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino, state.st_mode))
        except OSError as error:
            raise AccessError(f"cannot read the folder {disk}: {error.strerror}", path=str(disk)) from error
        self._take_files(disk, prefix, rows, lost)
        self._take_folders(disk, prefix, below)

    def _take_files(self, disk: Path, prefix: str, rows: list[Row], lost: Mapping[str, str]) -> None:
        listing = _listing(prefix, disk, rows, {})
        if not lost and not self._ignored and _is_plain(listing):
            self._listings.append(listing)
            return
        taken: dict[str, Row] = {}
        spellings: dict[str, str] = {}
        for row in rows:
            name = self._take(row[0], prefix, _objection(row[-1]))
            if name is None:
                continue
            if name in taken:
                self._problems.append(f"{prefix}{name}: two files whose names differ in their Unicode form only")
            taken[name] = (name, *row[1:])
            if name != row[0]:
                spellings[name] = row[0]
        for spelling, why in lost.items():
            self._take(spelling, prefix, why)
        self._listings.append(_listing(prefix, disk, list(taken.values()), spellings))

    def _take_folders(self, disk: Path, prefix: str, below: Iterable[str]) -> None:
        for spelling in below:
            name = self._take(spelling, prefix, None, is_folder=True)
            if name is None:
                continue
            path = f"{prefix}{name}"
            if path in self._folders:
                self._problems.append(f"{path}: two folders whose names differ in their Unicode form only")
                continue
            self._folders.add(path)
            self.folder(disk / spelling, f"{path}/")

    def _take(self, spelling: str, prefix: str, objection: str | None, *, is_folder: bool = False) -> str | None:
        """The name under which a file or folder goes in; None where it is left out, or noted as a problem."""
        name = spelling if spelling.isascii() else unicodedata.normalize("NFC", spelling)
        path = f"{prefix}{name}"
        if name in NEVER_TAKEN or name.startswith(TEMPORARY_PREFIX):
            if self._everything and path != _OWN_FOLDER:
                self._problems.append(f"{path}: no version holds that name")
            return None
        if self._ignored and self._ignored.match_file(f"{path}/" if is_folder else path):
            return None
        try:
            check_component(name)
            check_path(path)
        except (HostileNameError, LimitError) as error:
            self._problems.append(f"{path!a}: {error.message}")
            return None
        if objection:
            self._problems.append(f"{path}: {objection}")
            return None
        return name


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


def _row(name: str, status: os.stat_result) -> Row:
    return name, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_mode


def _listing(prefix: str, disk: Path, rows: Sequence[Row], spellings: Mapping[str, str]) -> Listing:
    if not rows:
        return Listing(prefix, disk)
    names, sizes, mtimes, ctimes, inodes, modes = zip(*rows, strict=True)
    return Listing(prefix, disk, names, sizes, mtimes, ctimes, inodes, modes, spellings)


def _is_plain(listing: Listing) -> bool:
    """Whether nothing of a folder needs a closer look: regular files with plain names, and their paths within the limits."""
    longest = len(listing.prefix) + max(map(len, listing.names), default=0)
    return (
        all(map(stat.S_ISREG, set(listing.modes)))
        and longest <= MAX_PATH_BYTES
        and listing.prefix.isascii()
        and listing.prefix.count("/") < MAX_PATH_DEPTH
        and are_plain(listing.names)
    )


def _objection(mode: int) -> str | None:
    """Why what is no folder itself cannot be stored, by its mode or that of what it links to."""
    if stat.S_ISDIR(mode):
        return "a link to a folder (links to files are followed)"
    return None if stat.S_ISREG(mode) else "neither a file nor a folder"


def _why_lost(entry: os.DirEntry[str], error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "a link to nothing" if entry.is_symlink() else "vanished while the folder was read"
    return error.strerror or str(error)
