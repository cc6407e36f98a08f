"""New root maps for versions whose maps or packs are damaged: with what still holds as it was, and with what was found, saved or stored anew."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from cas_registry.errors import IntegrityError, RegistryError
from cas_registry.formats import read_index
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
from cas_registry.model.tree import TreeEntry, encode_tree
from cas_registry.operations.fsck_data import VersionData
from cas_registry.operations.placing import ATTACHED_TREE_BYTES, INLINE_BYTES
from cas_registry.operations.reading import RowSource
from cas_registry.operations.refilling import BrokenFile, Row
from cas_registry.operations.storing import MIN_CONTAINER_BYTES
from cas_registry.operations.tensor_index import encode_index
from cas_registry.operations.version_files import BIG_FILE_BYTES, VersionFiles
from cas_registry.store.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class _Filed:
    """A file's row in a new map; `is_new` if the version's map has another, or none."""

    file: FileId
    size_bytes: int
    row: Row
    index: bytes | None
    is_new: bool


@dataclass(frozen=True, slots=True)
class _Group:
    """Files that share a reference: one big one, or the small ones right in a folder."""

    covers: Covers
    key: FileId | TreeId
    files: Sequence[_Filed]

    @property
    def row_bytes(self) -> int:
        return sum(
            FILE_BYTES + len(file.row) * (PLACEMENT_BYTES + CHUNK_REF_BYTES) + len(file.index or b"") for file in self.files
        )


class MapWriter:
    """Writes root maps and the maps that they name; one that several versions share is written once. Not thread-safe.

    `recipe_packs` says which packs hold the recipe of a file: its versions' roots name them, so that they live.
    """

    def __init__(
        self, objects: ObjectStore, broken: Mapping[FileId, BrokenFile], is_fit: Callable[[PackInfo], bool],
        is_hurt: Callable[[Located], bool], recipe_packs: Callable[[FileId], frozenset[PackInfo]],
    ) -> None:  # fmt: skip
        self._objects = objects
        self._broken = broken
        self._is_fit = is_fit
        self._is_hurt = is_hurt
        self._recipe_packs = recipe_packs
        self._shared: dict[tuple[Covers, bytes], Reference] = {}
        self._indexes: dict[FileId, bytes | None] = {}
        self.hints: dict[FileId, Reference] = {}

    def rewrite(self, version: VersionData) -> MapName | None:
        """A new root map of a version, or None where none would say more than the one that it has."""
        files = open_maps(self._objects, version.map)
        groups = list(self._groups(version, files))
        filed = [file for group in groups for file in group.files]
        needed = {located.pack for file in filed for part in file.row for located in (part, part.base) if located}
        idle = {pack for pack in files.root.packs if not self._is_fit(pack)} - needed if files else set()
        lacks = len({entry.id for _, entry, _ in version.files if entry.size_bytes}) > len(filed)
        if not idle and not any(file.is_new for file in filed) and (files is not None or (lacks and not filed)):
            return None
        root = MapBuilder(trees=self._trees(version, files.root if files else None))
        self._fill(root, groups, files.root if files else None)
        if files:
            _keep_lost(root, version, files, {file.file for file in filed})
        before = [pack for pack in files.root.packs if self._is_fit(pack)] if files else []
        recipes = [pack for file in filed for pack in sorted(self._recipe_packs(file.file), key=lambda pack: pack.name)]
        for pack in (*before, *recipes):
            root.packs.setdefault(pack, len(root.packs))
        written = self._objects.write_map(root.encode(os.urandom(16)))
        for group in groups:
            if group.covers is Covers.FILE and group.files[0].is_new:
                self.hints.setdefault(group.files[0].file, written)
        return written.name

    def _fill(self, root: MapBuilder, groups: Sequence[_Group], before: ChunkMap | None) -> None:
        room = INLINE_BYTES
        for group in sorted(groups, key=lambda group: group.row_bytes):
            kept = before.references.get((group.covers, group.key.digest)) if before else None
            if kept and not any(file.is_new for file in group.files):
                root.refer(group.covers, group.key, kept)
                continue
            room -= group.row_bytes
            if room >= 0:
                _add_group(root, group)
                continue
            shared = self._shared.get((group.covers, group.key.digest))
            if shared is None:
                builder = MapBuilder()
                _add_group(builder, group)
                shared = self._objects.write_map(builder.encode(os.urandom(16)))
                self._shared[group.covers, group.key.digest] = shared
            root.refer(group.covers, group.key, shared)
            if group.covers is Covers.FILE:
                self.hints[group.files[0].file] = shared

    def _groups(self, version: VersionData, files: VersionFiles | None) -> Iterator[_Group]:
        small: dict[TreeId, dict[FileId, _Filed]] = {}
        big: dict[FileId, _Filed] = {}
        for _, entry, folder in version.files:
            filed = self._file(entry, folder, files) if entry.size_bytes else None
            if filed is None:
                continue
            if entry.size_bytes >= BIG_FILE_BYTES:
                big[filed.file] = filed
            else:
                small.setdefault(folder, {})[filed.file] = filed
        for identity, filed in big.items():
            yield _Group(Covers.FILE, identity, [filed])
        for folder, members in small.items():
            yield _Group(Covers.FOLDER, folder, list(members.values()))

    def _file(self, entry: TreeEntry, folder: TreeId, files: VersionFiles | None) -> _Filed | None:
        """What is known of a file now; None where nothing is."""
        assert isinstance(entry.id, FileId)  # noqa: S101 - folders are no files
        row = row_of(files, entry, folder)
        broken = self._broken.get(entry.id)
        is_well = row is not None and not any(map(self._is_hurt, row))
        if is_well or broken is None or broken.healed is None or broken.healed == row:
            return _Filed(entry.id, entry.size_bytes, row, index_of(files, entry, folder), is_new=False) if row else None
        index = broken.encoded_index or self._read_index(broken)
        return _Filed(entry.id, entry.size_bytes, broken.healed, index, is_new=True)

    def _read_index(self, broken: BrokenFile) -> bytes | None:
        """The tensors of a file as its bytes have them; those that another file tells of (external data of ONNX) are done without."""
        if broken.size_bytes < MIN_CONTAINER_BYTES or not broken.is_whole or broken.healed is None:
            return None
        if broken.file not in self._indexes:
            try:
                index = read_index(RowSource(self._objects, broken.healed))
            except RegistryError:
                index = None  # an index is a convenience: a map does without
            self._indexes[broken.file] = encode_index(index) if index and index.tensors else None
        return self._indexes[broken.file]

    def _trees(self, version: VersionData, before: ChunkMap | None) -> dict[bytes, bytes]:
        """Every tree of the version, and the bytes of the topmost ones."""
        if before is not None:
            return {tree.digest: bytes(before.trees.get(tree.digest, b"")) for tree in version.folders}
        attached: dict[bytes, bytes] = {}
        room = ATTACHED_TREE_BYTES
        for tree in version.folders:
            data = encode_tree(self._objects.read_tree(tree))
            room -= len(data)
            attached[tree.digest] = data if room >= 0 else b""
        return attached


def open_maps(objects: ObjectStore, root: MapName) -> VersionFiles | None:
    """The maps of a version, None where its root cannot be read."""
    try:
        return VersionFiles(objects, root)
    except IntegrityError:
        return None


def row_of(files: VersionFiles | None, entry: TreeEntry, folder: TreeId) -> Row | None:
    """The chunks of a file as the version's maps have them, None where they do not."""
    try:
        return files.chunks(entry, folder) if files else None
    except IntegrityError:
        return None


def index_of(files: VersionFiles | None, entry: TreeEntry, folder: TreeId) -> bytes | None:
    """The tensors of a file as the version's maps have them, None where they do not."""
    encoded = files.encoded_index(entry, folder) if files else None
    return bytes(encoded) if encoded is not None else None


def _keep_lost(root: MapBuilder, version: VersionData, files: VersionFiles, known: Set[FileId]) -> None:
    """Go on naming the maps that should have the files of which nothing is known: they may come back."""
    for _, entry, folder in version.files:
        if entry.size_bytes and entry.id not in known and (reference := files.reference(entry, folder)):
            covers = Covers.FILE if (Covers.FILE, entry.id.digest) in files.root.references else Covers.FOLDER
            root.references.setdefault((covers, entry.id.digest if covers is Covers.FILE else folder.digest), reference)


def _add_group(builder: MapBuilder, group: _Group) -> None:
    for file in group.files:
        builder.add_file(file.file, file.size_bytes, file.row)
        if file.index is not None:
            builder.add_index(file.file, file.index)
