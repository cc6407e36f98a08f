"""Where a repair finds what the registry has lost: a folder with files of its versions, or another registry.

Whatever comes from there is taken for what its hash says, never for what the source says.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from io import SEEK_SET, BufferedReader
from pathlib import Path
from typing import Any, Protocol

from cas_registry.backends import is_remote
from cas_registry.backends.opening import open_backend
from cas_registry.codecs import Buffer
from cas_registry.errors import IntegrityError, NotFoundError
from cas_registry.model.canonical import MAX_METADATA_BYTES
from cas_registry.model.ids import ChunkId, FileId, TreeId
from cas_registry.model.maps import ChunkMap, Located
from cas_registry.model.tree import encode_tree
from cas_registry.operations.reading import open_file
from cas_registry.operations.snapshot import build_trees, hash_file, open_found
from cas_registry.operations.transfer import fetch_group, map_ordered
from cas_registry.operations.version_files import VersionFiles, list_files
from cas_registry.store.layout import object_key
from cas_registry.store.objects import MetadataId
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores, open_stores
from cas_registry.worktree.scan import FoundFile, Snapshot, scan

_FILES_IN_FLIGHT = 64


class SourceFile(Protocol):
    """A file of a source: ranges of it, and its next bytes."""

    @property
    def size_bytes(self) -> int: ...

    def read(self, offset: int, length: int) -> bytes:
        """The bytes [offset, offset + length), fewer only at the end of the file."""

    def take(self, length: int) -> bytes:
        """The next bytes, fewer only at the end of the file."""


class Source(Protocol):
    """A place to look. Not thread-safe."""

    @property
    def name(self) -> str:
        """Where it is, for people."""

    def metadata(self, identity: MetadataId) -> bytes | None:
        """The bytes of an object named by its content."""

    def look_for(self, files: Set[FileId], chunks: Set[ChunkId]) -> None:
        """Find out which of these it has."""

    def has_file(self, file: FileId) -> bool:
        """Whether it has the file, of those it was asked to look for."""

    def open(self, file: FileId) -> AbstractContextManager[SourceFile]:
        """A file that it has. What is read may turn out wrong, or raise IntegrityError."""

    def chunk(self, chunk: ChunkId) -> Buffer | None:
        """The verified bytes of a chunk that it was asked to look for, where it keeps chunks."""


def open_source(place: str, executor: Executor, storage_options: Mapping[str, Any] | None = None) -> Source:
    """The registry at a URL or path, else the folder there. NotFoundError where there is neither."""
    backend = open_backend(place, storage_options)
    try:
        return RegistrySource(open_stores(backend))
    except (NotFoundError, IntegrityError):
        folder = Path(place)
        if is_remote(backend.url) or not folder.is_dir():
            raise
        return FolderSource(folder, executor)


class FolderSource:
    """The files of a folder, by their ids. All of it is hashed when it is first asked."""

    def __init__(self, folder: Path, executor: Executor) -> None:
        self._folder = folder
        self._executor = executor

    @property
    def name(self) -> str:
        return str(self._folder)

    def metadata(self, identity: MetadataId) -> bytes | None:
        """Trees only: of the folder itself and those below."""
        return self._trees.get(identity) if isinstance(identity, TreeId) else None

    def look_for(self, files: Set[FileId], chunks: Set[ChunkId]) -> None:
        """Nothing: the folder is known as a whole."""

    def has_file(self, file: FileId) -> bool:
        return file in self._files

    def open(self, file: FileId) -> AbstractContextManager[SourceFile]:
        return open_found(self._files[file])

    def chunk(self, chunk: ChunkId) -> Buffer | None:
        """None: a folder keeps files."""
        _ = chunk
        return None

    @cached_property
    def _snapshot(self) -> Snapshot:
        return scan([self._folder])

    @cached_property
    def _ids(self) -> Mapping[str, FileId]:
        files = self._snapshot.files
        hashed = map_ordered(self._executor, hash_file, files, in_flight=_FILES_IN_FLIGHT)
        return {file.path: identity for file, identity in zip(files, hashed, strict=True)}

    @cached_property
    def _files(self) -> Mapping[FileId, FoundFile]:
        return {self._ids[file.path]: file for file in self._snapshot.files}

    @cached_property
    def _trees(self) -> Mapping[TreeId, bytes]:
        return {identity: encode_tree(tree) for identity, tree in build_trees(self._snapshot, self._ids).trees.items()}


class RegistrySource:
    """Another registry: objects by their names, files and chunks by way of its versions. Versions of it that are damaged are passed over."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._found: dict[FileId, tuple[Version, str]] = {}
        self._chunks: dict[ChunkId, Located] = {}

    @property
    def name(self) -> str:
        return self._stores.backend.url

    def metadata(self, identity: MetadataId) -> bytes | None:
        """What stands under the object's key there, if it is that."""
        (data,) = self._stores.backend.get_many([object_key(identity)], length=MAX_METADATA_BYTES + 1)
        return data if data is not None and type(identity).of(data) == identity else None

    def look_for(self, files: Set[FileId], chunks: Set[ChunkId]) -> None:
        """Look through every version of every model there."""
        for version in self._versions():
            if files <= self._found.keys() and chunks <= self._chunks.keys():
                return
            try:
                self._look_in(version, files, chunks)
            except IntegrityError:
                continue

    def has_file(self, file: FileId) -> bool:
        return file in self._found

    @contextmanager
    def open(self, file: FileId) -> Iterator[SourceFile]:
        version, path = self._found[file]
        with open_file(self._stores, version, path) as opened:
            yield _StoredFile(opened)

    def chunk(self, chunk: ChunkId) -> Buffer | None:
        located = self._chunks.get(chunk)
        if located is None:
            return None
        try:
            return fetch_group(self._stores.objects, [located])[0]
        except IntegrityError:
            return None

    def _versions(self) -> Iterator[Version]:
        for model in self._stores.catalogue.models():
            refs = self._stores.refs(model)
            try:
                head = refs.log.head()
                yield from refs.versions(head) if head else ()
            except IntegrityError:
                continue

    def _look_in(self, version: Version, files: Set[FileId], chunks: Set[ChunkId]) -> None:
        there = list_files(self._stores.objects, version.tree)[0]
        for file in there:
            if file.file_id in files:
                self._found.setdefault(file.file_id, (version, file.path))
        maps = VersionFiles(self._stores.objects, version.map)
        maps.prepare((file.entry, file.folder) for file in there)
        for chunk_map in (maps.root, *maps.load(()).values()):
            self._look_at(chunk_map, chunks)

    def _look_at(self, chunk_map: ChunkMap, chunks: Set[ChunkId]) -> None:
        for number, digest in enumerate(chunk_map.chunk_digests()):
            chunk = ChunkId(digest)
            if chunk in chunks and chunk not in self._chunks:
                self._chunks[chunk] = chunk_map.located(number)


class _StoredFile:
    """A file of another registry as a source hands it out."""

    def __init__(self, opened: BufferedReader) -> None:
        self._opened = opened
        self._position = 0
        self.size_bytes = opened.seek(0, 2)

    def read(self, offset: int, length: int) -> bytes:
        self._opened.seek(offset, SEEK_SET)
        return self._opened.read(length)

    def take(self, length: int) -> bytes:
        data = self.read(self._position, length)
        self._position += len(data)
        return data


def find_metadata(sources: Sequence[Source], identity: MetadataId) -> tuple[bytes, str] | None:
    """The bytes of an object from the first source that has them, with the source's name."""
    for source in sources:
        try:
            data = source.metadata(identity)
        except IntegrityError:
            continue
        if data is not None and type(identity).of(data) == identity:
            return data, source.name
    return None
