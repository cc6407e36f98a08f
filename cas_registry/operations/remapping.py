"""Giving versions other maps, through the log: what a repack and a repair end with."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cas_registry.errors import ConflictError, NotFoundError
from cas_registry.model.entry import Operation, Ref, RefKind, RefTable
from cas_registry.model.ids import MapName, RemapId
from cas_registry.model.remap import RemapTable
from cas_registry.store.epochs import Threats
from cas_registry.store.stores import Stores


@dataclass(frozen=True, slots=True)
class Remapping:
    """Of a model: the entries that introduced versions, with the maps that those had and are to have. `why` is for the log.

    `replaces` is a remap table that cannot be read, with the rows that count in its place.
    """

    model: str
    maps: Mapping[int, tuple[MapName, MapName]]
    why: str
    replaces: tuple[RemapId, RemapTable] | None = None


def publish_maps(stores: Stores, remapping: Remapping, threats: Threats, *, who: str, time_ms: int) -> int:
    """Append the entry that gives the versions their new maps; when another writer was faster, follow it and try again.

    A version that somebody else has repacked or retired meanwhile is left as it is. Returns how many have their new maps now. What a collection
    threatens that the log's head told of when the work began (`threats`), or has told of since, is named by no new entry: ConflictError.
    """
    model = remapping.model
    refs = stores.refs(model)
    while True:
        found = refs.head()
        if found is None:
            raise NotFoundError(f"model {model!r} has no versions any more; run reg fsck", model=model)
        head, table = found
        is_lost = remapping.replaces is not None and head.entry.remap == remapping.replaces[0]
        now = remapping.replaces[1] if remapping.replaces and is_lost else refs.remap(head)
        maps = {at: after for at, (before, after) in remapping.maps.items() if now.of(at, before) == before}
        if not maps and not is_lost:
            return 0
        threats.catch_up(head.entry)
        if not all(map(threats.spares_version, maps.values())):
            raise ConflictError(
                f"a collection that is under way may delete what the {remapping.why} of {model!r} has written; {remapping.why} again "
                "when it is through",
                model=model,
            )
        entry = refs.next_entry(
            head,
            _with_maps(table, maps),
            registry=stores.format.registry,
            time_ms=time_ms,
            who=who,
            why=remapping.why,
        )
        identity = stores.objects.write_remap_table(RemapTable({**now.maps, **maps}))
        stores.objects.flush()
        if refs.log.append(replace(entry, op=Operation.REMAP, remap=identity)):
            refs.log.write_hint(entry.n)
            return len(maps)


def _with_maps(table: RefTable, maps: Mapping[int, MapName]) -> RefTable:
    """The table with the new maps in its rows. No ref moves by that."""

    def row(ref: Ref) -> Ref:
        version = ref.version
        if version is None or version.at not in maps:
            return ref
        return Ref(replace(version, map=maps[version.at]), ref.moved)

    branches, tags = ({name: row(ref) for name, ref in table.of(kind).items()} for kind in (RefKind.BRANCH, RefKind.TAG))
    return RefTable(branches, tags)
