"""Files of a version onto the disk, each from where that is cheapest: the cache of files, a folder beside it, seeds, the store.

Whatever the source, a file is verified as a whole before it takes its name.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import blake3

from cas_registry.backends import is_remote
from cas_registry.backends.wrappers import CountingBackend
from cas_registry.codecs import Buffer
from cas_registry.errors import IntegrityError, RegistryError
from cas_registry.model.ids import FileId, TreeId
from cas_registry.model.maps import Located
from cas_registry.model.tree import Mode
from cas_registry.operations.progress import Progress
from cas_registry.operations.seeds import Seeds
from cas_registry.operations.transfer import fetch_chunks
from cas_registry.operations.version_files import VersionFile, locate_files, verify_whole
from cas_registry.store.objects import ObjectStore
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores
from cas_registry.worktree.file_cache import FEW_SMALL_FILES, LARGE_BYTES, FileCache
from cas_registry.worktree.scan import FileStat
from cas_registry.worktree.target import TargetFolder


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An open folder with whole files that are wanted, by their id."""

    folder: TargetFolder
    paths: Mapping[FileId | TreeId, str]


class FileWriter:
    """Writes `files` of a version into a folder: `locate`, then `write`, once. The rest is what came of it."""

    def __init__(
        self, stores: Stores, version: Version, folder: TargetFolder, files: Sequence[VersionFile], cache: FileCache,
        *, link: bool, progress: Progress, neighbour: Neighbour | None = None, keep_all: bool = False,
    ) -> None:  # fmt: skip
        self._stores = stores
        self._version = version
        self._folder = folder
        self._cache = cache
        self._link = link
        self._progress = progress
        self._cached = [file for file in files if cache.has(file.file_id, file.entry.size_bytes)]
        self._counted = CountingBackend(stores.backend)
        self._done_bytes = 0
        there = {file.path for file in self._cached}
        beside = neighbour.paths if neighbour else {}
        self._neighbour = neighbour
        small_files = sum(file.entry.size_bytes < LARGE_BYTES for file in files)
        keeps_small = keep_all or (is_remote(stores.backend.url) and small_files <= FEW_SMALL_FILES)
        self._kept_from_bytes = 0 if keeps_small else LARGE_BYTES
        self._beside = [file for file in files if file.path not in there and file.entry.size_bytes and file.file_id in beside]
        there.update(file.path for file in self._beside)
        self._missing = [file for file in files if file.path not in there]
        self.wanted: list[tuple[VersionFile, tuple[Located, ...]]] = []
        self.total_bytes = sum(file.entry.size_bytes for file in files)
        self.cached_bytes = 0
        self.copied_bytes = 0

    @property
    def expected_cached_bytes(self) -> int:
        """What the cache seems to have."""
        return sum(file.entry.size_bytes for file in self._cached)

    @property
    def fetched_bytes(self) -> int:
        """What was read from packs, as it is stored."""
        return self._counted.bytes_in

    def locate(self) -> None:
        """Find the chunks of the files that the cache has not: `wanted`. IntegrityError where a map is missing; nothing was written."""
        self.wanted = self._rows(self._missing)

    def write(self, seeds: Seeds, pool: Executor) -> Iterator[tuple[VersionFile, FileStat]]:
        """Write them all; gives each with its state once it is in place."""
        spoilt: list[VersionFile] = []
        for file in self._cached:
            stat = self._take_cached(file)
            if stat is None:
                spoilt.append(file)
                continue
            self.cached_bytes += file.entry.size_bytes
            yield self._finish(file, stat)
        for file in self._beside:
            stat = self._take_beside(file)
            if stat is None:
                spoilt.append(file)
                continue
            self.copied_bytes += file.entry.size_bytes
            yield self._finish(file, stat)
        yield from self._fetch(self.wanted, seeds, pool)
        if spoilt:
            yield from self._fetch(self._rows(spoilt), None, pool)

    def _rows(self, files: Sequence[VersionFile]) -> list[tuple[VersionFile, tuple[Located, ...]]]:
        if not any(file.entry.size_bytes for file in files):
            return [(file, ()) for file in files]
        rows = locate_files(self._stores.objects, self._version.map, files)
        return [(file, rows[file.path]) for file in files]

    def _take_cached(self, file: VersionFile) -> FileStat | None:
        """A copy of (with `link`, another name for) what the cache has; None where that is not the file after all."""
        size_bytes, identity = file.entry.size_bytes, file.file_id
        executable = file.entry.mode is Mode.EXECUTABLE
        with self._cache.open(identity, size_bytes) as handle:
            if handle is None:
                return None
            stat = None if executable else self._linked(file)
            try:
                stat = stat or self._folder.copy(file.path, handle, identity, executable=executable)
            except IntegrityError:  # it cannot be read
                stat = None
        if stat is None:
            self._cache.discard(identity, size_bytes)
        return stat

    def _take_beside(self, file: VersionFile) -> FileStat | None:
        """A copy of what the neighbour has; None where that is not the file after all."""
        assert self._neighbour  # noqa: S101 - it is where the file was found
        try:
            handle = self._neighbour.folder.open_file(self._neighbour.paths[file.file_id])
        except RegistryError:  # somebody has moved it
            return None
        try:
            return self._folder.copy(file.path, handle, file.file_id, executable=file.entry.mode is Mode.EXECUTABLE)
        except IntegrityError:  # it cannot be read
            return None
        finally:
            os.close(handle)

    def _linked(self, file: VersionFile) -> FileStat | None:
        """The file's name in the cache, if that is wanted. Small files are copied: those are what people edit."""
        linked = self._link and file.entry.size_bytes >= LARGE_BYTES
        path = self._cache.path(file.file_id, file.entry.size_bytes) if linked else None
        return self._folder.link(file.path, path, file.file_id) if path else None

    def _fetch(
        self, wanted: Sequence[tuple[VersionFile, tuple[Located, ...]]], seeds: Seeds | None, pool: Executor
    ) -> Iterator[tuple[VersionFile, FileStat]]:
        objects = ObjectStore(self._counted)
        chunks = fetch_chunks(objects, pool, (row for _, rows in wanted for row in rows), seeds)
        for number, (file, rows) in enumerate(wanted):
            executable = file.entry.mode is Mode.EXECUTABLE
            stat = self._folder.write(file.path, verified_chunks(file, chunks, len(rows)), executable=executable)
            if seeds:
                seeds.release(number)
            if self._keep(file) and not executable:
                stat = self._linked(file) or stat
            yield self._finish(file, stat)

    def _keep(self, file: VersionFile) -> bool:
        """Put a file that was just written into the cache; says whether it is there. Room for what is to come is left on the disk."""
        size_bytes = file.entry.size_bytes
        if size_bytes < self._kept_from_bytes or self._cache.path(file.file_id, size_bytes) is None:
            return False
        try:
            handle = self._folder.open_file(file.path)
        except RegistryError:  # somebody has moved it already
            return False
        try:
            to_come_bytes = self.total_bytes - self._done_bytes - size_bytes
            return self._cache.insert(file.file_id, size_bytes, handle, spare_bytes=to_come_bytes)
        finally:
            os.close(handle)

    def _finish(self, file: VersionFile, stat: FileStat) -> tuple[VersionFile, FileStat]:
        self._done_bytes += file.entry.size_bytes
        self._progress.update("write", self._done_bytes, self.total_bytes)
        return file, stat


def verified_chunks(file: VersionFile, chunks: Iterator[Buffer], count: int) -> Iterator[Buffer]:
    """The next `count` chunks; raises at the end if they do not make up the file, before it gets its name."""
    hasher = blake3.blake3()
    for _ in range(count):
        data = next(chunks)
        hasher.update(data)
        yield data
    verify_whole(file.file_id, file.path, hasher.digest())
