"""One file of a version as a file object: seekable, fetching what is read, verifying every chunk."""

import io
import os
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import accumulate

from cas_registry.codecs import Buffer
from cas_registry.errors import IntegrityError, NotFoundError
from cas_registry.model.ids import ChunkId, FileId
from cas_registry.model.maps import Located
from cas_registry.operations.transfer import fetch_chunks, fetch_group, worker_pool
from cas_registry.operations.version_files import VersionFile, VersionFiles, verify_whole
from cas_registry.store.objects import ObjectStore
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores
from cas_registry.worktree.copying import hash_file
from cas_registry.worktree.file_cache import FileCache

READ_AHEAD_BYTES = 1024 * 1024
CACHED_BYTES = 16 * 1024 * 1024


def find_file(stores: Stores, version: Version, path: str) -> VersionFile:
    """The file at `path` of a version: one tree a folder on the way. NotFoundError, also for a folder."""
    folder = version.tree
    parts = path.strip("/").split("/")
    for depth, name in enumerate(parts, start=1):
        entry = stores.objects.read_tree(folder).get(name)
        if entry is None:
            break
        if isinstance(entry.id, FileId):
            if depth < len(parts):
                break
            return VersionFile("/".join(parts), entry, folder)
        folder = entry.id
    else:
        raise NotFoundError(f"{path!r} is a folder of {version.model}@{version.commit.short}; name a file in it", path=path)
    raise NotFoundError(f"{version.model}@{version.commit.short} has no file {path!r}; reg ls lists them", path=path)


def open_file(stores: Stores, version: Version, path: str, kept: FileCache | None = None) -> io.BufferedReader:
    """A file of the version for reading, unaffected by whatever moves meanwhile; one that the cache of files has, from there.

    Where its packs are gone because the version was repacked, it goes on with those that have its bytes now. NotFoundError once the version
    is retired and collected.
    """
    file = find_file(stores, version, path)
    if kept is not None and (whole := _open_kept(kept, file)):
        return whole
    chunks = VersionFiles(stores.objects, version.map).chunks(file.entry, file.folder)

    def locate() -> tuple[Located, ...]:
        current = stores.refs(version.model).find_entry(version.commit)
        return VersionFiles(stores.objects, current.map).chunks(file.entry, file.folder)

    return io.BufferedReader(_ChunkedFile(stores.objects, chunks, file, locate), buffer_size=READ_AHEAD_BYTES)


def read_file(stores: Stores, version: Version, path: str, kept: FileCache | None = None) -> bytes:
    """The whole of a file, verified chunk by chunk and against its id; one that the cache of files has, from there."""
    file = find_file(stores, version, path)
    if kept is not None and (whole := _open_kept(kept, file)):
        with whole:
            return whole.read()
    chunks = VersionFiles(stores.objects, version.map).chunks(file.entry, file.folder)
    with worker_pool() as pool:
        data = b"".join(fetch_chunks(stores.objects, pool, chunks))
    verify_whole(file.file_id, path, FileId.of(data).digest)
    return data


def _open_kept(kept: FileCache, file: VersionFile) -> io.BufferedReader | None:
    """The file as the cache has it, read and verified as a whole; None where that does not have it. Its bytes are held open, whatever is removed."""
    with kept.open(file.file_id, file.entry.size_bytes) as handle:
        if handle is None:
            return None
        try:
            if hash_file(handle) == file.file_id:
                os.lseek(handle, 0, os.SEEK_SET)
                return os.fdopen(os.dup(handle), "rb")
        except (OSError, IntegrityError):  # it cannot be read
            pass
    kept.discard(file.file_id, file.entry.size_bytes)
    return None


class RowSource:
    """A file by the row of its chunks, for whoever reads a range here and there, such as parsers of headers. Nothing is kept."""

    def __init__(self, objects: ObjectStore, chunks: Sequence[Located]) -> None:
        self._objects = objects
        self._chunks = chunks
        self._starts = [0, *accumulate(located.placement.raw_bytes for located in chunks)]

    @property
    def size_bytes(self) -> int:
        return self._starts[-1]

    def read(self, offset: int, length: int) -> bytes:
        """The bytes [offset, offset + length), fewer only at the end of the file."""
        end = min(offset + length, self.size_bytes)
        if end <= offset:
            return b""
        first, last = bisect_right(self._starts, offset) - 1, bisect_right(self._starts, end - 1)
        data = b"".join(fetch_group(self._objects, self._chunks[first:last]))
        return data[offset - self._starts[first] : end - self._starts[first]]


class _ChunkedFile(io.RawIOBase):
    """Raw reads over chunks; a few decoded ones are kept. Not thread-safe, as file objects are not."""

    def __init__(
        self, objects: ObjectStore, chunks: tuple[Located, ...], file: VersionFile, locate: Callable[[], tuple[Located, ...]]
    ) -> None:
        super().__init__()
        self._objects = objects
        self._chunks = chunks
        self._file = file
        self._locate = locate
        self._starts = [0, *accumulate(located.placement.raw_bytes for located in chunks)]
        self._position = 0
        self._cache: OrderedDict[ChunkId, Buffer] = OrderedDict()
        self._cached_bytes = 0
        self.name = file.path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._starts[-1]}[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]  # io hands in any writable buffer
        end = min(self._position + len(view), self._starts[-1])
        if end <= self._position:
            return 0
        first = bisect_right(self._starts, self._position) - 1
        last = bisect_right(self._starts, end - 1) - 1
        filled = 0
        for number, data in zip(range(first, last + 1), self._fetch(first, last + 1), strict=True):
            begin = max(self._position - self._starts[number], 0)
            part = data[begin : end - self._starts[number]]
            view[filled : filled + len(part)] = part
            filled += len(part)
        self._position += filled
        return filled

    def readall(self) -> bytes:
        """All from here on, fetched at one go; the whole file is checked against its id as well."""
        start, end = self._position, self._starts[-1]
        if start >= end:
            return b""
        first = bisect_right(self._starts, start) - 1
        data = b"".join(self._read(range(first, len(self._chunks))))
        if start == 0:
            assert isinstance(self._file.entry.id, FileId)  # noqa: S101 - find_file returns files
            verify_whole(self._file.entry.id, self._file.path, FileId.of(data).digest)
        self._position = end
        return data[start - self._starts[first] :]

    def _fetch(self, first: int, last: int) -> list[Buffer]:
        missing = [number for number in range(first, last) if self._chunks[number].placement.chunk not in self._cache]
        fresh = {self._chunks[number].placement.chunk: data for number, data in zip(missing, self._read(missing), strict=True)}
        wanted = self._chunks[first:last]
        found = [fresh.get(located.placement.chunk) or self._cache[located.placement.chunk] for located in wanted]
        for chunk, data in fresh.items():
            self._cache[chunk] = data
            self._cached_bytes += len(data)
        while self._cached_bytes > CACHED_BYTES:
            _, data = self._cache.popitem(last=False)
            self._cached_bytes -= len(data)
        return found

    def _read(self, numbers: Sequence[int]) -> list[Buffer]:
        """Chunks by their numbers, from the store; where that fails, from where they lie by now."""
        if not numbers:
            return []
        with worker_pool() as pool:
            try:
                return list(fetch_chunks(self._objects, pool, [self._chunks[number] for number in numbers]))
            except IntegrityError:
                now = self._locate()
                if now == self._chunks or [row.placement.chunk for row in now] != [row.placement.chunk for row in self._chunks]:
                    raise
                self._chunks = now
                return list(fetch_chunks(self._objects, pool, [now[number] for number in numbers]))
