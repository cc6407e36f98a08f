"""Where the files of a new version will lie: what the registry has already is named, the rest is stored; then the maps that say so."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial

from cas_registry.model.ids import FileId, MapName, TreeId
from cas_registry.model.maps import CHUNK_REF_BYTES, FILE_BYTES, PLACEMENT_BYTES, Covers, MapBuilder, PackInfo, Reference
from cas_registry.model.on_load import OnLoad, shared_mark
from cas_registry.model.tree import encode_tree
from cas_registry.operations.known import Known
from cas_registry.operations.progress import Progress
from cas_registry.operations.snapshot import BuiltTrees
from cas_registry.operations.storing import Intake, Rows
from cas_registry.operations.transfer import Pending
from cas_registry.operations.version_files import BIG_FILE_BYTES
from cas_registry.store.layout import file_hint_key
from cas_registry.store.stores import Stores
from cas_registry.worktree.scan import FoundFile, Snapshot

INLINE_BYTES = 128 * 1024  # rows that a root keeps itself; more go to a map of their own
ATTACHED_TREE_BYTES = 16 * 1024  # trees that a root brings along, those near the top first
READ_ONCE_BYTES = (
    192 * 1024 * 1024
)  # a file up to this size is encoded before its id is known: so much memory, at most, holds it back


@dataclass(frozen=True, slots=True)
class Group:
    """Files that share a reference in the root: one big file, or the small files right in one folder."""

    covers: Covers
    key: FileId | TreeId
    files: Mapping[FileId, FoundFile]


@dataclass(slots=True)
class Placed:
    """What the new root will name: maps of the parent that it keeps, and the groups whose rows it needs."""

    carried: dict[tuple[Covers, bytes], Reference] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    rows: Rows = field(default_factory=Rows)


def is_read_once(file: FoundFile) -> bool:
    """Whether a file of unknown id is stored while it is read for the first time: big, but not too big to be held back."""
    return BIG_FILE_BYTES <= file.stat.size_bytes <= READ_ONCE_BYTES


def store_unread(
    files: Sequence[FoundFile], ids: Mapping[str, FileId], known: Known, intake: Intake, progress: Progress
) -> dict[str, FileId]:
    """Read and store the big files that are not in `ids`; returns their ids. Packs are uploaded on the way."""
    known.load(Covers.FILE, {identity.digest for identity in ids.values()})
    return intake.store(files, {}, partial(progress.update, "store"))


def place_files(
    snapshot: Snapshot, ids: Mapping[str, FileId], built: BuiltTrees, known: Known, intake: Intake, rows: Rows,
    executor: Executor, *, progress: Progress,
) -> Placed:  # fmt: skip
    """Find or store every file of the snapshot. Packs are uploaded on the way; `PackWriter.finish` must follow.

    ChangedDuringCommitError if a file's bytes are no longer what they were when it was hashed.
    """
    placed = Placed(rows=rows)
    for group in _groups(snapshot, ids, built):
        reference = known.reference(group.covers, group.key.digest)
        if reference:
            placed.carried[group.covers, group.key.digest] = reference
        else:
            placed.groups.append(group)
    missing = _missing(placed, known)
    if missing:
        for covers in Covers:
            known.load(covers, {key for kind, key in placed.carried if kind is covers})
        big = [group.key for group in placed.groups if isinstance(group.key, FileId) and group.key in missing]
        known.follow_hints(big, executor)
        missing = _missing(placed, known)
    if missing:
        intake.store(list(missing.values()), ids, partial(progress.update, "store"))
    return placed


def _missing(placed: Placed, known: Known) -> dict[FileId, FoundFile]:
    """The files that have no rows yet, and that the registry is not known to have; names the rows of the others."""
    return {
        file: found
        for group in placed.groups
        for file, found in group.files.items()
        if file.digest not in placed.rows.chunks and not placed.rows.take_known(known, file)
    }


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
        sources = {placed.rows.sources.get(file.digest) for file in group.files}
        source = sources.pop() if len(sources) == 1 else None
        reference: Reference | None = None
        if room >= 0:
            _add_files(root, group, placed)
        elif source:
            root.refer(group.covers, group.key, replace(source, on_load=_mark(group, placed)))
        else:
            builder = MapBuilder()
            _add_files(builder, group, placed)
            reference = stores.objects.write_map(builder.encode(nonce()))
            root.refer(group.covers, group.key, replace(reference, on_load=_mark(group, placed)))
        if group.covers is Covers.FILE and isinstance(group.key, FileId):
            hints[group.key] = reference
    written = stores.objects.write_map(root.encode(nonce()))
    stored = set(placed.rows.stored)
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
        + len(placed.rows.chunks[file.digest]) * (PLACEMENT_BYTES + CHUNK_REF_BYTES)
        + len(placed.rows.indexes.get(file.digest, b""))
        for file in group.files
    )


def _mark(group: Group, placed: Placed) -> OnLoad:
    return shared_mark(placed.rows.marks[file.digest] for file in group.files)


def _add_files(builder: MapBuilder, group: Group, placed: Placed) -> None:
    for file, found in group.files.items():
        row = placed.rows.chunks[file.digest]
        located = (item.located() if isinstance(item, Pending) else item for item in row)
        builder.add_file(file, found.stat.size_bytes, located, on_load=placed.rows.marks[file.digest])
        if file.digest in placed.rows.indexes:
            builder.add_index(file, placed.rows.indexes[file.digest])
