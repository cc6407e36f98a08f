"""Bytes into packs: files are cut and hashed as they are read, their pieces encoded by workers, and packed in order.

A file whose id is not known yet is read once: its pieces are held back, encoded, until its last byte has told the id, and dropped if
the registry turns out to have the file.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from enum import StrEnum

from cas_registry.backends import is_remote
from cas_registry.chunking import Piece, cut, segments
from cas_registry.errors import LimitError
from cas_registry.formats import read_index
from cas_registry.formats.hazards import look
from cas_registry.model.canonical import MAX_METADATA_BYTES
from cas_registry.model.ids import FileId
from cas_registry.model.maps import CHUNK_REF_BYTES, PLACEMENT_BYTES, Located, Reference
from cas_registry.model.on_load import OnLoad
from cas_registry.model.registry_format import ChunkingParameters
from cas_registry.model.tensors import TensorIndex
from cas_registry.operations.external_tensors import ExternalTensors
from cas_registry.operations.known import Hinted, Known
from cas_registry.operations.predecessors import Predecessors
from cas_registry.operations.snapshot import OpenFile, changed, open_found
from cas_registry.operations.tensor_index import encode_index
from cas_registry.operations.transfer import BATCHES_IN_FLIGHT, READ_BUFFER_BYTES, EncodedPiece, PackWriter, Pending, lineage
from cas_registry.store.stores import Stores
from cas_registry.worktree.scan import FoundFile, Snapshot

MAX_FILE_ROWS = MAX_METADATA_BYTES // (PLACEMENT_BYTES + CHUNK_REF_BYTES)  # chunks whose rows fill a whole map
MIN_CONTAINER_BYTES = 1024  # smaller files are not looked into for tensors
DELTA_BUDGET_BYTES = 4 * 1024**3  # bases fetched from a remote store for one commit, unless told otherwise

Row = Sequence[Located | Pending]


class Delta(StrEnum):
    """Whether chunks may be stored as deltas: within the budget for fetching bases, not at all, or whatever it costs to fetch them."""

    AUTO = "auto"
    NEVER = "never"
    ALWAYS = "always"


@dataclass(slots=True)
class Rows:
    """The chunks of a version's files, by file digest, with what goes beside them into maps.

    Rows of stored files lack the names of their packs until `PackWriter.finish`.
    """

    chunks: dict[bytes, Row] = field(default_factory=dict)
    indexes: dict[bytes, bytes | memoryview] = field(default_factory=dict)  # encoded tensor indexes
    marks: dict[bytes, OnLoad] = field(default_factory=dict)
    sources: dict[bytes, Reference] = field(default_factory=dict)  # the map that known rows were found in
    stored: list[FileId] = field(default_factory=list)

    def take_known(self, known: Known, file: FileId) -> bool:
        """Name the chunks of a file that the registry has; says whether it has it."""
        have = known.file(file.digest)
        if have is None:
            return False
        chunk_map, source = have
        self.chunks[file.digest] = chunk_map.file(file.digest) or ()
        if file.digest in chunk_map.indexes:
            self.indexes[file.digest] = chunk_map.indexes[file.digest]
        self.marks[file.digest] = chunk_map.on_load(file.digest)
        if source:
            self.sources[file.digest] = source
        return True


@dataclass(slots=True, eq=False)
class _Incoming:
    """A file on its way into packs. What is `held` waits for the file's id, and for what its hint says."""

    file: FoundFile
    identity: FileId | None
    held: list[EncodedPiece] | None
    index: bytes | None = None
    mark: OnLoad = OnLoad.NOT_LOOKED_AT
    hint: Future[Hinted | None] | None = None


class Intake:
    """Stores files one after another, within one commit. Not thread-safe."""

    def __init__(
        self, stores: Stores, snapshot: Snapshot, known: Known, writer: PackWriter, executor: Executor, rows: Rows, *, delta: Delta
    ) -> None:  # fmt: skip
        self._stores = stores
        self._snapshot = snapshot
        self._known = known
        self._writer = writer
        self._executor = executor
        self._rows = rows
        self._delta = delta
        unlimited = delta is Delta.ALWAYS or not is_remote(stores.backend.url)
        self._budget: float = math.inf if unlimited else DELTA_BUDGET_BYTES

    def store(
        self, files: Sequence[FoundFile], ids: Mapping[str, FileId], report: Callable[[int, int], None]
    ) -> dict[str, FileId]:
        """Store these files; returns the id of each by path. Those in `ids` are known to be new, the others are read once.

        `report` is called with the bytes read so far, of how many. ChangedDuringCommitError if a file's bytes are no longer what they were when it was
        hashed, or its size not what it was.
        """
        for file in files:
            if file.stat.size_bytes > MAX_FILE_ROWS * self._stores.format.chunking.avg_bytes:
                raise LimitError(
                    f"{file.path} has {file.stat.size_bytes:,} bytes; with chunks of {self._stores.format.chunking.avg_bytes:,} bytes its map "
                    "would be over the limit. Split it, or make the registry with larger chunks",
                    path=file.path,
                )
        total = sum(file.stat.size_bytes for file in files)
        done = 0
        incoming = [_Incoming(file, ids.get(file.path), None if file.path in ids else []) for file in files]
        pending: deque[tuple[_Batch, Future[list[EncodedPiece]]]] = deque()
        for batch in self._batches(incoming):
            while len(pending) >= BATCHES_IN_FLIGHT:
                self._pack(*pending.popleft())
            pending.append((batch, self._executor.submit(self._writer.encode, batch.pieces, batch.predecessors)))
            done += batch.size_bytes
            report(done, total)
        while pending:
            self._pack(*pending.popleft())
        return {item.file.path: item.identity for item in incoming if item.identity}

    def _batches(self, incoming: Sequence[_Incoming]) -> Iterator["_Batch"]:
        predecessors = Predecessors() if self._delta is Delta.NEVER else Predecessors(self._known.earlier_files())
        cutter = _Cutter(self._stores.format.chunking, self._snapshot, predecessors, self._afford)
        batch = _Batch()
        for item in incoming:
            with open_found(item.file) as opened:
                item.mark = look(opened)
                index, batches = cutter.cut(item.file, opened)
                for pieces, before in batches:
                    batch.take(item, pieces, before)
                    if batch.size_bytes >= READ_BUFFER_BYTES:
                        yield batch
                        batch = _Batch()
                self._identify(item, opened)
            if index and index.tensors:
                item.index = encode_index(index)
            batch.ends.append((len(batch.pieces), item))
        if batch.pieces or batch.ends:
            yield batch

    def _identify(self, item: _Incoming, opened: OpenFile) -> None:
        """The whole file was taken: it has its id, or must have the one that it had."""
        identity = FileId(opened.digest())
        if opened.position != item.file.stat.size_bytes or (item.identity and identity != item.identity):
            raise changed([item.file.path])
        if item.identity is None:
            item.identity = identity
            if identity.digest not in self._rows.chunks and self._known.file(identity.digest) is None:
                item.hint = self._executor.submit(self._known.ask_hint, identity)

    def _pack(self, batch: "_Batch", encoded: Future[list[EncodedPiece]]) -> None:
        pieces = encoded.result()
        first = 0
        for end, item in (*batch.ends, (len(pieces), None)):
            for number in range(first, end):
                self._take(batch.owners[number], pieces[number])
            if item:
                self._end(item)
            first = end

    def _take(self, item: _Incoming, piece: EncodedPiece) -> None:
        if item.held is not None:
            item.held.append(piece)
            return
        assert item.identity is not None  # noqa: S101 - what is not held has its id from the beginning
        row = self._rows.chunks.setdefault(item.identity.digest, [])
        assert isinstance(row, list)  # noqa: S101 - rows of stored files are lists, of known ones tuples
        has_chunk = self._known.has_chunk(piece.digest)  # asked again: a hint may have come in since it was encoded
        row.append(self._known.chunk(piece.digest) if has_chunk else self._writer.add(piece))

    def _end(self, item: _Incoming) -> None:
        """All pieces of a file are encoded: pack those held back, unless the registry has the file, and record the recipe."""
        assert item.identity is not None  # noqa: S101 - its last byte was read
        digest = item.identity.digest
        if item.held is not None:
            if item.hint and (hinted := item.hint.result()):
                self._known.learn(hinted)
            if digest in self._rows.chunks or self._rows.take_known(self._known, item.identity):
                item.held = None
                if self._rows.marks.get(digest) is OnLoad.NOT_LOOKED_AT:
                    self._rows.marks[digest] = item.mark
                return
            held, item.held = item.held, None
            for piece in held:
                self._take(item, piece)
        row = self._rows.chunks.setdefault(digest, [])
        self._writer.add_recipe(item.identity, item.file.stat.size_bytes, [part.placement.chunk.digest for part in row])
        self._rows.stored.append(item.identity)
        self._rows.marks[digest] = item.mark
        if item.index:
            self._rows.indexes[digest] = item.index

    def _afford(self, found: Located | None) -> Located | None:
        """The predecessor of a piece, unless the budget for fetching bases is used up."""
        if found is None:
            return None
        self._budget -= lineage(found).base.placement.stored_bytes
        return found if self._budget >= 0 else None


@dataclass(slots=True)
class _Batch:
    """Pieces of one or several files: `ends` names each file that is complete after so many pieces of the batch."""

    pieces: list[Piece] = field(default_factory=list)
    predecessors: list[Located | None] = field(default_factory=list)
    owners: list[_Incoming] = field(default_factory=list)
    ends: list[tuple[int, _Incoming]] = field(default_factory=list)
    size_bytes: int = 0

    def take(self, owner: _Incoming, pieces: list[Piece], predecessors: Iterable[Located | None]) -> None:
        self.pieces += pieces
        self.predecessors += predecessors
        self.owners += [owner] * len(pieces)
        self.size_bytes += sum(len(piece.data) for piece in pieces)


class _Cutter:
    """Cuts files, those of tensors along their tensors, and says which earlier chunk each piece may resemble."""

    def __init__(
        self, parameters: ChunkingParameters, snapshot: Snapshot, predecessors: Predecessors,
        afford: Callable[[Located | None], Located | None],
    ) -> None:  # fmt: skip
        self._parameters = parameters
        self._external = ExternalTensors(snapshot)
        self._predecessors = predecessors
        self._afford = afford

    def cut(
        self, file: FoundFile, opened: OpenFile
    ) -> tuple[TensorIndex | None, Iterator[tuple[list[Piece], list[Located | None]]]]:
        """The file's tensors, if it has any, and its pieces with their predecessors, in order."""
        if opened.size_bytes < MIN_CONTAINER_BYTES:
            return None, self._pieces(file, opened, None)
        index = read_index(opened) or self._external.index(file)
        return index, self._pieces(file, opened, index)

    def _pieces(
        self, file: FoundFile, opened: OpenFile, index: TensorIndex | None
    ) -> Iterator[tuple[list[Piece], list[Located | None]]]:
        find = self._predecessors.of_file(file.path, index) if index else None
        plan = segments(opened.size_bytes, index.tensors if index else ())
        for pieces in cut(opened.take, plan, self._parameters):
            yield pieces, [self._afford(find(piece)) if find and piece.element else None for piece in pieces]
        if opened.take(1):
            raise changed([file.path])
