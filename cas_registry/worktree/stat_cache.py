"""Which files need not be read again: their ids under the size, times and inode that they had.

A file touched in the very moment it was read may change again without its time moving (file systems keep time in ticks), so
an id is remembered only if the file was older than a tick when it was read: git's "racy" rule. Losing the cache costs a
re-read, nothing else.
"""

import contextlib
import json
import secrets
from pathlib import Path
from typing import Any

from cas_registry.errors import FormatError
from cas_registry.model.ids import FileId
from cas_registry.worktree.scan import FileStat

TICK_NS = 20_000_000  # ext4, xfs, tmpfs and apfs stamp with the kernel's coarse clock, 1 to 10 ms
COARSE_TICK_NS = 2_000_000_000  # FAT: two seconds; a time without a fraction is taken for such a one
_VERSION = 1


class StatCache:
    """The ids of files by their absolute path. One writer at a time; the last one wins whole."""

    def __init__(self, location: Path | None) -> None:
        self._location = location
        self._rows: dict[str, list[int | str]] = _load(location) if location else {}
        self._changed = False

    def get(self, path: Path, stat: FileStat) -> FileId | None:
        """The id of the file, if it has not been touched since it was read."""
        row = self._rows.get(str(path))
        if row is None or row[:4] != [stat.size_bytes, stat.mtime_ns, stat.ctime_ns, stat.inode]:
            return None
        try:
            return FileId.parse(row[4])
        except FormatError:
            return None

    def put(self, path: Path, stat: FileStat, file: FileId, *, read_at_ns: int) -> None:
        """Remember the id of a file whose reading began at `read_at_ns` (nanoseconds since 1970)."""
        touched_ns = max(stat.mtime_ns, stat.ctime_ns)
        tick_ns = TICK_NS if stat.mtime_ns % 1_000_000_000 or stat.ctime_ns % 1_000_000_000 else COARSE_TICK_NS
        if touched_ns + tick_ns > read_at_ns:
            return
        self._rows[str(path)] = [stat.size_bytes, stat.mtime_ns, stat.ctime_ns, stat.inode, file.hex]
        self._changed = True

    def keep_only(self, paths: set[str]) -> None:
        """Forget every file that is not among `paths`."""
        kept = {path: row for path, row in self._rows.items() if path in paths}
        self._changed = self._changed or len(kept) != len(self._rows)
        self._rows = kept

    def save(self) -> None:
        """Write the cache if it changed. A failure is ignored: the cache is a convenience."""
        if not self._changed or self._location is None:
            return
        temporary = self._location.with_name(f"{self._location.name}.{secrets.token_hex(8)}")
        body = json.dumps({"v": _VERSION, "files": self._rows})
        try:
            self._location.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(f"{_check(body)}\n{body}", encoding="utf-8")
            temporary.replace(self._location)
            self._changed = False
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()


def _load(location: Path) -> dict[str, list[int | str]]:
    try:
        check, _, body = location.read_text(encoding="utf-8").partition("\n")
        value: Any = json.loads(body) if check == _check(body) else None
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(value, dict) or value.get("v") != _VERSION or not isinstance(value.get("files"), dict):
        return {}
    return {path: row for path, row in value["files"].items() if isinstance(row, list) and len(row) == 5}  # noqa: PLR2004


def _check(body: str) -> str:
    """What proves the cache whole: a wrong id in it would be taken for a file that changed."""
    return FileId.of(body.encode("utf-8")).hex
