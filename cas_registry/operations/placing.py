"""Where the files of a new version will lie: what the registry has already is named, the rest is cut, encoded and packed.

What is known comes from the parent's maps (and those of `--base`), which a live log entry names; and, for big files, from the
`files/` hint, whose packs are then checked to exist. Duplicates that these do not lead to are stored again, which is
allowed.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

import blake3

from cas_registry.chunking import Piece, chunker_for
from cas_registry.errors import FormatError, IntegrityError, LimitError
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
from cas_registry.operations.progress import Progress
from cas_registry.operations.snapshot import BuiltTrees, changed, read_file
from cas_registry.operations.transfer import BATCHES_IN_FLIGHT, READ_BUFFER_BYTES, EncodedPiece, PackWriter, Pending
from cas_registry.operations.version_files import BIG_FILE_BYTES, VersionFiles
from cas_registry.store.layout import file_hint_key
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores
from cas_registry.worktree.scan import FoundFile, Snapshot

MAX_FILE_ROWS = MAX_METADATA_BYTES // (PLACEMENT_BYTES + CHUNK_REF_BYTES)  # chunks whose rows fill a whole map
MAX_KNOWN_MAP_BYTES = 128 * 1024 * 1024  # maps read to find duplicates
INLINE_BYTES = 128 * 1024  # rows that a root keeps itself; more go to a map of their own

Row = Sequence[Located | Pending]


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
    sources: dict[bytes, Reference] = field(default_factory=dict)  # file digest -> the map its rows were found in
    stored: list[FileId] = field(default_factory=list)


class Known:
    """Files and chunks that the registry is known to have."""

    def __init__(self, stores: Stores, parent: Version | None, base: Version | None) -> None:
        self._parent = VersionFiles(stores.objects, parent.map) if parent else None
        self._base = VersionFiles(stores.objects, base.map) if base and (parent is None or base.map != parent.map) else None
        self._maps: list[tuple[ChunkMap, Reference | None]] = []
        self._chunks: dict[bytes, tuple[ChunkMap, int]] = {}
        if self._parent:
            self._learn(self._parent.root, None)

    @property
    def trees(self) -> frozenset[bytes]:
        """Trees that a live version holds."""
        return self._parent.root.trees if self._parent else frozenset()

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

    def file(self, digest: bytes) -> tuple[tuple[Located, ...], Reference | None] | None:
        """The chunks of a known file, and the map that they were found in (None for a root)."""
        for chunk_map, reference in self._maps:
            found = chunk_map.file(digest)
            if found is not None:
                return found, reference
        return None

    def has_chunk(self, digest: bytes) -> bool:
        return digest in self._chunks

    def chunk(self, digest: bytes) -> Located:
        chunk_map, number = self._chunks[digest]
        return chunk_map.located(number)

    def _learn(self, chunk_map: ChunkMap, reference: Reference | None) -> None:
        self._maps.append((chunk_map, reference))
        for number, digest in enumerate(chunk_map.chunk_digests()):
            self._chunks.setdefault(digest, (chunk_map, number))


def place_files(
    stores: Stores, snapshot: Snapshot, ids: Mapping[str, FileId], built: BuiltTrees, known: Known, writer: PackWriter,
    executor: Executor, *, progress: Progress,
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
    if not placed.groups:
        return placed
    if any(known.file(file.digest) is None for group in placed.groups for file in group.files):
        known.load(set(placed.carried))
        _follow_hints(stores, placed.groups, known, executor)
    missing: dict[FileId, FoundFile] = {}
    for group in placed.groups:
        for file, found in group.files.items():
            have = known.file(file.digest)
            if have is None:
                missing.setdefault(file, found)
                continue
            placed.rows[file.digest], source = have
            if source:
                placed.sources[file.digest] = source
    _store(stores, missing, known, writer, executor, placed, progress)
    return placed


def write_maps(
    stores: Stores, placed: Placed, built: BuiltTrees, packs: Sequence[PackInfo], nonce: Callable[[], bytes]
) -> tuple[MapName, dict[FileId, Reference]]:
    """Write the maps of what is new and the root that names all; returns the root and where the stored big files are mapped.

    The root names every pack of the commit, also one that holds nothing but recipes, so that whatever lives on keeps them.
    """
    root = MapBuilder(trees={tree.digest for tree in built.trees}, references=dict(placed.carried))
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


def _row_bytes(group: Group, placed: Placed) -> int:
    return sum(FILE_BYTES + len(placed.rows[file.digest]) * (PLACEMENT_BYTES + CHUNK_REF_BYTES) for file in group.files)


def _add_files(builder: MapBuilder, group: Group, placed: Placed) -> None:
    for file, found in group.files.items():
        row = placed.rows[file.digest]
        builder.add_file(file, found.stat.size_bytes, (item.located() if isinstance(item, Pending) else item for item in row))


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
    stores: Stores, missing: Mapping[FileId, FoundFile], known: Known, writer: PackWriter, executor: Executor, placed: Placed,
    progress: Progress,
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
    for batch in _batches(stores, missing):
        while len(pending) >= BATCHES_IN_FLIGHT:
            _pack(*pending.popleft(), known, writer, placed)
        pending.append((batch, executor.submit(writer.encode, batch.pieces)))
        done += batch.size_bytes
        progress.update("store", done, total)
    while pending:
        _pack(*pending.popleft(), known, writer, placed)


@dataclass(slots=True)
class _Batch:
    """Pieces of one or several files: `ends` names each file that is complete after so many pieces of the batch."""

    pieces: list[Piece] = field(default_factory=list)
    owners: list[FileId] = field(default_factory=list)
    ends: list[tuple[int, FileId, int]] = field(default_factory=list)
    size_bytes: int = 0

    def take(self, owner: FileId, pieces: list[Piece]) -> None:
        self.pieces += pieces
        self.owners += [owner] * len(pieces)
        self.size_bytes += sum(len(piece.data) for piece in pieces)


def _batches(stores: Stores, missing: Mapping[FileId, FoundFile]) -> Iterator[_Batch]:
    chunker = chunker_for(stores.format.chunking)
    batch = _Batch()
    for identity, file in missing.items():
        hasher = blake3.blake3()
        for pieces in chunker.cut(_hashing(hasher, file)):
            batch.take(identity, pieces)
            if batch.size_bytes >= READ_BUFFER_BYTES:
                yield batch
                batch = _Batch()
        if hasher.digest() != identity.digest:
            raise changed([file.path])
        batch.ends.append((len(batch.pieces), identity, file.stat.size_bytes))
    if batch.pieces or batch.ends:
        yield batch


def _hashing(hasher: "blake3.blake3", file: FoundFile) -> Iterator[bytes]:
    for data in read_file(file):
        hasher.update(data)
        yield data


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
