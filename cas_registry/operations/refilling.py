"""Chunks that are gone from where maps say they are: found in other packs, saved from damaged ones, or taken from a source and stored anew.

Whole chunks come first, for deltas are made to them; deltas that still decode keep their form. A file of whose chunks nothing is known,
or not enough, is cut anew where a source has it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from itertools import chain

import blake3

from cas_registry.chunking import Piece, cut, segments
from cas_registry.codecs import Buffer
from cas_registry.errors import ChangedDuringCommitError, IntegrityError
from cas_registry.formats import read_index
from cas_registry.model.ids import ChunkId, FileId
from cas_registry.model.maps import Located, PackInfo
from cas_registry.model.tensors import ElementType
from cas_registry.operations.pack_index import PackIndex
from cas_registry.operations.progress import Progress
from cas_registry.operations.repair_sources import Source, SourceFile
from cas_registry.operations.storing import MIN_CONTAINER_BYTES
from cas_registry.operations.tensor_index import encode_index
from cas_registry.operations.transfer import (
    GROUP_CHUNKS,
    GROUP_RAW_BYTES,
    EncodedPiece,
    Lineage,
    PackWriter,
    Pending,
    fetch_group,
    fetch_stored,
)
from cas_registry.store.objects import ObjectStore
from cas_registry.store.stores import Stores

Row = tuple[Located, ...]


@dataclass(slots=True, eq=False)
class BrokenFile:
    """A file not all of whose chunks are where its map says, or of which no map knows.

    `row` is what a map has of it; `healed` where its chunks are to be had now: all of them if `is_whole`, else what is still wrong as it was,
    or None where nobody knows of what the file consists.
    """

    file: FileId
    size_bytes: int
    row: Row | None = None
    encoded_index: bytes | None = None
    healed: Row | None = None
    is_whole: bool = False


@dataclass(slots=True)
class Refilled:
    """How many chunks were stored again: saved from damaged packs, and fetched from sources (by name)."""

    saved: int = 0
    fetched: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return self.saved + sum(self.fetched.values())


class Refill:
    """Heals files. Not thread-safe.

    `is_fit` says of a pack whether what it holds counts as being there; `index` knows only such packs, `ruins` the damaged ones as well.
    """

    def __init__(
        self, stores: Stores, index: PackIndex, ruins: PackIndex, is_fit: Callable[[PackInfo], bool], sources: Sequence[Source],
        executor: Executor,
    ) -> None:  # fmt: skip
        self._objects: ObjectStore = stores.objects
        self._chunking = stores.format.chunking
        self._index = index
        self._ruins = ruins
        self._is_fit = is_fit
        self._sources = sources
        self._writer = PackWriter(stores.objects, executor, pack_bytes=stores.format.pack_bytes, known=lambda _: False)
        self._pending: dict[ChunkId, Pending] = {}
        self._places: dict[ChunkId, Located] = {}
        self._seen: dict[ChunkId, list[Located]] = {}  # in packs that are not fit
        self._spots: dict[ChunkId, list[tuple[FileId, int, int]]] = {}  # where in which files chunks stand: offset, length
        self.count = Refilled()

    @property
    def packs(self) -> Sequence[PackInfo]:
        """What was written."""
        return self._writer.packs

    def is_hurt(self, located: Located) -> bool:
        """Whether a chunk, or the base of a delta, lies in a pack that is not fit."""
        return is_hurt(located, self._is_fit)

    def heal(self, files: Sequence[BrokenFile], progress: Progress) -> None:
        """Give each of these files the best row that is to be had. Packs are written; nothing names them yet.

        What one file brings back may be what others lacked, such as the base of a delta: so again, until nothing more comes.
        """
        hurt = [file for file in files if not file.is_whole]
        while hurt:
            before = self.count.total
            self._heal_once(hurt, progress)
            hurt = [file for file in hurt if not file.is_whole]
            if self.count.total == before:
                return

    def _heal_once(self, hurt: Sequence[BrokenFile], progress: Progress) -> None:
        self._seen.clear()
        self._spots.clear()
        rows = {file.file: self._survey(file) for file in hurt}
        for source in self._sources:
            source.look_for({file.file for file in hurt}, self._wanted(rows.values()))
        self._gather(self._needed_whole(rows.values()), bases=True, progress=progress)
        self._gather(self._needed(rows.values()), bases=False, progress=progress)
        for file in hurt:
            self._settle(file, rows[file.file])
        recut = [(file, row) for file in hurt if not file.is_whole and (row := self._cut_anew(file)) is not None]
        self._flush()
        for file, chunks in recut:
            located = [self.place(chunk) for chunk in chunks]
            file.healed = tuple(item for item in located if item is not None)
            file.is_whole = len(file.healed) == len(located)

    def add_recipe(self, file: FileId, size_bytes: int, chunks: Iterable[Located]) -> None:
        """Write down again of which chunks a file consists."""
        self._writer.add_recipe(file, size_bytes, [located.placement.chunk.digest for located in chunks])

    def finish(self) -> list[PackInfo]:
        """Store what is not stored yet; returns the packs that this took."""
        before = len(self._writer.packs)
        self._writer.finish()
        return self._writer.packs[before:]

    def place(self, chunk: ChunkId) -> Located | None:
        """Where a chunk can be read now."""
        found = self._places.get(chunk) or self._index.whole(chunk)
        if found is None:
            found = next(self._readable(chunk), None)
            if found is not None:
                self._places[chunk] = found
        return found

    def _readable(self, chunk: ChunkId) -> Iterator[Located]:
        """The places of a chunk. Of a delta whose base may be another's than it was made to, only those that decode."""
        places = list(self._index.places(chunk))
        for item in places:
            certain = item.base is None or (len(places) == 1 and item.base.placement.element is item.placement.element)
            if certain or self._decodes(item):
                yield item

    def _decodes(self, located: Located) -> bool:
        try:
            fetch_group(self._objects, [located])
        except IntegrityError:
            return False
        return True

    # what is wanted

    def _survey(self, file: BrokenFile) -> list[Located | ChunkId]:
        """The chunks of a file in order, as its map has them or (by id) its recipe; nothing where neither is there."""
        row = file.row or self._recipe(file.file)
        sizes: list[int | None] = []
        for item in row:
            sizes.append(item.placement.raw_bytes if isinstance(item, Located) else self._ruins.raw_bytes(item))
            if isinstance(item, Located) and self.is_hurt(item):
                for hurt in (item, item.base):
                    if hurt and (hurt is item or not self._is_fit(hurt.pack)):
                        self._seen.setdefault(hurt.placement.chunk, []).append(hurt)
        if sizes.count(None) == 1:  # the only one of unknown length takes what is left
            left = file.size_bytes - sum(size or 0 for size in sizes)
            sizes = [left if size is None else size for size in sizes]
        offset: int | None = 0
        for item, size in zip(row, sizes, strict=True):
            if offset is None or size is None:
                break
            self._spots.setdefault(_chunk(item), []).append((file.file, offset, size))
            offset += size
        return list(row)

    def _recipe(self, file: FileId) -> Sequence[Located | ChunkId]:
        """The way of cutting a file of which most chunks are to be had; those that only damaged packs have are named with their place there."""
        chunks = max(self._ruins.recipes(file), key=lambda chunks: sum(map(self._index.has, chunks)), default=())
        return [chunk if self._index.has(chunk) else next(self._ruins.places(chunk), chunk) for chunk in chunks]

    def _wanted(self, rows: Iterable[Sequence[Located | ChunkId]]) -> set[ChunkId]:
        """Every chunk that a source may be asked for."""
        listed = list(rows)
        return {*self._needed_whole(listed), *self._needed(listed)}

    def _needed_whole(self, rows: Iterable[Sequence[Located | ChunkId]]) -> list[ChunkId]:
        """Chunks to have whole: those that were, and the bases of deltas."""
        needed: dict[ChunkId, None] = {}
        for item in chain.from_iterable(rows):
            if isinstance(item, Located):
                for located in (item, item.base):
                    if located and located.base is None and not self._is_fit(located.pack):
                        needed[located.placement.chunk] = None
            elif not self._index.has(item):
                needed.update(dict.fromkeys(self._ruins.missing_bases(item) or [item]))
        return [chunk for chunk in needed if self._index.whole(chunk) is None]

    def _needed(self, rows: Iterable[Sequence[Located | ChunkId]]) -> list[ChunkId]:
        """Chunks that are not where they were, or not known to be anywhere."""
        hurt = (item for item in chain.from_iterable(rows) if not isinstance(item, Located) or self.is_hurt(item))
        return [chunk for chunk in dict.fromkeys(map(_chunk, hurt)) if self.place(chunk) is None]

    # getting it

    def _gather(self, wanted: Sequence[ChunkId], *, bases: bool, progress: Progress) -> None:
        """Save these chunks from packs that are not fit, or take them from sources."""
        saved = self._save(wanted, bases=bases)
        for number, chunk in enumerate(wanted, start=1):
            if chunk not in saved:
                self._fetch(chunk)
            progress.update("refill", number, len(wanted))
        self._flush()

    def _save(self, wanted: Sequence[ChunkId], *, bases: bool) -> set[ChunkId]:
        """Copy the stored forms that still decode to new packs."""
        spots = [
            spot for chunk in wanted for located in self._seen.get(chunk, ()) if (spot := self._based(located, bases=bases))
        ]
        spots.sort(key=lambda item: (item.pack.name.digest, item.placement.offset))
        saved: set[ChunkId] = set()
        for group in _groups(spots):
            try:
                stored = fetch_stored(self._objects, group)
            except IntegrityError:
                continue  # the pack is gone
            for located in group:
                chunk = located.placement.chunk
                try:
                    form = self._objects.verified_form(located, stored)
                except IntegrityError:
                    continue
                if chunk not in saved:
                    saved.add(chunk)
                    self._add(chunk, _as_it_is(located, form))
                    self.count.saved += 1
        return saved

    def _based(self, located: Located, *, bases: bool) -> Located | None:
        """A delta on the place that its base has now; None for what is of no use: a delta without one, or where bases are wanted."""
        if located.base is None:
            return located
        base = None if bases else self._index.whole(located.base.placement.chunk)
        return replace(located, base=base) if base else None

    def _fetch(self, chunk: ChunkId) -> None:
        for source in self._sources:
            data = source.chunk(chunk) or self._cut_out(source, chunk)
            if data is not None:
                self._store(chunk, data, self._element(chunk))
                self.count.fetched[source.name] = self.count.fetched.get(source.name, 0) + 1
                return

    def _cut_out(self, source: Source, chunk: ChunkId) -> bytes | None:
        """A chunk from a file that the source has."""
        for file, offset, length in self._spots.get(chunk, ()):
            if source.has_file(file):
                try:
                    with source.open(file) as opened:
                        data = opened.read(offset, length)
                except (IntegrityError, ChangedDuringCommitError):
                    continue
                if ChunkId.of(data) == chunk:
                    return data
        return None

    def _element(self, chunk: ChunkId) -> ElementType:
        seen = self._seen.get(chunk)
        return seen[0].placement.element if seen else self._ruins.element(chunk)

    def _cut_anew(self, file: BrokenFile) -> list[ChunkId] | None:
        """Cut a file that a source has as a commit does, and store what is nowhere yet; its chunks in order, None without a source."""
        for source in self._sources:
            if source.has_file(file.file):
                try:
                    with source.open(file.file) as opened:
                        chunks = self._store_pieces(file, opened, source.name)
                except (IntegrityError, ChangedDuringCommitError):
                    continue
                if chunks is not None:
                    return chunks
        return None

    def _store_pieces(self, file: BrokenFile, opened: SourceFile, name: str) -> list[ChunkId] | None:
        index = read_index(opened) if opened.size_bytes >= MIN_CONTAINER_BYTES else None
        hasher = blake3.blake3()
        chunks: list[ChunkId] = []
        for piece in chain.from_iterable(
            cut(opened.take, segments(opened.size_bytes, index.tensors if index else ()), self._chunking)
        ):
            hasher.update(piece.data)
            chunk = ChunkId.of(piece.data)
            chunks.append(chunk)
            if chunk not in self._pending and self.place(chunk) is None:
                self._store(chunk, piece.data, piece.element)
                self.count.fetched[name] = self.count.fetched.get(name, 0) + 1
        if FileId(hasher.digest()) != file.file:
            return None  # it is not what it was when it was hashed
        if index and index.tensors:
            file.encoded_index = encode_index(index)
        return chunks

    def _store(self, chunk: ChunkId, data: Buffer, element: ElementType) -> None:
        if chunk not in self._pending:
            (piece,) = self._writer.encode([Piece(memoryview(data), 0, element)], [None])
            self._add(chunk, piece)

    def _add(self, chunk: ChunkId, piece: EncodedPiece) -> None:
        self._pending[chunk] = self._writer.add(piece)

    def _flush(self) -> None:
        """Store the packs under way: from now on their chunks have places."""
        self._writer.finish()
        for chunk, pending in self._pending.items():
            self._places[chunk] = located = pending.located()
            for index in (self._index, self._ruins):
                index.learn(located)
        self._pending.clear()

    def _settle(self, file: BrokenFile, row: Sequence[Located | ChunkId]) -> None:
        """Put together what there is now of a file."""
        healed: list[Located] = []
        whole = bool(row)
        for item in row:
            is_well = isinstance(item, Located) and not self.is_hurt(item)
            found = item if is_well else self.place(_chunk(item))
            if isinstance(found, Located):
                healed.append(found)
            else:
                whole = False
                if isinstance(item, ChunkId):
                    return  # a row with a gap says nothing of what follows
                healed.append(item)
        if sum(item.placement.raw_bytes for item in healed) == file.size_bytes:
            file.healed = tuple(healed)
            file.is_whole = whole


def is_hurt(located: Located, is_fit: Callable[[PackInfo], bool]) -> bool:
    """Whether a chunk, or the base of a delta, lies in a pack that is not fit."""
    return not is_fit(located.pack) or (located.base is not None and not is_fit(located.base.pack))


def _chunk(item: Located | ChunkId) -> ChunkId:
    return item if isinstance(item, ChunkId) else item.placement.chunk


def _as_it_is(located: Located, form: memoryview) -> EncodedPiece:
    """A stored form to be put into another pack, with the bookkeeping of the delta that it may be."""
    placement = located.placement
    line = None
    if located.base is not None:
        spent = max(0, located.spent - placement.stored_bytes)
        line = Lineage(located.base, max(0, located.age - 1), spent)
    return EncodedPiece(placement.chunk.digest, placement.raw_bytes, placement.element, placement.codec, form, line)


def _groups(spots: Sequence[Located]) -> Iterator[list[Located]]:
    """Chunks of one pack to be read together."""
    group: list[Located] = []
    raw_bytes = 0
    for located in spots:
        full = raw_bytes + located.placement.raw_bytes > GROUP_RAW_BYTES or len(group) >= GROUP_CHUNKS
        if group and (full or located.pack != group[0].pack):
            yield group
            group, raw_bytes = [], 0
        group.append(located)
        raw_bytes += located.placement.raw_bytes
    if group:
        yield group
