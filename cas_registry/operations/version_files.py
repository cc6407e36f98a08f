"""The files of a version: which there are (its trees), and where their chunks lie (its root map and the maps that it names)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from cas_registry.errors import IntegrityError, NotFoundError
from cas_registry.model.ids import FileId, MapName, TreeId
from cas_registry.model.maps import ChunkMap, Covers, Located, Reference
from cas_registry.model.on_load import OnLoad
from cas_registry.model.tensors import TensorIndex
from cas_registry.model.tree import TreeEntry
from cas_registry.operations.tensor_index import decode_index
from cas_registry.store.objects import ObjectStore, walk_tree

BIG_FILE_BYTES = 1024 * 1024  # from here on a file may have a map of its own; below, it shares its folder's


@dataclass(frozen=True, slots=True)
class VersionFile:
    """A file of a version with the folder that it is in."""

    path: str
    entry: TreeEntry
    folder: TreeId

    @property
    def file_id(self) -> FileId:
        """The id of its bytes."""
        assert isinstance(self.entry.id, FileId)  # noqa: S101 - folders are no files
        return self.entry.id


class VersionFiles:
    """Finds the chunks of the files of one version; maps are read when they are needed, each once."""

    def __init__(self, objects: ObjectStore, root: MapName) -> None:
        self._objects = objects
        self._root, _ = objects.read_map(root)
        self._maps: dict[Reference, ChunkMap] = {}

    @property
    def root(self) -> ChunkMap:
        return self._root

    def prepare(self, files: Iterable[tuple[TreeEntry, TreeId]]) -> None:
        """Read in one round trip every map that these files (each with the id of its folder) need."""
        needed = {
            reference
            for entry, folder in files
            if entry.size_bytes and entry.id.digest not in self._root.files and (reference := self.reference(entry, folder))
        }
        self.load(needed)

    def load(self, references: Iterable[Reference]) -> Mapping[Reference, ChunkMap]:
        """Read these maps in one round trip; returns all that are loaded."""
        missing = [reference for reference in dict.fromkeys(references) if reference not in self._maps]
        if missing:
            self._maps.update(zip(missing, self._objects.read_maps(missing), strict=True))
        return self._maps

    def chunks(self, entry: TreeEntry, folder: TreeId) -> tuple[Located, ...]:
        """The chunks of a file in order. IntegrityError where no map of the version has it."""
        if entry.size_bytes == 0:
            return ()
        found = self._root.file(entry.id.digest)
        if found is None and (reference := self.reference(entry, folder)):
            found = self.load([reference])[reference].file(entry.id.digest)
        if found is None:
            raise IntegrityError(
                f"no map of this version says where file {entry.id.short} ({entry.name}) lies; run reg fsck", file=entry.id.hex
            )
        if sum(located.placement.raw_bytes for located in found) != entry.size_bytes:
            raise IntegrityError(
                f"the map gives file {entry.id.short} ({entry.name}) another size than its folder", file=entry.id.hex
            )
        return found

    def index(self, entry: TreeEntry, folder: TreeId) -> TensorIndex | None:
        """The tensors of a file, from its map. None where the file was no container of tensors to whoever committed it."""
        encoded = self.encoded_index(entry, folder)
        return decode_index(encoded, size_bytes=entry.size_bytes) if encoded is not None else None

    def encoded_index(self, entry: TreeEntry, folder: TreeId) -> memoryview | None:
        """The tensors of a file as its map has them."""
        encoded = self._root.indexes.get(entry.id.digest)
        if encoded is None and entry.id.digest not in self._root.files and (reference := self.reference(entry, folder)):
            encoded = self.load([reference])[reference].indexes.get(entry.id.digest)
        return encoded

    def on_load(self, entry: TreeEntry, folder: TreeId) -> OnLoad:
        """The mark of a file, from the root map where that tells it, else from the map that has its row."""
        if not entry.size_bytes:
            return OnLoad.NO_PICKLE_FOUND
        if entry.id.digest in self._root.files:
            return self._root.on_load(entry.id.digest)
        reference = self.reference(entry, folder)
        if reference is None:
            return OnLoad.NOT_LOOKED_AT
        return reference.on_load or self.load([reference])[reference].on_load(entry.id.digest)

    def reference(self, entry: TreeEntry, folder: TreeId) -> Reference | None:
        """The map that the root names for a file; it may have a row for the file itself instead."""
        return self._root.references.get((Covers.FILE, entry.id.digest)) or self._root.references.get(
            (Covers.FOLDER, folder.digest)
        )


def marks_of(objects: ObjectStore, root: MapName, files: Iterable[tuple[TreeEntry, TreeId]]) -> list[OnLoad]:
    """The marks of these files (each with the id of its folder), in at most two round trips: mostly in one.

    Where a map is missing or damaged, none of them was looked at as far as anybody can tell: files can be listed without their maps.
    """
    wanted = list(files)
    if not any(entry.size_bytes for entry, _ in wanted):
        return [OnLoad.NO_PICKLE_FOUND] * len(wanted)
    try:
        return _marks(VersionFiles(objects, root), wanted)
    except IntegrityError:
        return [OnLoad.NOT_LOOKED_AT if entry.size_bytes else OnLoad.NO_PICKLE_FOUND for entry, _ in wanted]


def _marks(maps: VersionFiles, wanted: Sequence[tuple[TreeEntry, TreeId]]) -> list[OnLoad]:
    unsaid = (
        maps.reference(entry, folder) for entry, folder in wanted if entry.size_bytes and entry.id.digest not in maps.root.files
    )
    maps.load(reference for reference in unsaid if reference and not reference.on_load)
    return [maps.on_load(entry, folder) for entry, folder in wanted]


def list_files(objects: ObjectStore, tree: TreeId) -> tuple[list[VersionFile], list[str]]:
    """The files of a tree sorted by path, and its folders."""
    files: list[VersionFile] = []
    folders: list[str] = []
    for path, entry, folder in walk_tree(objects, tree):
        if entry.is_folder:
            folders.append(path)
        else:
            files.append(VersionFile(path, entry, folder))
    files.sort(key=lambda file: file.path)
    return files, sorted(folders)


def select(files: Sequence[VersionFile], patterns: Sequence[str]) -> list[VersionFile]:
    """The files at, below or matching (`*.json`, `encoder/*`) any of the patterns. NotFoundError for one without a match."""
    if not patterns:
        return list(files)
    chosen: dict[str, VersionFile] = {}
    for pattern in patterns:
        wanted = pattern.strip("/")
        matches = [
            file
            for file in files
            if file.path == wanted or file.path.startswith(f"{wanted}/") or fnmatchcase(file.path, wanted)
        ]
        if not matches:
            raise NotFoundError(f"no file of this version matches {pattern!r}; reg ls lists them", path=pattern)
        chosen.update({file.path: file for file in matches})
    return [chosen[path] for path in sorted(chosen)]


def locate_files(objects: ObjectStore, root: MapName, files: Iterable[VersionFile]) -> dict[str, tuple[Located, ...]]:
    """The chunks of several files by path, in two round trips."""
    wanted = list(files)
    located = VersionFiles(objects, root)
    located.prepare((file.entry, file.folder) for file in wanted)
    return {file.path: located.chunks(file.entry, file.folder) for file in wanted}


def verify_whole(file: FileId, path: str, digest: bytes) -> None:
    """Refuse a file whose verified chunks do not add up to its id. Raises IntegrityError."""
    if digest != file.digest:
        raise IntegrityError(
            f"{path}: its chunks are whole but do not make up file {file.short}: the map is wrong; run reg fsck",
            file=file.hex,
            path=path,
        )
