"""Objects of remote registries that never change, kept on this machine, so that they are asked for once.

    <cache>/objects/<registry id>/<key>        0600, put there by rename once it is whole
    <cache>/objects/<registry id>/…/HEAD       how far a log was seen; its time of modification is when
    <cache>/objects/places/<hash of a URL>     which registry was last seen there
    <cache>/objects/written                    a byte for each 4 KiB written since old objects were removed last
    <cache>/objects/tmp-<random>               under way; garbage after a day

The cache is a convenience: whatever fails here, the store is asked. Nothing in it is believed: who reads from here verifies what it gets, and
calls `discard` for what is not what its name says. Several processes share one cache without a lock.
"""

import contextlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cas_registry.errors import FormatError
from cas_registry.model.canonical import MAX_METADATA_BYTES, hex_digits
from cas_registry.model.ids import FileId

TRIM_SHARE = 8  # the limit may be passed by an eighth before old objects are looked for: listing them takes a while
_BLOCK_BYTES = 4096  # what a small file takes of a disk
_RECENT_NS = 3600 * 10**9  # a use within the hour need not be noted again
_STALE_NS = 24 * 3600 * 10**9
_TEMPORARY_PREFIX = "tmp-"
_FOLDER, _PLACES, _WRITTEN = "objects", "places", "written"
_PLACE_BYTES = 64


class ObjectCache:
    """The objects of one registry that are kept, those of all registries together at most `limit_bytes`, give or take `TRIM_SHARE`: the
    least recently used go first. Zero keeps nothing. Thread-safe."""

    def __init__(self, folder: Path, registry: str, *, limit_bytes: int, clock_ns: Callable[[], int]) -> None:
        self._root = folder / _FOLDER
        self._folder = self._root / registry
        self._limit_bytes = limit_bytes
        self._clock_ns = clock_ns
        self.registry = registry

    def get(self, key: str) -> bytes | None:
        """What is kept under a key, or None. Counts as a use."""
        path = self._folder / key
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError):
            return None
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_METADATA_BYTES:
                return None
            with os.fdopen(handle, "rb", closefd=False) as file:
                data = file.read()
            now_ns = self._clock_ns()
            if now_ns - status.st_atime_ns > _RECENT_NS:
                os.utime(handle, ns=(now_ns, status.st_mtime_ns))
        except OSError:
            return None
        finally:
            os.close(handle)
        return data

    def put(self, key: str, data: bytes) -> None:
        """Keep an object, instead of whatever is kept under its key."""
        blocks = -(-len(data) // _BLOCK_BYTES) or 1
        if blocks * _BLOCK_BYTES > self._limit_bytes // TRIM_SHARE:
            return
        path = self._folder / key
        temporary = self._root / f"{_TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        try:
            self._make_folders(path.parent)
            _write(temporary, data)
            now_ns = self._clock_ns()
            os.utime(temporary, ns=(now_ns, now_ns))
            temporary.rename(path)
            written_bytes = _append(self._root / _WRITTEN, blocks) * _BLOCK_BYTES
        except (OSError, ValueError):
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            return
        if written_bytes > self._limit_bytes // TRIM_SHARE:
            self.trim()

    def confirm(self, key: str, data: bytes) -> None:
        """Keep something small of which it matters when it was so last: `modified_ms`."""
        if self.get(key) != data:
            self.put(key, data)
            return
        now_ns = self._clock_ns()
        with contextlib.suppress(OSError):
            os.utime(self._folder / key, ns=(now_ns, now_ns), follow_symlinks=False)

    def modified_ms(self, key: str) -> int | None:
        """When an object was put there, or confirmed last."""
        try:
            return (self._folder / key).lstat().st_mtime_ns // 1_000_000
        except (OSError, ValueError):
            return None

    def discard(self, key: str) -> None:
        """Forget an object that is not what its name says."""
        with contextlib.suppress(OSError, ValueError):
            (self._folder / key).unlink(missing_ok=True)

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """The keys that are kept and begin so, with the length of each."""
        folder, _, _ = prefix.rpartition("/")
        for kept in _walk(self._folder / folder):
            key = kept.path.relative_to(self._folder).as_posix()
            if key.startswith(prefix):
                yield key, kept.size_bytes

    def trim(self) -> None:
        """Remove what is beyond the limit, of whatever registry, and what was left half-written."""
        before_ns = self._clock_ns() - _STALE_NS
        with contextlib.suppress(OSError):
            for path in self._root.glob(f"{_TEMPORARY_PREFIX}*"):
                if path.lstat().st_mtime_ns < before_ns:
                    path.unlink(missing_ok=True)
        kept = [found for folder in self._registries() for found in _walk(folder)]
        total_bytes = sum(found.disk_bytes for found in kept)
        for found in sorted(kept, key=lambda found: found.used_ns):
            if total_bytes <= self._limit_bytes:
                break
            with contextlib.suppress(OSError):
                found.path.unlink(missing_ok=True)
                total_bytes -= found.disk_bytes
        with contextlib.suppress(OSError):
            os.truncate(self._root / _WRITTEN, 0)

    def _registries(self) -> Iterator[Path]:
        with contextlib.suppress(OSError):
            yield from [
                path for path in self._root.iterdir() if path.name != _PLACES and path.is_dir() and not path.is_symlink()
            ]

    def _make_folders(self, folder: Path) -> None:
        if not folder.is_dir():
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)  # for its owner alone
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def remember_place(folder: Path, url: str, registry: str) -> None:
    """Note which registry is at a URL."""
    path = _place(folder, url)
    if find_place(folder, url) == registry:
        return
    temporary = path.with_name(f"{_TEMPORARY_PREFIX}{secrets.token_hex(8)}")
    try:
        path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        _write(temporary, registry.encode("ascii"))
        temporary.rename(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def find_place(folder: Path, url: str) -> str | None:
    """Which registry was last seen at a URL, None where none was."""
    try:
        with _place(folder, url).open("rb") as file:
            return hex_digits(file.read(_PLACE_BYTES).decode("ascii"), what="registry")
    except (OSError, ValueError, FormatError):
        return None


@dataclass(frozen=True, slots=True)
class _Kept:
    path: Path
    size_bytes: int
    used_ns: int

    @property
    def disk_bytes(self) -> int:
        return (-(-self.size_bytes // _BLOCK_BYTES) or 1) * _BLOCK_BYTES


def _place(folder: Path, url: str) -> Path:
    return folder / _FOLDER / _PLACES / FileId.of(url.encode("utf-8", "surrogateescape")).hex


def _walk(folder: Path) -> Iterator[_Kept]:
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except (OSError, ValueError):
        return
    for entry in entries:
        with contextlib.suppress(OSError):  # another process has removed it
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path))
                continue
            status = entry.stat(follow_symlinks=False)
            yield _Kept(Path(entry.path), status.st_size, status.st_atime_ns)


def _write(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)


def _append(path: Path, count: int) -> int:
    """The length of a file once that many bytes were added to it."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, b"." * count)
        return os.fstat(handle).st_size
    finally:
        os.close(handle)
