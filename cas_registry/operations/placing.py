"""Where the files of a new version will lie: what the registry has already is named, the rest is cut, encoded and packed.

What is known comes from the parent's maps (and those of `--base`), which a live log entry names; and, for big files, from the
`files/` hint, whose packs are then checked to exist. Duplicates that these do not lead to are stored again, which is
allowed.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from enum import StrEnum

from cas_registry.backends import is_remote
from cas_registry.chunking import Piece, cut, segments
from cas_registry.errors import FormatError, IntegrityError, LimitError
from cas_registry.formats import read_index
from cas_registry.model.canonical import MAX_METADATA_BYTES
from cas_registry.model.ids import FileId, MapName, TreeId
from cas_registry.model.maps import (
    CHUNK_REF_BYTES,
    FILE_BYTES,
    PLACEMENT_BYTES,
    ChunkMap,
    Covers,
    Located,
    MapBuilder,
    PackInfo,
    Reference,
)
from cas_registry.model.tensors import TensorIndex
from cas_registry.model.tree import encode_tree
from cas_registry.operations.predecessors import EarlierFile, Predecessors
from cas_registry.operations.progress import Progress
from cas_registry.operations.snapshot import BuiltTrees, OpenFile, changed, open_found
from cas_registry.operations.tensor_index import decode_index, encode_index
from cas_registry.operations.transfer import BATCHES_IN_FLIGHT, READ_BUFFER_BYTES, EncodedPiece, PackWriter, Pending, lineage
from cas_registry.operations.version_files import BIG_FILE_BYTES, VersionFiles, list_files
from cas_registry.store.layout import file_hint_key
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores
from cas_registry.worktree.scan import FoundFile, Snapshot

MAX_FILE_ROWS = MAX_METADATA_BYTES // (PLACEMENT_BYTES + CHUNK_REF_BYTES)  # chunks whose rows fill a whole map
MAX_KNOWN_MAP_BYTES = 128 * 1024 * 1024  # maps read to find duplicates
INLINE_BYTES = 128 * 1024  # rows that a root keeps itself; more go to a map of their own
ATTACHED_TREE_BYTES = 16 * 1024  # trees that a root brings along, those near the top first
MIN_CONTAINER_BYTES = 1024  # smaller files are not looked into for tensors
DELTA_BUDGET_BYTES = 4 * 1024**3  # bases fetched from a remote store for one commit, unless told otherwise

Row = Sequence[Located | Pending]


class Delta(StrEnum):
    """Whether chunks may be stored as deltas: within the budget for fetching bases, not at all, or whatever it costs to fetch them."""

    AUTO = "auto"
    NEVER = "never"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Group:
    """Files that share a reference in the root: one big file, or the small files right in one folder."""

    covers: Covers
    key: FileId | TreeId
    files: Mapping[FileId, FoundFile]


@dataclass(slots=True)
class Placed:
    """What was found or stored: the root's bytes still lack the packs' names until `PackWriter.finish`."""

    carried: dict[tuple[Covers, bytes], Reference] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    rows: dict[bytes, Row] = field(default_factory=dict)
    indexes: dict[bytes, bytes | memoryview] = field(default_factory=dict)  # file digest -> encoded tensor index
    sources: dict[bytes, Reference] = field(default_factory=dict)  # file digest -> the map its rows were found in
    stored: list[FileId] = field(default_factory=list)


class Known:
    """Files and chunks that the registry is known to have."""

    def __init__(self, stores: Stores, parent: Version | None, base: Version | None) -> None:
        self._objects = stores.objects
        self._versions = [version for version in (parent, base) if version]
        self._parent = VersionFiles(stores.objects, parent.map) if parent else None
        self._base = VersionFiles(stores.objects, base.map) if base and (parent is None or base.map != parent.map) else None
        self._maps: list[tuple[ChunkMap, Reference | None]] = []
        self._chunks: dict[bytes, tuple[ChunkMap, int]] = {}
        if self._parent:
            self._learn(self._parent.root, None)

    @property
    def trees(self) -> Set[bytes]:
        """Trees that a live version holds."""
        return self._parent.root.trees.keys() if self._parent else frozenset()

    def reference(self, group: Group) -> Reference | None:
        """The parent's map for exactly this group."""
        return self._parent.root.references.get((group.covers, group.key.digest)) if self._parent else None

    def load(self, kept: set[tuple[Covers, bytes]]) -> None:
        """Read the parent's maps that the new version does not keep (they hold what was changed), and the base's."""
        for files, skip in ((self._parent, kept), (self._base, set[tuple[Covers, bytes]]())):
            if files is None:
                continue
            if files is self._base:
                self._learn(files.root, None)
            wanted = [reference for key, reference in files.root.references.items() if key not in skip]
            budget = MAX_KNOWN_MAP_BYTES
            taken: list[Reference] = []
            for reference in sorted(set(wanted), key=lambda item: item.size_bytes):
                budget -= reference.size_bytes
                if budget >= 0:
                    taken.append(reference)
            loaded = files.load(taken)
            for reference in taken:
                self._learn(loaded[reference], reference)

    def learn_hinted(self, chunk_map: ChunkMap, reference: Reference) -> None:
        """Take in a map that a hint led to, its packs checked."""
        self._learn(chunk_map, reference)

    def file(self, digest: bytes) -> tuple[ChunkMap, Reference | None] | None:
        """The map that has a row for a file, and the reference that led to it (None for a root)."""
        return next(((chunk_map, reference) for chunk_map, reference in self._maps if digest in chunk_map.files), None)

    def earlier_files(self) -> list[EarlierFile]:
        """The files of tensors in the maps read so far. Paths are looked up where there are several."""
        found = {digest: chunk_map for chunk_map, _ in reversed(self._maps) for digest in chunk_map.indexes}
        paths: dict[bytes, str] = {}
        if len(found) > 1:
            for version in self._versions:
                for file in list_files(self._objects, version.tree)[0]:
                    paths.setdefault(file.entry.id.digest, file.path)
        return [_earlier_file(paths.get(digest, ""), digest, chunk_map) for digest, chunk_map in found.items()]

    def has_chunk(self, digest: bytes) -> bool:
        return digest in self._chunks

    def chunk(self, digest: bytes) -> Located:
        chunk_map, number = self._chunks[digest]
        return chunk_map.located(number)

    def _learn(self, chunk_map: ChunkMap, reference: Reference | None) -> None:
        self._maps.append((chunk_map, reference))
        for number, digest in enumerate(chunk_map.chunk_digests()):
            self._chunks.setdefault(digest, (chunk_map, number))


def _earlier_file(path: str, digest: bytes, chunk_map: ChunkMap) -> EarlierFile:
    index = decode_index(chunk_map.indexes[digest], size_bytes=chunk_map.files[digest][0])
    return EarlierFile(path, index, lambda: chunk_map.file(digest) or ())


def place_files(
    stores: Stores, snapshot: Snapshot, ids: Mapping[str, FileId], built: BuiltTrees, known: Known, writer: PackWriter,
    executor: Executor, *, delta: Delta, progress: Progress,
) -> Placed:  # fmt: skip
    """Find or store every file of the snapshot. Packs are uploaded on the way; `writer.finish` must follow.

    ChangedDuringCommitError if a file's bytes are no longer what they were when it was hashed.
    """
    placed = Placed()
    for group in _groups(snapshot, ids, built):
        reference = known.reference(group)
        if reference:
            placed.carried[group.covers, group.key.digest] = reference
        else:
            placed.groups.append(group)
    if any(known.file(file.digest) is None for group in placed.groups for file in group.files):
        known.load(set(placed.carried))
        _follow_hints(stores, placed.groups, known, executor)
    missing = _take_known(placed, known)
    if missing:
        cutter = _Cutter(stores, snapshot, known, delta)
        _store(stores, missing, cutter, known, writer, executor, placed, progress)
    return placed


def _take_known(placed: Placed, known: Known) -> dict[FileId, FoundFile]:
    """Name the rows of files that the registry has; returns the others."""
    missing: dict[FileId, FoundFile] = {}
    for group in placed.groups:
        for file, found in group.files.items():
            have = known.file(file.digest)
            if have is None:
                missing.setdefault(file, found)
                continue
            chunk_map, source = have
            placed.rows[file.digest] = chunk_map.file(file.digest) or ()
            if file.digest in chunk_map.indexes:
                placed.indexes[file.digest] = chunk_map.indexes[file.digest]
            if source:
                placed.sources[file.digest] = source
    return missing


def write_maps(
    stores: Stores, placed: Placed, built: BuiltTrees, packs: Sequence[PackInfo], nonce: Callable[[], bytes]
) -> tuple[MapName, dict[FileId, Reference]]:
    """Write the maps of what is new and the root that names all; returns the root and where the stored big files are mapped.

    The root names every pack of the commit, also one that holds nothing but recipes, so that whatever lives on keeps them.
    """
    root = MapBuilder(trees=_attached_trees(built), references=dict(placed.carried))
    root.packs.update({pack: number for number, pack in enumerate(packs)})
    hints: dict[FileId, Reference | None] = {}
    room = INLINE_BYTES
    for group in sorted(placed.groups, key=lambda item: _row_bytes(item, placed)):
        room -= _row_bytes(group, placed)
        sources = {placed.sources.get(file.digest) for file in group.files}
        source = sources.pop() if len(sources) == 1 else None
        reference: Reference | None = None
        if room >= 0:
            _add_files(root, group, placed)
        elif source:
            root.refer(group.covers, group.key, source)
        else:
            builder = MapBuilder()
            _add_files(builder, group, placed)
            reference = stores.objects.write_map(builder.encode(nonce()))
            root.refer(group.covers, group.key, reference)
        if group.covers is Covers.FILE and isinstance(group.key, FileId):
            hints[group.key] = reference
    written = stores.objects.write_map(root.encode(nonce()))
    stored = set(placed.stored)
    return written.name, {file: reference or written for file, reference in hints.items() if file in stored}


def write_hints(stores: Stores, hints: Mapping[FileId, Reference]) -> None:
    """Leave a hint for every big file that was stored: which map holds it."""
    for file, reference in hints.items():
        stores.backend.put(file_hint_key(file), f"{reference.name.hex} {reference.size_bytes}\n".encode("ascii"))


def _groups(snapshot: Snapshot, ids: Mapping[str, FileId], built: BuiltTrees) -> Iterator[Group]:
    small: dict[str, dict[FileId, FoundFile]] = {}
    seen: set[FileId] = set()
    for file in snapshot.files:
        identity = ids[file.path]
        if file.stat.size_bytes >= BIG_FILE_BYTES:
            if identity not in seen:
                seen.add(identity)
                yield Group(Covers.FILE, identity, {identity: file})
        elif file.stat.size_bytes:
            small.setdefault(file.path.rpartition("/")[0], {}).setdefault(identity, file)
    for folder, files in small.items():
        yield Group(Covers.FOLDER, built.folders[folder], files)


def _attached_trees(built: BuiltTrees) -> dict[bytes, bytes]:
    """Every tree, and the bytes of the topmost ones."""
    attached: dict[bytes, bytes] = {}
    room = ATTACHED_TREE_BYTES
    for folder in sorted(built.folders, key=lambda path: (path.count("/") + bool(path), path)):
        identity = built.folders[folder]
        if identity.digest not in attached:
            data = encode_tree(built.trees[identity])
            room -= len(data)
            attached[identity.digest] = data if room >= 0 else b""
    return attached


def _row_bytes(group: Group, placed: Placed) -> int:
    return sum(
        FILE_BYTES
        + len(placed.rows[file.digest]) * (PLACEMENT_BYTES + CHUNK_REF_BYTES)
        + len(placed.indexes.get(file.digest, b""))
        for file in group.files
    )


def _add_files(builder: MapBuilder, group: Group, placed: Placed) -> None:
    for file, found in group.files.items():
        row = placed.rows[file.digest]
        builder.add_file(file, found.stat.size_bytes, (item.located() if isinstance(item, Pending) else item for item in row))
        if file.digest in placed.indexes:
            builder.add_index(file, placed.indexes[file.digest])


def _follow_hints(stores: Stores, groups: Sequence[Group], known: Known, executor: Executor) -> None:
    wanted = [group.key for group in groups if isinstance(group.key, FileId) and known.file(group.key.digest) is None]
    if not wanted:
        return
    answers = stores.backend.get_many([file_hint_key(file) for file in wanted], length=128)
    for file, answer in zip(wanted, answers, strict=True):
        reference = _parse_hint(answer)
        if reference is None:
            continue
        try:
            (chunk_map,) = stores.objects.read_maps([reference])
        except IntegrityError:
            continue  # a hint is never trusted: the file is stored again
        if file.digest in chunk_map.files and all(executor.map(stores.objects.pack_is_there, chunk_map.packs)):
            known.learn_hinted(chunk_map, reference)


def _parse_hint(data: bytes | None) -> Reference | None:
    name, _, size = (data or b"").decode("ascii", "replace").strip().partition(" ")
    try:
        return Reference(MapName.parse(name), int(size))
    except (FormatError, ValueError):
        return None


def _store(
    stores: Stores, missing: Mapping[FileId, FoundFile], cutter: _Cutter, known: Known, writer: PackWriter, executor: Executor,
    placed: Placed, progress: Progress,
) -> None:  # fmt: skip
    """Cut, encode and pack these files, in order; batches of pieces are encoded by workers while the next are read."""
    for file in missing.values():
        if file.stat.size_bytes > MAX_FILE_ROWS * stores.format.chunking.avg_bytes:
            raise LimitError(
                f"{file.path} has {file.stat.size_bytes:,} bytes; with chunks of {stores.format.chunking.avg_bytes:,} bytes its map would "
                "be over the limit. Split it, or make the registry with larger chunks",
                path=file.path,
            )
    total = sum(file.stat.size_bytes for file in missing.values())
    done = 0
    pending: deque[tuple[_Batch, Future[list[EncodedPiece]]]] = deque()
    for batch in _batches(cutter, missing, placed):
        while len(pending) >= BATCHES_IN_FLIGHT:
            _pack(*pending.popleft(), known, writer, placed)
        pending.append((batch, executor.submit(writer.encode, batch.pieces, batch.predecessors)))
        done += batch.size_bytes
        progress.update("store", done, total)
    while pending:
        _pack(*pending.popleft(), known, writer, placed)


@dataclass(slots=True)
class _Batch:
    """Pieces of one or several files: `ends` names each file that is complete after so many pieces of the batch."""

    pieces: list[Piece] = field(default_factory=list)
    predecessors: list[Located | None] = field(default_factory=list)
    owners: list[FileId] = field(default_factory=list)
    ends: list[tuple[int, FileId, int]] = field(default_factory=list)
    size_bytes: int = 0

    def take(self, owner: FileId, pieces: list[Piece], predecessors: Iterable[Located | None]) -> None:
        self.pieces += pieces
        self.predecessors += predecessors
        self.owners += [owner] * len(pieces)
        self.size_bytes += sum(len(piece.data) for piece in pieces)


def _batches(cutter: _Cutter, missing: Mapping[FileId, FoundFile], placed: Placed) -> Iterator[_Batch]:
    batch = _Batch()
    for identity, file in missing.items():
        with open_found(file) as opened:
            index, batches = cutter.cut(file, opened)
            for pieces, predecessors in batches:
                batch.take(identity, pieces, predecessors)
                if batch.size_bytes >= READ_BUFFER_BYTES:
                    yield batch
                    batch = _Batch()
            if opened.digest() != identity.digest:
                raise changed([file.path])
        if index and index.tensors and (encoded := encode_index(index)):
            placed.indexes[identity.digest] = encoded
        batch.ends.append((len(batch.pieces), identity, file.stat.size_bytes))
    if batch.pieces or batch.ends:
        yield batch


class _Cutter:
    """Cuts files, those of tensors along their tensors, and says which earlier chunk each piece may resemble."""

    def __init__(self, stores: Stores, snapshot: Snapshot, known: Known, delta: Delta) -> None:
        self._parameters = stores.format.chunking
        self._snapshot = snapshot
        self._predecessors = Predecessors() if delta is Delta.NEVER else Predecessors(known.earlier_files())
        unlimited = delta is Delta.ALWAYS or not is_remote(stores.backend.url)
        self._budget: float = math.inf if unlimited else DELTA_BUDGET_BYTES
        self._known = known

    def cut(
        self, file: FoundFile, opened: OpenFile
    ) -> tuple[TensorIndex | None, Iterator[tuple[list[Piece], list[Located | None]]]]:
        """The file's tensors, if it has any, and its pieces with their predecessors, in order."""
        index = read_index(opened) if opened.size_bytes >= MIN_CONTAINER_BYTES else None
        if index is None and opened.size_bytes >= BIG_FILE_BYTES:
            index = self._external_index(file)
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

    def _afford(self, found: Located | None) -> Located | None:
        if found is None:
            return None
        self._budget -= lineage(found).base.placement.stored_bytes
        return found if self._budget >= 0 else None

    def _external_index(self, file: FoundFile) -> TensorIndex | None:
        """The tensors that an ONNX model beside the file says are in it."""
        folder, _, name = file.path.rpartition("/")
        for sibling in self._snapshot.files:
            if sibling.path.endswith(".onnx") and sibling.path.rpartition("/")[0] == folder:
                with open_found(sibling) as opened:
                    index = read_index(opened)
                tensors = index.external.get(name, ()) if index else ()
                if tensors and all(tensor.offset + tensor.size_bytes <= file.stat.size_bytes for tensor in tensors):
                    return TensorIndex("onnx", tensors)
        return None


def _pack(batch: _Batch, encoded: Future[list[EncodedPiece]], known: Known, writer: PackWriter, placed: Placed) -> None:
    ends = iter([*batch.ends, (len(batch.pieces) + 1, None, 0)])
    end, ended, size_bytes = next(ends)
    for number, (owner, piece) in enumerate(zip(batch.owners, encoded.result(), strict=True)):
        while end <= number and ended:
            _end_file(ended, size_bytes, writer, placed)
            end, ended, size_bytes = next(ends)
        row = placed.rows.setdefault(owner.digest, [])
        assert isinstance(row, list)  # noqa: S101 - rows of stored files are lists, of known ones tuples
        row.append(writer.add(piece) or known.chunk(piece.digest))
    while ended:
        _end_file(ended, size_bytes, writer, placed)
        end, ended, size_bytes = next(ends)


def _end_file(file: FileId, size_bytes: int, writer: PackWriter, placed: Placed) -> None:
    row = placed.rows[file.digest]
    writer.add_recipe(file, size_bytes, [item.placement.chunk.digest for item in row])
    placed.stored.append(file)
