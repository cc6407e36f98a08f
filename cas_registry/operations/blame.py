"""Blame: which version last changed a file, or each tensor.

Whatever a version has just as one of its parents has it came from there; what no parent has so, it changed itself. So one goes back from
version to version, carrying along what is not settled, and stops when nothing is left. Trees tell of files, maps of tensors.
"""

import heapq
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from cas_registry.errors import NotFoundError
from cas_registry.model.ids import CommitId, FileId, MapName, TreeId
from cas_registry.model.tree import Tree
from cas_registry.operations.history import KnownCommit, KnownCommits, LogRecord
from cas_registry.operations.progress import Progress
from cas_registry.operations.tensor_equality import same_tensor
from cas_registry.operations.tensors import StoredTensor, tensors_of_file
from cas_registry.operations.version_files import VersionFile, VersionFiles, list_files
from cas_registry.store.objects import ObjectStore
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
_KEPT_TREES = 4096
_KEPT_MAPS = 4  # of versions: each is looked at as a parent, and then as a child
_KEPT_TABLES = 16  # of the tensors of a file


@dataclass(frozen=True, slots=True)
class Blamed:
    """A file (`tensor` is None) or a tensor, and the version that last changed it.

    Not `sure` where an earlier version may have done so: what came before was retired, and cannot be read.
    """

    path: str
    tensor: str | None
    size_bytes: int
    record: LogRecord
    sure: bool = True


@dataclass(frozen=True, slots=True)
class BlameReport:
    """Who last changed what of a version, by path and name, and how many versions were looked at for that."""

    version: Version
    rows: tuple[Blamed, ...]
    looked_at: int


def blame_files(stores: Stores, version: Version, path: str | None, *, progress: Progress) -> BlameReport:
    """Which version last changed each file at or below `path`. NotFoundError if there is none. Reads commits and trees."""
    files = {file.path: file for file in _files_at(stores, version, path)}
    walk: _Walk[str] = _Walk(stores, _Files(stores.objects), progress)
    rows = [Blamed(name, None, files[name].entry.size_bytes, record, sure) for name, record, sure in walk.run(version, files)]
    return BlameReport(version, tuple(sorted(rows, key=lambda row: row.path)), walk.looked_at)


def blame_tensors(stores: Stores, version: Version, path: str | None, name: str | None, *, progress: Progress) -> BlameReport:
    """Which version last changed each tensor of the files at or below `path`, or those of that `name`.

    A tensor that another file held before is the same one if its name, type, shape and bytes are. Reads commits, trees, and the maps of
    versions between which a file differs; of packs only tensors that maps cannot tell apart, which are small, or were cut differently.
    NotFoundError if there is no such tensor.
    """
    tensors = _Tensors(stores)
    sizes = {
        (file.path, found): stored.tensor.size_bytes
        for file in _files_at(stores, version, path)
        for found, stored in tensors.of_file(version.map, file).items()
        if name in {None, found}
    }
    if not sizes:
        what = f"tensor {name!r}" if name else "tensors"
        where = f"{version.model}@{version.commit.short}" + (f":{path}" if path else "")
        raise NotFoundError(f"{where} has no {what}; Model.tensors lists those of a version", tensor=name)
    walk: _Walk[_Key] = _Walk(stores, tensors, progress)
    rows = [Blamed(*key, sizes[key], record, sure) for key, record, sure in walk.run(version, sizes)]
    return BlameReport(version, tuple(sorted(rows, key=lambda row: (row.path, row.tensor or ""))), walk.looked_at)


def _files_at(stores: Stores, version: Version, path: str | None) -> list[VersionFile]:
    files = list_files(stores.objects, version.tree)[0]
    if not path:
        return files
    found = [file for file in files if file.path == path or file.path.startswith(f"{path}/")]
    if not found:
        raise NotFoundError(f"{version.model}@{version.commit.short} has no file {path!r}; reg ls lists them", path=path)
    return found


@dataclass(frozen=True, slots=True)
class _Side:
    """A version as it is compared; without a map it was retired, and only its tree can be read."""

    tree: TreeId
    map: MapName | None


@dataclass(frozen=True, slots=True)
class _Kept(Generic[K]):
    """What a parent has just so, each with what it is called there; and of what that cannot be told."""

    same: Mapping[K, K]
    blind: frozenset[K] = frozenset()


class _Comparer(Protocol[K]):
    """Compares a version with a parent of its."""

    def compare(self, child: _Side, parent: _Side, wanted: Iterable[K]) -> _Kept[K]:
        """Which of these things of the child the parent has just so."""


class _Walk(Generic[K]):
    """The way back through history."""

    def __init__(self, stores: Stores, comparer: _Comparer[K], progress: Progress) -> None:
        self._known = KnownCommits(stores)
        self._comparer = comparer
        self._progress = progress
        self.looked_at = 0

    def run(self, version: Version, keys: Iterable[K]) -> Iterator[tuple[K, LogRecord, bool]]:
        """Each of these things of a version, with the version that last changed it, and whether that is sure."""
        pending = {version.commit: {key: [key] for key in keys}}  # what it is called there -> what of the version it became
        total = len(pending[version.commit])
        settled = 0
        waiting = [(-version.at, version.commit.digest, version.log)]
        while waiting:
            negative_at, digest, log = heapq.heappop(waiting)
            identity = CommitId(digest)
            held = pending.pop(identity, None)
            if held is None:
                continue
            found = self._known.read(log, identity, below=-negative_at)
            self.looked_at += 1
            blind: set[K] = set()
            for parent in found.commit.parents:
                before = self._known.read(found.commit.log, parent, below=found.commit.position)
                kept = self._comparer.compare(self._side(found), self._side(before), held)
                blind |= kept.blind
                if kept.same and parent not in pending:
                    heapq.heappush(waiting, (-before.at, parent.digest, before.log))
                    pending[parent] = {}
                for here, there in kept.same.items():
                    pending[parent].setdefault(there, []).extend(held.pop(here))
                if not held:
                    break
            record = LogRecord(
                identity, found.commit, found.number, found.at, found.stats, retired=self._known.map_of(found) is None
            )
            for here, became in held.items():
                for key in became:
                    yield key, record, here not in blind
                settled += len(became)
            self._progress.update("walk", settled, total)

    def _side(self, found: KnownCommit) -> _Side:
        return _Side(found.commit.tree, self._known.map_of(found))


class _Files:
    """Files by path: what a tree says of them."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._trees: _Recent[TreeId, Tree] = _Recent(_KEPT_TREES)

    def compare(self, child: _Side, parent: _Side, wanted: Iterable[str]) -> _Kept[str]:
        """Those of the same content and mode."""
        if child.tree == parent.tree:
            return _Kept({path: path for path in wanted})
        paths = list(wanted)
        mine, theirs = (self.at(side.tree, paths) for side in (child, parent))
        return _Kept({path: path for path in paths if path in theirs and _content(mine[path]) == _content(theirs[path])})

    def at(self, root: TreeId, paths: Iterable[str]) -> dict[str, VersionFile]:
        """The files at these paths; those that are not there are left out."""
        found: dict[str, VersionFile] = {}
        for path in paths:
            folder = root
            *above, name = path.split("/")
            for part in above:
                entry = self._tree(folder).get(part)
                if entry is None or not isinstance(entry.id, TreeId):
                    break
                folder = entry.id
            else:
                entry = self._tree(folder).get(name)
                if entry is not None and not entry.is_folder:
                    found[path] = VersionFile(path, entry, folder)
        return found

    def _tree(self, identity: TreeId) -> Tree:
        return self._trees.get(identity, lambda: self._objects.read_tree(identity))


_Key = tuple[str, str]  # path, name


class _Tensors:
    """Tensors by file and name: what maps say of them."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._files = _Files(stores.objects)
        self._maps: _Recent[MapName, VersionFiles] = _Recent(_KEPT_MAPS)
        self._tables: _Recent[FileId, Mapping[str, StoredTensor]] = _Recent(_KEPT_TABLES)

    def compare(self, child: _Side, parent: _Side, wanted: Iterable[_Key]) -> _Kept[_Key]:
        """Those of the same type, shape and bytes: of the same file, else of another one that the child does not have, or has otherwise."""
        keys = list(wanted)
        paths = list(dict.fromkeys(path for path, _ in keys))
        mine, theirs = (self._files.at(side.tree, paths) for side in (child, parent))
        unchanged = {path for path in paths if path in theirs and mine[path].entry.id == theirs[path].entry.id}
        same = {key: key for key in keys if key[0] in unchanged}
        rest = [key for key in keys if key[0] not in unchanged]
        if not rest:
            return _Kept(same)
        if child.map is None or parent.map is None:
            return _Kept(same, frozenset(rest))
        others: list[VersionFile] | None = None
        for path, name in rest:
            tensor = self.of_file(child.map, mine[path])[name]
            candidates = [theirs[path]] if path in theirs and name in self.of_file(parent.map, theirs[path]) else None
            if candidates is None:
                candidates = others = self._moved(child, parent) if others is None else others
            for file in candidates:
                before = self.of_file(parent.map, file).get(name)
                if before is not None and same_tensor(self._stores, tensor, before):
                    same[path, name] = (file.path, name)
                    break
        return _Kept(same)

    def of_file(self, root: MapName, file: VersionFile) -> Mapping[str, StoredTensor]:
        """The tensors of a file by name, by a version's map."""

        def read() -> Mapping[str, StoredTensor]:
            located = self._maps.get(root, lambda: VersionFiles(self._stores.objects, root))
            return {found.tensor.name: found for found in tensors_of_file(located, file)}

        return self._tables.get(file.file_id, read)

    def _moved(self, child: _Side, parent: _Side) -> list[VersionFile]:
        """The files that the parent has and the child has not, or has with another content: what a tensor may have come from."""
        mine = {file.path: file.entry.id for file in list_files(self._stores.objects, child.tree)[0]}
        theirs = list_files(self._stores.objects, parent.tree)[0]
        return [file for file in theirs if file.entry.size_bytes and mine.get(file.path) != file.entry.id]


class _Recent(Generic[K, V]):
    """The last few values that were asked for."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value of a key, made unless it is at hand."""
        if key not in self._values:
            self._values[key] = make()
        self._values.move_to_end(key)
        if len(self._values) > self._count:
            self._values.popitem(last=False)
        return self._values[key]


def _content(file: VersionFile) -> tuple[object, object]:
    return file.entry.id, file.entry.mode
