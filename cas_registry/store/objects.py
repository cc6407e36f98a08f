"""Ids to verified bytes: nothing is returned before it was hashed and compared with its name.

A mismatch is read once more (a transfer may have gone wrong), then it is an IntegrityError that names the key.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from cas_registry.backends import Backend, Data
from cas_registry.codecs import Base, Buffer, decode_chunk
from cas_registry.errors import AlreadyExistsError, FormatError, IntegrityError, NotFoundError
from cas_registry.model.canonical import MAX_METADATA_BYTES
from cas_registry.model.commit import MAX_COMMIT_BYTES, Commit, decode_commit, encode_commit
from cas_registry.model.entry import RefTable, decode_ref_table, encode_ref_table
from cas_registry.model.ids import ChunkId, CommitId, MapName, PackName, RefTableId, RemapId, TreeId
from cas_registry.model.maps import ChunkMap, Located, PackInfo, Reference, decode_map
from cas_registry.model.names import MAX_PATH_DEPTH
from cas_registry.model.remap import RemapTable, decode_remap_table, encode_remap_table
from cas_registry.model.tree import MAX_VERSION_ENTRIES, Tree, TreeEntry, decode_tree, encode_tree
from cas_registry.store.layout import QUARANTINE, object_key

T = TypeVar("T")
_KEPT_TREES = 1024
MetadataId = CommitId | TreeId | RefTableId | RemapId | MapName


class ObjectStore:
    """Commits, trees, maps, packs and chunks of one registry. Thread-safe as its backend is."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._attached: dict[TreeId, bytes] = {}

    @property
    def url(self) -> str:
        """Where the objects are, without credentials."""
        return self._backend.url

    def read_commit(self, identity: CommitId) -> Commit:
        """The commit. IntegrityError if it is missing or damaged."""
        return self.read_commits([identity])[0]

    def read_commits(self, identities: Sequence[CommitId]) -> list[Commit]:
        """Several commits in one round trip."""
        return self._read_many(identities, decode_commit, MAX_COMMIT_BYTES)

    def read_trees(self, identities: Sequence[TreeId]) -> list[Tree]:
        """Several trees in one round trip; none where a root map that was read came with them."""
        missing = [identity for identity in identities if identity not in self._attached]
        found = iter(self._read_many(missing, decode_tree, MAX_METADATA_BYTES))
        return [decode_tree(self._attached[identity]) if identity in self._attached else next(found) for identity in identities]

    def read_tree(self, identity: TreeId) -> Tree:
        """One tree. IntegrityError if it is missing or damaged."""
        return self.read_trees([identity])[0]

    def read_ref_table(self, identity: RefTableId) -> RefTable:
        """A ref table that was too large for its log entry."""
        return self._read_many([identity], decode_ref_table, MAX_METADATA_BYTES)[0]

    def read_remap_table(self, identity: RemapId) -> RemapTable:
        """The maps of a log's repacked versions. IntegrityError if the table is missing or damaged."""
        return self._read_many([identity], decode_remap_table, MAX_METADATA_BYTES)[0]

    def read_map(self, name: MapName) -> tuple[ChunkMap, int]:
        """A map and its length in bytes."""
        found = self._read_many([name], _map_with_length, MAX_METADATA_BYTES)[0]
        self._keep_trees(found[0])
        return found

    def read_roots(self, names: Sequence[MapName]) -> list[ChunkMap]:
        """Several root maps in one round trip. Nothing of them is kept."""
        return [chunk_map for chunk_map, _ in self._read_many(names, _map_with_length, MAX_METADATA_BYTES)]

    def read_maps(self, references: Sequence[Reference]) -> list[ChunkMap]:
        """Several maps in one round trip; each must have the length that its reference gives."""
        found = self._read_many([reference.name for reference in references], _map_with_length, MAX_METADATA_BYTES)
        for reference, (_, size_bytes) in zip(references, found, strict=True):
            if size_bytes != reference.size_bytes:
                raise FormatError(
                    f"{object_key(reference.name)} has {size_bytes:,} bytes, its reference says {reference.size_bytes:,}"
                )
        return [chunk_map for chunk_map, _ in found]

    def _keep_trees(self, chunk_map: ChunkMap) -> None:
        """Trees that came with a root map need not be read; bytes that do not match their id are not taken."""
        if len(self._attached) > _KEPT_TREES:
            self._attached.clear()
        for digest, data in chunk_map.trees.items():
            if data and (tree := bytes(data)) and TreeId.of(tree).digest == digest:
                self._attached[TreeId(digest)] = tree

    def has_commit(self, identity: CommitId) -> bool:
        """Whether a commit of that id is stored (in whatever model)."""
        return self._backend.get_many([object_key(identity)], length=1) != [None]

    def find_commits(self, hex_prefix: str) -> list[CommitId]:
        """Stored commits whose id starts so: the one listing among the reads, for abbreviated ids only."""
        prefix = f"commits/{hex_prefix}"
        return sorted(CommitId.parse(info.key.partition("/")[2]) for info in self._backend.list(prefix))

    def write_commit(self, commit: Commit) -> CommitId:
        """Store a commit; storing it again is free of effect."""
        data = encode_commit(commit)
        identity = CommitId.of(data)
        self._create_named(identity, data)
        return identity

    def write_tree(self, tree: Tree) -> TreeId:
        """Store a tree; storing it again is free of effect."""
        data = encode_tree(tree)
        identity = TreeId.of(data)
        self._create_named(identity, data)
        return identity

    def add_tree(self, tree: Tree) -> bool:
        """Store a tree; whether the registry did not have it."""
        data = encode_tree(tree)
        return self._create_named(TreeId.of(data), data)

    def write_ref_table(self, table: RefTable) -> RefTableId:
        """Store a ref table beside its log."""
        data = encode_ref_table(table)
        identity = RefTableId.of(data)
        self._create_named(identity, data)
        return identity

    def write_remap_table(self, table: RemapTable) -> RemapId:
        """Store a remap table; storing it again is free of effect."""
        data = encode_remap_table(table)
        identity = RemapId.of(data)
        self._create_named(identity, data)
        return identity

    def write_map(self, data: bytes) -> Reference:
        """Store a map's bytes under their name."""
        name = MapName.of(data)
        self._create_named(name, data)
        return Reference(name, len(data))

    def is_whole(self, identity: MetadataId) -> bool:
        """Whether the bytes under an object's key are those that its name demands."""
        (data,) = self._backend.get_many([object_key(identity)], length=MAX_METADATA_BYTES + 1)
        return data is not None and type(identity).of(data) == identity

    def write_named(self, identity: MetadataId, data: bytes) -> None:
        """Store bytes found elsewhere under the name that they have; other bytes there go to quarantine. IntegrityError if they do not match."""
        if type(identity).of(data) != identity:
            raise IntegrityError(f"what was to become {object_key(identity)} does not match its name", key=object_key(identity))
        self._create_named(identity, data)

    def write_pack(self, name: PackName, data: Data) -> PackInfo:
        """Store a pack's bytes. The name was made from random bytes just now, so a clash is one's own lost answer."""
        try:
            self._backend.create(object_key(name), data)
        except AlreadyExistsError as error:
            if self._backend.stat(object_key(name)).size_bytes != len(data):
                raise IntegrityError(f"{object_key(name)} exists with another length", key=object_key(name)) from error
        return PackInfo(name, len(data))

    def pack_is_there(self, pack: PackInfo) -> bool:
        """Whether a pack exists with its exact length."""
        try:
            return self._backend.stat(object_key(pack.name)).size_bytes == pack.size_bytes
        except NotFoundError:
            return False

    def read_span(self, span: Sequence[Located]) -> dict[Located, memoryview]:
        """The stored forms of chunks that lie close together in one pack, by one ranged read. IntegrityError if the pack is missing."""
        pack = span[0].pack
        start = min(item.placement.offset for item in span)
        end = max(item.placement.offset + item.placement.stored_bytes for item in span)
        key = object_key(pack.name)
        try:
            data = memoryview(self._backend.get(key, start=start, length=end - start))
        except NotFoundError as error:
            raise IntegrityError(f"{key} is missing from {self._backend.url}; run reg fsck", key=key) from error
        return {
            item: data[item.placement.offset - start : item.placement.offset - start + item.placement.stored_bytes]
            for item in span
        }

    def decode(self, located: Located, stored: Mapping[Located, memoryview], base: Buffer | None = None) -> Buffer:
        """The chunk, decoded and verified, from its stored form and its base's, or from the `base` itself where that is at hand.

        What does not verify is read once more; then IntegrityError names the pack and the offset of the chunk that is damaged.
        """
        try:
            if base is not None and located.base is not None:
                return _verified_delta(located, stored, Base(base, located.base.placement.element))
            return _verified_chunk(located, stored)
        except IntegrityError:
            again = {item: self.read_span([item])[item] for item in (located, located.base) if item}
            return _verified_chunk(located, again)

    def verified_form(self, located: Located, stored: Mapping[Located, memoryview]) -> memoryview:
        """The stored form of a chunk, after it was decoded and hashed as `decode` does: for copying it elsewhere."""
        try:
            _verified_chunk(located, stored)
        except IntegrityError:
            stored = {item: self.read_span([item])[item] for item in (located, located.base) if item}
            _verified_chunk(located, stored)
        return stored[located]

    def flush(self) -> None:
        """Return when everything written so far is durable."""
        self._backend.flush()

    def _read_many(self, identities: Sequence[MetadataId], decode: Callable[[bytes], T], limit: int) -> list[T]:
        keys = [object_key(identity) for identity in identities]
        found = self._backend.get_many(keys, length=limit + 1) if keys else []
        return [
            decode(self._verified(identity, key, data, limit))
            for identity, key, data in zip(identities, keys, found, strict=True)
        ]

    def _verified(self, identity: MetadataId, key: str, data: bytes | None, limit: int) -> bytes:
        if data is None or type(identity).of(data) != identity:
            data = self._backend.get_many([key], length=limit + 1)[0]  # one more try, past whatever went wrong on the way
        if data is None:
            raise IntegrityError(f"{key} is missing from {self._backend.url}; run reg fsck", key=key, missing=True)
        if type(identity).of(data) != identity:
            raise IntegrityError(
                f"{key} in {self._backend.url} is damaged: its bytes do not match its name; run reg fsck", key=key
            )
        return data

    def _create_named(self, identity: MetadataId, data: bytes) -> bool:
        """Store an object under its name; whether it was not there."""
        key = object_key(identity)
        try:
            self._backend.create(key, data)
        except AlreadyExistsError:
            existing = self._backend.get(key, length=MAX_METADATA_BYTES + 1)
            if existing != data:  # damage: the right bytes are at hand, so put them back and keep the others to look at
                self._backend.put(f"{QUARANTINE}{key}", existing)
                self._backend.put(key, data)
            return False
        return True


def walk_tree(store: ObjectStore, root: TreeId) -> Iterator[tuple[str, TreeEntry, TreeId]]:
    """Every entry below a tree as (path, entry, id of the folder it is in): level by level, one round trip a level.

    IntegrityError where a folder's size is not the sum of what it holds, and where folders are nested deeper or entries are more than
    in any version. A tree is read once a level, however many folders of the level it stands for.
    """
    level: list[tuple[str, TreeId, int | None]] = [("", root, None)]
    depth = total = 0
    while level:
        depth += 1
        if depth > MAX_PATH_DEPTH:
            raise FormatError(f"{object_key(level[0][1])} is nested more than {MAX_PATH_DEPTH} folders deep")
        distinct = list(dict.fromkeys(identity for _, identity, _ in level))
        trees = dict(zip(distinct, store.read_trees(distinct), strict=True))
        total += sum(len(trees[identity].entries) for _, identity, _ in level)
        if total > MAX_VERSION_ENTRIES:
            raise FormatError(f"{object_key(root)} stands for more than {MAX_VERSION_ENTRIES:,} files and folders")
        below: list[tuple[str, TreeId, int | None]] = []
        for prefix, identity, size_bytes in level:
            tree = trees[identity]
            if size_bytes is not None and tree.size_bytes != size_bytes:
                raise FormatError(
                    f"{object_key(identity)} holds {tree.size_bytes:,} bytes, the folder above says {size_bytes:,}"
                )
            for entry in tree.entries:
                path = f"{prefix}{entry.name}"
                yield path, entry, identity
                if isinstance(entry.id, TreeId):
                    below.append((f"{path}/", entry.id, entry.size_bytes))
        level = below


def _map_with_length(data: bytes) -> tuple[ChunkMap, int]:
    return decode_map(data), len(data)


def _verified_delta(item: Located, stored: Mapping[Located, memoryview], base: Base) -> Buffer:
    data = _decoded(item, stored, base)
    if ChunkId.of(data) != item.placement.chunk:
        raise _damaged(item, "its bytes do not match their id")
    return data


def _verified_chunk(item: Located, stored: Mapping[Located, memoryview]) -> Buffer:
    try:
        base = Base(_decoded(item.base, stored, None), item.base.placement.element) if item.base else None
        data = _decoded(item, stored, base)
        if ChunkId.of(data) == item.placement.chunk:
            return data
    except IntegrityError:
        if item.base:
            _verified_chunk(item.base, stored)  # raises where the base is at fault
        raise
    if item.base:
        _verified_chunk(item.base, stored)
    raise _damaged(item, "its bytes do not match their id")


def _decoded(item: Located, stored: Mapping[Located, memoryview], base: Base | None) -> Buffer:
    placement = item.placement
    data = stored[item]
    if len(data) != placement.stored_bytes:
        raise _damaged(item, "it is cut short")
    try:
        return decode_chunk(placement.codec, data, placement.raw_bytes, placement.element, base)
    except FormatError as error:
        raise _damaged(item, str(error)) from error


def _damaged(item: Located, why: str) -> IntegrityError:
    key, offset = object_key(item.pack.name), item.placement.offset
    return IntegrityError(f"{key} at offset {offset:,} is damaged: {why}; run reg fsck --read-data", key=key, offset=offset)
