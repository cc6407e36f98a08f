"""What the registry is known to have: the files and chunks that a live entry leads to, and those that hints lead to.

Known are the maps of the parent and of `--base`, which a live log entry names, and what a `files/` hint names, once its packs are checked to
exist. Duplicates that these do not lead to are stored again, which is allowed. So is what a collection under way may delete: it counts as
absent, but for what the parent holds, which the log itself keeps alive as long as its head is the one that was read.
"""

from collections.abc import Sequence, Set
from concurrent.futures import Executor
from functools import partial

from cas_registry.errors import FormatError, IntegrityError
from cas_registry.model.ids import FileId, MapName
from cas_registry.model.maps import ChunkMap, Covers, Located, Reference
from cas_registry.operations.predecessors import EarlierFile
from cas_registry.operations.tensor_index import decode_index
from cas_registry.operations.version_files import VersionFiles, list_files
from cas_registry.store.epochs import Threats
from cas_registry.store.layout import file_hint_key
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores

MAX_KNOWN_MAP_BYTES = 128 * 1024 * 1024  # maps read to find duplicates
_HINT_BYTES = 128

Hinted = tuple[ChunkMap, Reference]


class Known:
    """Files and chunks that the registry is known to have."""

    def __init__(self, stores: Stores, parent: Version | None, base: Version | None, threats: Threats) -> None:
        self._stores = stores
        self._threats = threats
        self._versions = [version for version in (parent, base) if version]
        self._parent = VersionFiles(stores.objects, parent.map) if parent else None
        self._base = VersionFiles(stores.objects, base.map) if base and (parent is None or base.map != parent.map) else None
        self._maps: list[tuple[ChunkMap, Reference | None]] = []
        self._chunks: dict[bytes, tuple[ChunkMap, int]] = {}
        self._earlier: dict[bytes, EarlierFile] = {}
        self._budget = MAX_KNOWN_MAP_BYTES
        for files in (self._parent, self._base):
            if files:
                self._learn(files.root, None, is_safe=files is self._parent)

    @property
    def trees(self) -> Set[bytes]:
        """Trees that a live version holds."""
        return self._parent.root.trees.keys() if self._parent else frozenset()

    def reference(self, covers: Covers, key: bytes) -> Reference | None:
        """The parent's map for exactly this big file, or this folder's small files."""
        found = self._parent.root.references.get((covers, key)) if self._parent else None
        if found is None or self._parent is None or not self._threats.caught_up:
            return found
        return (
            found if self._threats.spares_map(found.name) and self._threats.spares(self._parent.load([found])[found]) else None
        )

    def load(self, covers: Covers, kept: Set[bytes]) -> None:
        """Read the parent's maps of one kind that the new version does not keep (they hold what was changed), and the base's."""
        for files in (self._parent, self._base):
            if files is None:
                continue
            skipped = kept if files is self._parent else frozenset[bytes]()
            wanted = {
                reference for (kind, key), reference in files.root.references.items() if kind is covers and key not in skipped
            }
            taken: list[Reference] = []
            for reference in sorted(wanted - {learned for _, learned in self._maps}, key=lambda item: item.size_bytes):
                self._budget -= reference.size_bytes
                if self._budget >= 0:
                    taken.append(reference)
            loaded = files.load(taken)
            for reference in taken:
                self._learn(loaded[reference], reference, is_safe=files is self._parent)

    def follow_hints(self, files: Sequence[FileId], executor: Executor) -> None:
        """Learn what hints say of these big files, as far as it holds."""
        wanted = [file for file in files if self.file(file.digest) is None]
        answers = self._stores.backend.get_many([file_hint_key(file) for file in wanted], length=_HINT_BYTES) if wanted else []
        for hinted in executor.map(partial(_read_hinted, self._stores), wanted, answers):
            if hinted and self._is_spared(*hinted) and all(executor.map(self._stores.objects.pack_is_there, hinted[0].packs)):
                self.learn(hinted)

    def ask_hint(self, file: FileId) -> Hinted | None:
        """What the hint of one file leads to, not learned yet; a worker may ask."""
        (answer,) = self._stores.backend.get_many([file_hint_key(file)], length=_HINT_BYTES)
        hinted = _read_hinted(self._stores, file, answer)
        if hinted is None or not self._is_spared(*hinted):
            return None
        return hinted if all(map(self._stores.objects.pack_is_there, hinted[0].packs)) else None

    def learn(self, hinted: Hinted) -> None:
        """Take in what a hint led to."""
        self._learn(*hinted)

    def file(self, digest: bytes) -> tuple[ChunkMap, Reference | None] | None:
        """The map that has a row for a file, and the reference that led to it (None for a root)."""
        return next(((chunk_map, reference) for chunk_map, reference in self._maps if digest in chunk_map.files), None)

    def earlier_files(self) -> list[EarlierFile]:
        """The files of tensors in the maps read so far. Paths are looked up where there are several."""
        found = {digest: chunk_map for chunk_map, _ in reversed(self._maps) for digest in chunk_map.indexes}
        paths: dict[bytes, str] = {}
        if len(found) > 1:
            for version in self._versions:
                for file in list_files(self._stores.objects, version.tree)[0]:
                    paths.setdefault(file.entry.id.digest, file.path)
        for digest, chunk_map in found.items():
            if digest not in self._earlier:
                self._earlier[digest] = _earlier_file(paths.get(digest, ""), digest, chunk_map)
        return [self._earlier[digest] for digest in found]

    def has_chunk(self, digest: bytes) -> bool:
        return digest in self._chunks

    def chunk(self, digest: bytes) -> Located:
        chunk_map, number = self._chunks[digest]
        return chunk_map.located(number)

    def _is_spared(self, chunk_map: ChunkMap, reference: Reference | None) -> bool:
        return self._threats.spares(chunk_map) and (reference is None or self._threats.spares_map(reference.name))

    def _learn(self, chunk_map: ChunkMap, reference: Reference | None, *, is_safe: bool = False) -> None:
        """Take in a map, unless a collection may delete it or a pack of it. Of the parent's that is asked only once one began meanwhile."""
        if (not is_safe or self._threats.caught_up) and not self._is_spared(chunk_map, reference):
            return
        self._maps.append((chunk_map, reference))
        for number, digest in enumerate(chunk_map.chunk_digests()):
            self._chunks.setdefault(digest, (chunk_map, number))


def _earlier_file(path: str, digest: bytes, chunk_map: ChunkMap) -> EarlierFile:
    index = decode_index(chunk_map.indexes[digest], size_bytes=chunk_map.files[digest][0])
    return EarlierFile(path, index, lambda: chunk_map.file(digest) or ())


def _read_hinted(stores: Stores, file: FileId, answer: bytes | None) -> Hinted | None:
    """The map that a hint names, if it has the file; whether its packs are there is still to be asked."""
    reference = _parse_hint(answer)
    if reference is None:
        return None
    try:
        (chunk_map,) = stores.objects.read_maps([reference])
    except IntegrityError:
        return None  # a hint is never trusted: the file is stored again
    return (chunk_map, reference) if file.digest in chunk_map.files else None


def _parse_hint(data: bytes | None) -> Reference | None:
    name, _, size = (data or b"").decode("ascii", "replace").strip().partition(" ")
    try:
        return Reference(MapName.parse(name), int(size))
    except (FormatError, ValueError):
        return None
