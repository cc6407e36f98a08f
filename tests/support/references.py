"""What the bytes of an object name: the keys that have to be there before it is."""

from collections.abc import Iterator

from cas_registry.model.collection import decode_condemned
from cas_registry.model.commit import decode_commit
from cas_registry.model.entry import Entry, RefKind, RefTable, decode_entry, decode_ref_table
from cas_registry.model.ids import RefTableId, RemapId, TreeId
from cas_registry.model.maps import decode_map
from cas_registry.model.remap import decode_remap_table
from cas_registry.model.tree import decode_tree
from cas_registry.store.layout import object_key
from tests.support.simulated import Written


def is_entry(key: str) -> bool:
    """Whether the key is of an entry of a log, or of the catalogue."""
    return key.startswith(("refs/", "releases/", "catalogue/")) and not key.endswith("/HEAD")


def references(written: Written) -> Iterator[str]:
    """The keys that an object's bytes name. What a root lists as trees of its version is knowledge for later commits, no reference."""
    area = written.key.partition("/")[0]
    if written.method in {"flush", "delete"}:
        return
    if is_entry(written.key):
        yield from _named_by_entry(decode_entry(written.data)[1])
    elif area == "commits":
        commit = decode_commit(written.data)
        yield from (object_key(identity) for identity in (commit.tree, *commit.parents))
    elif area == "maps":
        chunk_map = decode_map(written.data)
        yield from (object_key(pack.name) for pack in chunk_map.packs)
        yield from (object_key(reference.name) for reference in chunk_map.references.values())
    elif area == "trees" and TreeId.of(written.data).hex == written.key.partition("/")[2]:
        yield from (object_key(entry.id) for entry in decode_tree(written.data).entries if isinstance(entry.id, TreeId))
    elif area == "trees" and RemapId.of(written.data).hex == written.key.partition("/")[2]:
        yield from (object_key(name) for name in decode_remap_table(written.data).maps.values() if name)
    elif area == "trees":
        yield from _named_by_table(decode_ref_table(written.data))
    elif area == "gc" and written.method == "create":
        yield from _named_by_record(written)
    elif area == "files":
        yield f"maps/{written.data.split()[0].decode()}"


def _named_by_entry(entry: Entry) -> Iterator[str]:
    yield from (object_key(identity) for identity in (entry.commit, entry.tree, entry.map, entry.remap) if identity)
    yield from (object_key(row.commit) for row in (entry.release or {}).values())
    if isinstance(entry.refs, RefTableId):
        yield object_key(entry.refs)
    elif entry.refs:
        yield from _named_by_table(entry.refs)


def _named_by_table(table: RefTable) -> Iterator[str]:
    for kind in RefKind:
        yield from (object_key(ref.commit) for ref in table.of(kind).values() if ref.commit)


def _named_by_record(written: Written) -> Iterator[str]:
    """A list names what is there; a verdict comes after the list of `delete`."""
    folder, _, record = written.key.rpartition("/")
    if record in {"condemned", "delete"}:
        listed = decode_condemned(written.data, kind=record)
        yield from (object_key(name) for name in (*listed.maps, *listed.packs))
    if record in {"delete", "verdict"}:
        yield f"{folder}/{'condemned' if record == 'delete' else 'delete'}"
