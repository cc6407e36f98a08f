"""Lineage: what a version was made from, and what was made from it, over all models of the registry.

    parent    the version that it was committed after
    input     a version of this registry, or data and models elsewhere, which its commit names
    content   an input from elsewhere whose digest is the id of a file that a version of this registry holds

All of it is part of what commits are named by, so that nobody can change it later. The way up reads the commits on it; the way down is
asked of `Descendants`: the index.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from cas_registry.errors import FormatError, IntegrityError, NotFoundError
from cas_registry.model.commit import Commit
from cas_registry.model.ids import CommitId, FileId
from cas_registry.model.inputs import Input
from cas_registry.operations.history import KnownCommits
from cas_registry.operations.index import Index
from cas_registry.operations.progress import Progress
from cas_registry.operations.version_files import list_files
from cas_registry.store.objects import ObjectStore
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores

_BLAKE3 = "blake3:"  # of a digest that is a file's id here


class Relation(StrEnum):
    """How one came of the other."""

    PARENT = "parent"
    INPUT = "input"
    CONTENT = "content"


@dataclass(frozen=True, slots=True)
class VersionNode:
    """A version. `commit` and `number` are None where this registry does not have it: it came with another one that names it."""

    model: str
    id: CommitId
    commit: Commit | None
    number: int | None
    retired: bool

    @property
    def key(self) -> str:
        """`MODEL@ID`."""
        return f"{self.model}@{self.id.hex}"


@dataclass(frozen=True, slots=True)
class SourceNode:
    """Data or a model from elsewhere."""

    uri: str
    digest: str | None

    @property
    def key(self) -> str:
        """The URI, with its digest."""
        return f"{self.uri}#{self.digest}" if self.digest else self.uri


Node = VersionNode | SourceNode


@dataclass(frozen=True, slots=True)
class Edge:
    """`target` came of `source` (keys of nodes); `name` is the input's, or the path of the file that holds its content."""

    source: str
    target: str
    relation: Relation
    name: str = ""


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a version (`root`, a key) came of and what came of it. Nodes stand as they were found, the root first; edges are sorted by their targets.

    `cut` are keys of nodes beyond which there is more than was asked for.
    """

    root: str
    nodes: Mapping[str, Node]
    edges: tuple[Edge, ...]
    cut: frozenset[str] = frozenset()

    def above(self, key: str) -> list[Edge]:
        """The edges that lead to a node: what it came of."""
        return [edge for edge in self.edges if edge.target == key]

    def below(self, key: str) -> list[Edge]:
        """The edges that leave a node: what came of it."""
        return [edge for edge in self.edges if edge.source == key]


class Descendants(Protocol):
    """Who names a version, or a file's content, as what it was made from."""

    def children(self, commit: CommitId) -> Sequence[CommitId]:
        """The commits that have this one as a parent."""

    def made_from(self, commit: CommitId) -> Sequence[CommitId]:
        """The commits that have this one as an input."""

    def made_from_content(self, files: AbstractSet[FileId]) -> Sequence[CommitId]:
        """The commits that have an input with the digest of one of these files."""

    def holders(self, files: AbstractSet[FileId]) -> Mapping[FileId, tuple[CommitId, str]]:
        """For each of these files that there is, the first version that holds it, and its path there."""


def trace(
    stores: Stores, version: Version, descendants: Descendants, *, up: bool = True, down: bool = True, depth: int | None = None
) -> Lineage:
    """The lineage of a version, `depth` steps up and down (None: all the way)."""
    tracing = _Tracing(stores, descendants)
    if up:
        tracing.walk(version.commit, depth, up=True)
    if down:
        tracing.walk(version.commit, depth, up=False)
    return tracing.lineage(version.commit)


class _Tracing:
    """A lineage under way."""

    def __init__(self, stores: Stores, descendants: Descendants) -> None:
        self._stores = stores
        self._descendants = descendants
        self._known = KnownCommits(stores)
        self._nodes: dict[str, Node] = {}
        self._versions: dict[CommitId, VersionNode] = {}
        self._edges: dict[Edge, None] = {}
        self._cut: set[str] = set()

    def walk(self, start: CommitId, depth: int | None, *, up: bool) -> None:
        """Go on from version to version, the nearest first. Those that are `depth` steps away are not left, but it is said whether one could."""
        level = [self._version(start)]
        seen = {start}
        distance = 0
        while level and (depth is None or distance < depth):
            following = {node.id: node for known in level for node in (self.up(known) if up else self.down(known))}
            level = [node for identity, node in following.items() if identity not in seen]
            seen |= following.keys()
            distance += 1
        self._cut |= {node.key for node in level if (_has_origins(node) if up else self._came_of(node))}

    def up(self, node: VersionNode) -> list[VersionNode]:
        """What a version was made from."""
        if node.commit is None:
            return []
        parents = [self._version(parent, near=node) for parent in node.commit.parents]
        for parent in parents:
            self._join(parent, node, Relation.PARENT)
        found = list(parents)
        for item in node.commit.inputs:
            if item.commit is None:
                found += self._source(item, node)
            else:
                found.append(self._version(item.commit, model=item.model))
                self._join(found[-1], node, Relation.INPUT, item.name)
        return found

    def down(self, node: VersionNode) -> list[VersionNode]:
        """What was made from a version."""
        return [self._descend(node, target) for target in self._came_of(node)]

    def lineage(self, root: CommitId) -> Lineage:
        """What was found."""
        places = {key: place for place, key in enumerate(self._nodes)}
        edges = sorted(self._edges, key=lambda edge: (places[edge.target], edge.relation, edge.name, places[edge.source]))
        return Lineage(self._versions[root].key, dict(self._nodes), tuple(edges), frozenset(self._cut))

    def _came_of(self, node: VersionNode) -> list[CommitId]:
        found = [*self._descendants.children(node.id), *self._descendants.made_from(node.id)]
        if node.commit is not None:
            files = {file.file_id for file in list_files(self._stores.objects, node.commit.tree)[0] if file.entry.size_bytes}
            found += self._descendants.made_from_content(files)
        return list(dict.fromkeys(found))

    def _descend(self, node: VersionNode, target: CommitId) -> VersionNode:
        """The edges from a version to one that came of it."""
        below = self._version(target)
        assert below.commit is not None  # noqa: S101 - a commit names the version, so it is there
        if node.id in below.commit.parents:
            self._join(node, below, Relation.PARENT)
        for item in below.commit.inputs:
            if item.commit == node.id:
                self._join(node, below, Relation.INPUT, item.name)
            elif item.commit is None and node.commit is not None and (file := file_named(item)):
                for held in list_files(self._stores.objects, node.commit.tree)[0]:
                    if held.file_id == file:
                        self._hold(node, held.path, self._external(item, below))
        return below

    def _source(self, item: Input, node: VersionNode) -> list[VersionNode]:
        """Something from elsewhere; where a version of this registry holds its very content, that came first."""
        source = self._external(item, node)
        file = file_named(item)
        holder = self._descendants.holders({file}).get(file) if file else None
        if holder is None or holder[0] == node.id:
            return []
        first = self._version(holder[0])
        if first.commit is None or node.commit is None or first.commit.time_ms > node.commit.time_ms:
            return []  # it has the same file, but was there later
        return [self._hold(first, holder[1], source)]

    def _external(self, item: Input, node: VersionNode) -> SourceNode:
        source = SourceNode(item.uri or "", item.digest)
        self._nodes.setdefault(source.key, source)
        self._edges[Edge(source.key, node.key, Relation.INPUT, item.name)] = None
        return source

    def _hold(self, node: VersionNode, path: str, source: SourceNode) -> VersionNode:
        self._edges[Edge(node.key, source.key, Relation.CONTENT, path)] = None
        return node

    def _join(self, source: VersionNode, target: VersionNode, relation: Relation, name: str = "") -> None:
        self._edges[Edge(source.key, target.key, relation, name)] = None

    def _version(self, identity: CommitId, *, near: VersionNode | None = None, model: str | None = None) -> VersionNode:
        """A version by its commit, whose log is read close to that of a version `near` it. `model` is what it is called where it is not there."""
        known = self._versions.get(identity)
        if known is not None:
            return known
        try:
            if near is not None and near.commit is not None:
                found = self._known.read(near.commit.log, identity, below=near.commit.position)
            else:
                commit = self._stores.objects.read_commit(identity)
                found = self._known.read(commit.log, identity, below=commit.position + 1)
        except (NotFoundError, IntegrityError) as error:
            if isinstance(error, IntegrityError) and not error.fields.get("missing"):
                raise
            name = model or (near.model if near else "")
            return self._add(VersionNode(name, identity, None, None, retired=False))
        retired = self._known.map_of(found) is None
        return self._add(VersionNode(found.log, identity, found.commit, found.number, retired))

    def _add(self, node: VersionNode) -> VersionNode:
        self._versions[node.id] = self._nodes[node.key] = node
        return node


def _has_origins(node: VersionNode) -> bool:
    return node.commit is not None and bool(node.commit.parents or node.commit.inputs)


def file_named(item: Input) -> FileId | None:
    """The file whose id an input's digest is, if it is one."""
    if item.digest is None or not item.digest.startswith(_BLAKE3):
        return None
    try:
        return FileId.parse(item.digest.removeprefix(_BLAKE3))
    except FormatError:
        return None


class IndexedDescendants:
    """What the index of this machine knows. Trees are read, into the index, only where a content is looked for."""

    def __init__(self, index: Index, objects: ObjectStore, *, progress: Progress) -> None:
        self._index = index
        self._objects = objects
        self._progress = progress
        self._knows_trees = False

    def children(self, commit: CommitId) -> Sequence[CommitId]:
        """The commits that have this one as a parent."""
        return self._index.children(commit)

    def made_from(self, commit: CommitId) -> Sequence[CommitId]:
        """The commits that have this one as an input."""
        return self._index.named_by([commit.hex])

    def made_from_content(self, files: AbstractSet[FileId]) -> Sequence[CommitId]:
        """The commits that have an input with the digest of one of these files."""
        return self._index.named_by([f"{_BLAKE3}{file.hex}" for file in sorted(files)])

    def holders(self, files: AbstractSet[FileId]) -> Mapping[FileId, tuple[CommitId, str]]:
        """For each of these files that there is, the first version that holds it, and its path there."""
        if not self._knows_trees:
            self._index.learn_trees(self._objects, progress=self._progress)
            self._knows_trees = True
        held = {file: self._index.holdings(file) for file in files}
        return {file: (found[0].commit, found[0].path) for file, found in held.items() if found}
