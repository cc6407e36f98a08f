"""Seeds: chunks that files of the folder hold already, and that need not be fetched.

Where they lie is learnt from the map of the version that the folder holds, and guessed (the same offset of the same path) where
that is not to be had. Neither is believed: bytes that do not hash to the chunk's id are fetched as if there were no seed.
"""

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from cas_registry.codecs import Buffer
from cas_registry.errors import (
    AccessError,
    BackendError,
    IntegrityError,
    LocalEditsError,
    NotFoundError,
    UnsupportedFormatError,
)
from cas_registry.model.ids import ChunkId, CommitId
from cas_registry.model.maps import Located, Reference
from cas_registry.operations.version_files import VersionFile, VersionFiles
from cas_registry.store.stores import Stores
from cas_registry.worktree.target import TargetFolder

SEED_FILES = 128  # open at a time, the most useful ones: macOS gives a process 256 descriptors
LOOK_FROM_BYTES = 1024 * 1024  # below, fetching is quicker than the four round trips to the earlier version's maps
MAP_SHARE = 8  # maps are read for seeds up to this fraction of what there is to fetch


@dataclass(frozen=True, slots=True)
class Earlier:
    """What the folder held: the files of that version that are on disk, and its commit where that is known."""

    model: str
    files: Sequence[VersionFile] = ()
    commit: CommitId | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    path: str
    offset: int
    size_bytes: int
    is_guess: bool = False


class Seeds:
    """Reads chunks from files that are held open, so that they may be replaced meanwhile. A context manager; `read` is thread-safe."""

    def __init__(self, places: Mapping[bytes, _Place], handles: Mapping[str, int], last_use: Mapping[str, int]) -> None:
        self._places = places
        self._handles = dict(handles)
        self._last_use = last_use
        self._lock = threading.Lock()
        self.used_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for path in list(self._handles):
            self._close(path)

    def read(self, group: Sequence[Located]) -> dict[ChunkId, Buffer]:
        """Of these chunks those that a local file holds; for a delta that none holds, its base. All verified."""
        found: dict[ChunkId, Buffer] = {}
        used_bytes = 0
        for located in group:
            if self._take(located, found):
                used_bytes += located.placement.raw_bytes
            elif located.base is not None:
                self._take(located.base, found)
        with self._lock:
            self.used_bytes += used_bytes
        return found

    def expects(self, located: Located) -> bool:
        """Whether a file that is held open is known to have the chunk, going by maps; guesses do not count."""
        place = self._places.get(located.placement.chunk.digest)
        return place is not None and not place.is_guess and place.path in self._handles

    def release(self, number: int) -> None:
        """Close what no file after the `number`-th wants: the disk gets the room of files that were replaced."""
        for path in [path for path in self._handles if self._last_use[path] <= number]:
            self._close(path)

    def _close(self, path: str) -> None:
        os.close(self._handles.pop(path))

    def _take(self, located: Located, found: dict[ChunkId, Buffer]) -> bool:
        chunk = located.placement.chunk
        if chunk in found:
            return True
        place = self._places.get(chunk.digest)
        handle = self._handles.get(place.path) if place else None
        if place is None or handle is None or place.size_bytes != located.placement.raw_bytes:
            return False
        try:
            data = os.pread(handle, place.size_bytes, place.offset)
        except OSError:
            return False  # a bad sector here is no reason not to fetch
        if len(data) != place.size_bytes or ChunkId.of(data) != chunk:
            return False
        found[chunk] = data
        return True


def find_seeds(
    stores: Stores, folder: TargetFolder, wanted: Sequence[tuple[VersionFile, Sequence[Located]]], present: Iterable[str],
    earlier: Earlier,
) -> Seeds:  # fmt: skip
    """What can be had from the files `present` on disk of the chunks that the `wanted` files consist of.

    `Seeds.release` counts as `wanted` does. Reads the earlier version's maps where much is to be fetched. Files are opened, links
    not followed.
    """
    on_disk = set(present)
    index = _Index(wanted)
    held = {file.path: file for file in earlier.files if file.path in on_disk}
    copies = {file.entry.id: path for path, file in held.items()}
    for file, rows in wanted:
        if file.entry.id in copies:
            index.add(copies[file.entry.id], rows)
    mapped: set[str] = set()
    missing_bytes = index.missing_bytes()
    if earlier.commit and held and missing_bytes >= LOOK_FROM_BYTES:
        replaced = {file.path for file, _ in wanted}
        ordered = sorted(held.values(), key=lambda file: file.path not in replaced)
        for path, rows in _read_rows(stores, earlier, ordered, missing_bytes // MAP_SHARE):
            index.add(path, rows)
            mapped.add(path)
    for file, rows in wanted:
        if file.path in on_disk and file.path not in mapped:
            index.add(file.path, rows, is_guess=True)
    return index.open(folder)


class _Index:
    """Where the chunks that are wanted may lie: the place that is named first, the surest, counts."""

    def __init__(self, wanted: Sequence[tuple[VersionFile, Sequence[Located]]]) -> None:
        self._wanted = wanted
        self._last_use: dict[bytes, int] = {}
        for number, (_, rows) in enumerate(wanted):
            self._last_use.update((item.placement.chunk.digest, number) for row in rows for item in (row, row.base) if item)
        self._places: dict[bytes, _Place] = {}

    def add(self, path: str, rows: Iterable[Located], *, is_guess: bool = False) -> None:
        """A file on disk, and the chunks of which it consists, or might."""
        offset = 0
        for row in rows:
            digest = row.placement.chunk.digest
            if digest in self._last_use and digest not in self._places:
                self._places[digest] = _Place(path, offset, row.placement.raw_bytes, is_guess)
            offset += row.placement.raw_bytes

    def missing_bytes(self) -> int:
        """What would have to be fetched as things stand, bases of deltas included."""
        placements = (item.placement for _, rows in self._wanted for row in rows for item in (row, row.base) if item)
        stored = {placement.chunk.digest: placement.stored_bytes for placement in placements}
        return sum(size_bytes for digest, size_bytes in stored.items() if digest not in self._places)

    def open(self, folder: TargetFolder) -> Seeds:
        """The seeds, the files that give most of them held open."""
        use = Counter[str]()
        for place in self._places.values():
            use[place.path] += place.size_bytes
        handles: dict[str, int] = {}
        for path, _ in use.most_common(SEED_FILES):
            with contextlib.suppress(AccessError, BackendError, LocalEditsError):
                handles[path] = folder.open_file(path)
        last_use: dict[str, int] = {}
        for digest, place in self._places.items():
            last_use[place.path] = max(last_use.get(place.path, 0), self._last_use[digest])
        return Seeds(self._places, handles, last_use)


def _read_rows(
    stores: Stores, earlier: Earlier, files: Sequence[VersionFile], budget_bytes: int
) -> Iterator[tuple[str, Sequence[Located]]]:
    """The chunks of files of an earlier version. None where the registry has lost it: that is no reason not to fetch."""
    assert earlier.commit is not None  # noqa: S101 - the caller has looked
    with contextlib.suppress(IntegrityError, NotFoundError, UnsupportedFormatError):
        version = stores.refs(earlier.model).find_entry(earlier.commit)
        located = VersionFiles(stores.objects, version.map)
        references = [located.reference(file.entry, file.folder) for file in files]
        taken: set[Reference] = set()
        for reference in dict.fromkeys(references):
            if reference and reference.size_bytes <= budget_bytes:
                budget_bytes -= reference.size_bytes
                taken.add(reference)
        located.load(taken)
        for file, reference in zip(files, references, strict=True):
            if file.entry.id.digest in located.root.files or reference in taken:
                yield file.path, located.chunks(file.entry, file.folder)
