"""Ids to verified bytes: nothing is returned before it was hashed and compared with its name.

A mismatch is read once more (a transfer may have gone wrong), then it is an IntegrityError that names the key.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from cas_registry.backends import Backend, Data
from cas_registry.codecs import decode_chunk
from cas_registry.errors import AlreadyExistsError, FormatError, IntegrityError, NotFoundError
from cas_registry.model.canonical import MAX_METADATA_BYTES
from cas_registry.model.commit import MAX_COMMIT_BYTES, Commit, decode_commit, encode_commit
from cas_registry.model.entry import RefTable, decode_ref_table, encode_ref_table
from cas_registry.model.ids import ChunkId, CommitId, MapName, PackName, RefTableId, TreeId
from cas_registry.model.maps import ChunkMap, Located, PackInfo, Reference, decode_map
from cas_registry.model.tree import Tree, TreeEntry, decode_tree, encode_tree
from cas_registry.store.layout import QUARANTINE, object_key

T = TypeVar("T")
MetadataId = CommitId | TreeId | RefTableId | MapName


class ObjectStore:
    """Commits, trees, maps, packs and chunks of one registry. Thread-safe as its backend is."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def read_commit(self, identity: CommitId) -> Commit:
        """The commit. IntegrityError if it is missing or damaged."""
        return self.read_commits([identity])[0]

    def read_commits(self, identities: Sequence[CommitId]) -> list[Commit]:
        """Several commits in one round trip."""
        return self._read_many(identities, decode_commit, MAX_COMMIT_BYTES)

    def read_trees(self, identities: Sequence[TreeId]) -> list[Tree]:
        """Several trees in one round trip."""
        return self._read_many(identities, decode_tree, MAX_METADATA_BYTES)

    def read_tree(self, identity: TreeId) -> Tree:
        """One tree. IntegrityError if it is missing or damaged."""
        return self.read_trees([identity])[0]

    def read_ref_table(self, identity: RefTableId) -> RefTable:
        """A ref table that was too large for its log entry."""
        return self._read_many([identity], decode_ref_table, MAX_METADATA_BYTES)[0]

    def read_map(self, name: MapName) -> tuple[ChunkMap, int]:
        """A map and its length in bytes."""
        return self._read_many([name], lambda data: (decode_map(data), len(data)), MAX_METADATA_BYTES)[0]

    def read_maps(self, references: Sequence[Reference]) -> list[ChunkMap]:
        """Several maps in one round trip; each must have the length that its reference gives."""
        found = self._read_many([reference.name for reference in references], _map_with_length, MAX_METADATA_BYTES)
        for reference, (_, size_bytes) in zip(references, found, strict=True):
            if size_bytes != reference.size_bytes:
                raise FormatError(
                    f"{object_key(reference.name)} has {size_bytes:,} bytes, its reference says {reference.size_bytes:,}"
                )
        return [chunk_map for chunk_map, _ in found]

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

    def write_ref_table(self, table: RefTable) -> RefTableId:
        """Store a ref table beside its log."""
        data = encode_ref_table(table)
        identity = RefTableId.of(data)
        self._create_named(identity, data)
        return identity

    def write_map(self, data: bytes) -> Reference:
        """Store a map's bytes under their name."""
        name = MapName.of(data)
        self._create_named(name, data)
        return Reference(name, len(data))

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

    def read_chunks(self, pack: PackInfo, located: Sequence[Located]) -> dict[ChunkId, bytes]:
        """Chunks that lie close together in one pack, by one ranged read, each decoded and verified.

        IntegrityError names the pack and the offset of the first chunk that is missing or damaged.
        """
        start = min(item.placement.offset for item in located)
        end = max(item.placement.offset + item.placement.stored_bytes for item in located)
        try:
            return self._decode_span(pack, located, start, end)
        except IntegrityError:
            return self._decode_span(pack, located, start, end)

    def flush(self) -> None:
        """Return when everything written so far is durable."""
        self._backend.flush()

    def _decode_span(self, pack: PackInfo, located: Sequence[Located], start: int, end: int) -> dict[ChunkId, bytes]:
        key = object_key(pack.name)
        try:
            span = memoryview(self._backend.get(key, start=start, length=end - start))
        except NotFoundError as error:
            raise IntegrityError(f"{key} is missing from {self._backend.url}; run reg fsck", key=key) from error
        chunks: dict[ChunkId, bytes] = {}
        for item in located:
            placement = item.placement
            stored = span[placement.offset - start : placement.offset - start + placement.stored_bytes]
            chunks[placement.chunk] = _verified_chunk(item, stored, key)
        return chunks

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

    def _create_named(self, identity: MetadataId, data: bytes) -> None:
        key = object_key(identity)
        try:
            self._backend.create(key, data)
        except AlreadyExistsError:
            existing = self._backend.get(key, length=len(data) + 1)
            if existing != data:  # damage: the right bytes are at hand, so put them back and keep the others to look at
                self._backend.put(f"{QUARANTINE}{key}", existing)
                self._backend.put(key, data)


def walk_tree(store: ObjectStore, root: TreeId) -> Iterator[tuple[str, TreeEntry, TreeId]]:
    """Every entry below a tree as (path, entry, id of the folder it is in): level by level, one round trip a level.

    IntegrityError where a folder's size is not the sum of what it holds.
    """
    level: list[tuple[str, TreeId, int | None]] = [("", root, None)]
    while level:
        trees = store.read_trees([identity for _, identity, _ in level])
        below: list[tuple[str, TreeId, int | None]] = []
        for (prefix, identity, size_bytes), tree in zip(level, trees, strict=True):
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


def _verified_chunk(item: Located, stored: memoryview, key: str) -> bytes:
    placement = item.placement
    where = f"{key} at offset {placement.offset:,}"
    if len(stored) != placement.stored_bytes:
        raise IntegrityError(f"{where} is cut short; run reg fsck --read-data", key=key, offset=placement.offset)
    try:
        data = bytes(decode_chunk(placement.codec, stored, placement.raw_bytes))
    except FormatError as error:
        raise IntegrityError(
            f"{where} is damaged: {error}; run reg fsck --read-data", key=key, offset=placement.offset
        ) from error
    if ChunkId.of(data) != placement.chunk:
        raise IntegrityError(
            f"{where} is damaged: its bytes do not match their id; run reg fsck --read-data", key=key, offset=placement.offset
        )
    return data
