"""Which files need not be read again: their ids under the size, times and inode that they had.

A file touched in the very moment it was read may change again without its time moving (file systems keep time in ticks), so
an id is remembered only if the file was older than a tick when it was read: git's "racy" rule. Losing the cache costs a
re-read, nothing else.
"""

import contextlib
import os
import secrets
import struct
from array import array
from collections.abc import Iterator
from pathlib import Path

import blake3

from cas_registry.model.ids import FileId, TreeId
from cas_registry.worktree.scan import FileStat, FoundFile, Listing, Row, Snapshot

TICK_NS = 20_000_000  # ext4, xfs, tmpfs and apfs stamp with the kernel's coarse clock, 1 to 10 ms
COARSE_TICK_NS = 2_000_000_000  # FAT: two seconds; a time without a fraction is taken for such a one
MAX_CACHE_BYTES = 256 * 1024 * 1024  # three million files; what is longer was not written here
_MAGIC = b"CASSTAT\x02"
_HEAD = struct.Struct("<8s32s32s")  # magic, a snapshot's fingerprint, the tree that it makes; zeros where none is remembered
_CHECK_BYTES = 32
_FOLDER = struct.Struct("<III")  # bytes of its path, bytes of its files' names, files
_ROW = struct.Struct("<QqqQ32s")  # size, mtime, ctime, inode, file id
_MAX_TIME_NS = 2**63  # the year 2262
_NOTHING = bytes(32)
_Known = tuple[int, int, int, int, bytes]


class StatCache:
    """The ids of files by the path at which they were asked for, and the tree of the last folder that was known whole.

    One writer at a time; the last one wins whole. The file is a head and a table, each with its check, so that the question
    after the tree reads a hundred bytes. What is damaged is not there.
    """

    def __init__(self, location: Path | None, *, read_only: bool = False) -> None:
        self._location = location
        self._read_only = read_only
        self._rows: dict[str, dict[str, _Known]] | None = None
        self._tree: tuple[bytes, bytes] | None = None
        self._changed = False

    def tree(self, snapshot: Snapshot) -> TreeId | None:
        """The tree of a folder in which nothing was touched since all its files were known; no other part of the cache is read."""
        fingerprint, tree = self._tree or _read_head(self._location)
        return TreeId(tree) if tree != _NOTHING and fingerprint == _fingerprint(snapshot) else None

    def put_tree(self, snapshot: Snapshot, tree: TreeId) -> None:
        """Remember the tree of a folder, if every file of it is remembered."""
        if any(digest is None for _, _, digest in self._known(snapshot)):
            return
        remembered = (_fingerprint(snapshot), tree.digest)
        self._changed = self._changed or remembered != (self._tree or _read_head(self._location))
        self._tree = remembered

    def look_up(self, snapshot: Snapshot) -> tuple[dict[str, FileId], list[FoundFile]]:
        """The ids of the files that have not been touched since they were read, by their path in the version; and all other files."""
        ids: dict[str, FileId] = {}
        unknown: list[FoundFile] = []
        for listing, row, digest in self._known(snapshot):
            if digest is not None:
                ids[f"{listing.prefix}{row[0]}"] = FileId(digest)
            else:
                unknown.append(listing.found(row))
        unknown.sort(key=lambda file: file.path)
        return ids, unknown

    def get(self, path: Path, stat: FileStat) -> FileId | None:
        """The id of the file, if it has not been touched since it was read."""
        folder, name = os.path.split(path)
        row = self._table.get(folder, {}).get(name)
        if row is None or row[:4] != (stat.size_bytes, stat.mtime_ns, stat.ctime_ns, stat.inode):
            return None
        return FileId(row[4])

    def put(self, path: Path, stat: FileStat, file: FileId, *, read_at_ns: int) -> None:
        """Remember the id of a file whose reading began at `read_at_ns` (nanoseconds since 1970)."""
        touched_ns = max(stat.mtime_ns, stat.ctime_ns)
        tick_ns = TICK_NS if stat.mtime_ns % 1_000_000_000 or stat.ctime_ns % 1_000_000_000 else COARSE_TICK_NS
        if touched_ns + tick_ns > read_at_ns or max(map(abs, (stat.mtime_ns, stat.ctime_ns))) >= _MAX_TIME_NS:
            return
        folder, name = os.path.split(path)
        row = (stat.size_bytes, stat.mtime_ns, stat.ctime_ns, stat.inode, file.digest)
        self._table.setdefault(folder, {})[name] = row
        self._changed = True

    def keep_only(self, snapshot: Snapshot) -> None:
        """Forget every file that is not in the snapshot."""
        kept: dict[str, dict[str, _Known]] = {}
        for listing in snapshot.listings:
            folder = str(listing.disk)
            known = self._table.get(folder, {})
            names = (listing.spellings.get(name, name) for name in listing.names)
            kept.setdefault(folder, {}).update({name: known[name] for name in names if name in known})
        kept = {folder: rows for folder, rows in kept.items() if rows}
        self._changed = self._changed or sum(map(len, kept.values())) != sum(map(len, self._table.values()))
        self._rows = kept

    def save(self) -> None:
        """Write the cache if it changed and may be written. A failure is ignored: the cache is a convenience."""
        if not self._changed or self._location is None or self._read_only:
            return
        temporary = self._location.with_name(f"{self._location.name}.{secrets.token_hex(8)}")
        data = _encode(self._table, self._tree or _read_head(self._location))
        try:
            self._location.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
            temporary.replace(self._location)
            self._changed = False
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()

    def _known(self, snapshot: Snapshot) -> Iterator[tuple[Listing, Row, bytes | None]]:
        """Every file of the snapshot with its id's digest, or None where it must be read."""
        for listing in snapshot.listings:
            known = self._table.get(str(listing.disk), {})
            spellings = listing.spellings
            for row in listing.rows():
                have = known.get(spellings.get(row[0], row[0]))
                yield listing, row, have[4] if have is not None and have[:4] == row[1:5] else None

    @property
    def _table(self) -> dict[str, dict[str, _Known]]:
        if self._rows is None:
            self._rows = _read_table(self._location)
        return self._rows


def _fingerprint(snapshot: Snapshot) -> bytes:
    """A digest of all that a scan saw: names, sizes, times, inodes, modes, empty folders."""
    hasher = blake3.blake3()
    for listing in snapshot.listings:
        columns = b"".join(
            _column(column) for column in (listing.sizes, listing.mtimes, listing.ctimes, listing.inodes, listing.modes)
        )
        names = "/".join((listing.prefix, *listing.names)).encode("utf-8", "surrogatepass")
        hasher.update(_FOLDER.pack(len(names), len(columns), len(listing.names)))
        hasher.update(names)
        hasher.update(columns)
    hasher.update("\0".join(sorted(snapshot.folders)).encode("utf-8", "surrogatepass"))
    return hasher.digest()


def _column(numbers: tuple[int, ...]) -> bytes:
    try:
        return array("q", numbers).tobytes()
    except OverflowError:  # an inode of a layered file system, a time after 2262
        return repr(numbers).encode("ascii")


def _encode(table: dict[str, dict[str, _Known]], tree: tuple[bytes, bytes]) -> bytes:
    head = _HEAD.pack(_MAGIC, *tree)
    parts = [head, _check(head)]
    for folder, rows in table.items():
        path = folder.encode("utf-8", "surrogatepass")
        names = "\0".join(rows).encode("utf-8", "surrogatepass")
        parts += [_FOLDER.pack(len(path), len(names), len(rows)), path, names]
        parts += [_ROW.pack(*row) for row in rows.values()]
    data = b"".join(parts)
    return data + _check(data)


def _read_head(location: Path | None) -> tuple[bytes, bytes]:
    data = _read(location, _HEAD.size + _CHECK_BYTES)
    head, check = data[: _HEAD.size], data[_HEAD.size :]
    if len(head) != _HEAD.size or check != _check(head):
        return _NOTHING, _NOTHING
    magic, fingerprint, tree = _HEAD.unpack(head)
    return (fingerprint, tree) if magic == _MAGIC else (_NOTHING, _NOTHING)


def _read_table(location: Path | None) -> dict[str, dict[str, _Known]]:
    data = _read(location, MAX_CACHE_BYTES)
    body = memoryview(data)[:-_CHECK_BYTES]
    if not data.startswith(_MAGIC) or data[-_CHECK_BYTES:] != _check(body):
        return {}
    try:
        return dict(_folders(body[_HEAD.size + _CHECK_BYTES :]))
    except (ValueError, struct.error):
        return {}


def _folders(body: memoryview) -> Iterator[tuple[str, dict[str, _Known]]]:
    """The folders of a table. ValueError or struct.error where it does not add up."""
    position = 0
    while position < len(body):
        path_bytes, names_bytes, count = _FOLDER.unpack_from(body, position)
        path_end = position + _FOLDER.size + path_bytes
        names_end = path_end + names_bytes
        end = names_end + count * _ROW.size
        path = str(body[path_end - path_bytes : path_end], "utf-8", "surrogatepass")
        names = str(body[path_end:names_end], "utf-8", "surrogatepass").split("\0")
        yield path, dict(zip(names, _ROW.iter_unpack(body[names_end:end]), strict=True))
        position = end


def _read(location: Path | None, limit: int) -> bytes:
    """The first bytes of a file; nothing where it cannot be read."""
    if location is None:
        return b""
    try:
        with location.open("rb", buffering=0) as file:
            return file.read(min(limit, os.fstat(file.fileno()).st_size))
    except OSError:
        return b""


def _check(data: bytes | memoryview) -> bytes:
    """What proves the cache whole: a wrong id in it would be taken for a file that changed."""
    return blake3.blake3(data).digest()
