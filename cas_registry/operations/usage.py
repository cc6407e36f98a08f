"""What versions take: of all bytes which are theirs alone, which they share, and what a collection would free without them.

Two numbers differ, and both are told. Chunks that only some versions need are theirs alone; but they lie in packs, and a collection deletes
a pack only when nothing in it is needed by anybody. What is freed follows from the maps and packs that maps name, as a collection finds
them (`marking`); what is alone, from the places of chunks. No pack is read.
"""

from array import array
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, combinations

from cas_registry.model.ids import MapName, PackName, TreeId
from cas_registry.model.maps import ChunkMap, Covers, PackInfo, Reference
from cas_registry.operations.progress import Progress
from cas_registry.operations.transfer import map_ordered, worker_pool
from cas_registry.store.objects import ObjectStore
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores

_MAPS_IN_FLIGHT = 4  # of 64 MiB at most each
_TREES_AT_ONCE = 256
_OTHERS = 1  # the bit of every version that was not asked about


@dataclass(frozen=True, slots=True)
class Usage:
    """What some versions take together.

    `raw_bytes` are their files, each version's counted in full. `stored_bytes` are the chunks that they consist of, as they lie in packs, with the bases of
    those that are deltas; `unique_bytes` of these are needed by no other version of any model. `freed_bytes` are what a collection would
    delete if just these were retired: `freed_objects` packs and maps, framing included.
    """

    raw_bytes: int
    stored_bytes: int
    unique_bytes: int
    freed_bytes: int
    freed_objects: int

    @property
    def shared_bytes(self) -> int:
        """The chunks that other versions need as well."""
        return self.stored_bytes - self.unique_bytes


@dataclass(frozen=True, slots=True)
class VersionUsage:
    """What one version takes."""

    version: Version
    usage: Usage


@dataclass(frozen=True, slots=True)
class UsageReport:
    """What versions take, each by itself, and `together`: what only several of them share is alone to all of them."""

    versions: tuple[VersionUsage, ...]
    together: Usage


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """What all versions of a model take together."""

    model: str
    versions: int
    usage: Usage


@dataclass(frozen=True, slots=True)
class Family:
    """Models that share chunks, directly or by way of others: `shared_bytes` of their `stored_bytes` are in several of them.

    `pairs` says how many stored bytes any two have in common, the most first.
    """

    models: tuple[str, ...]
    stored_bytes: int
    shared_bytes: int
    pairs: tuple[tuple[str, str, int], ...]


def measure_versions(stores: Stores, versions: Sequence[Version], *, progress: Progress) -> UsageReport:
    """What these versions take. See `_Account` for what that reads and how much memory it takes."""
    asked = list(dict.fromkeys(versions))
    account = _measure(stores, live_versions(stores), [[version] for version in asked], progress)
    sizes = _raw_bytes(stores, asked)
    rows = [
        VersionUsage(version, account.usage(number, size))
        for number, (version, size) in enumerate(zip(asked, sizes, strict=True))
    ]
    return UsageReport(tuple(rows), account.together(sum(sizes)))


def measure_models(stores: Stores, *, progress: Progress) -> list[ModelUsage]:
    """What the versions of each model take together, the largest first."""
    models = _by_model(live_versions(stores))
    account = _measure(stores, (), list(models.values()), progress)
    found = [
        ModelUsage(model, len(versions), account.usage(number, sum(_raw_bytes(stores, versions))))
        for number, (model, versions) in enumerate(models.items())
    ]
    return sorted(found, key=lambda each: (-each.usage.stored_bytes, each.model))


def find_families(stores: Stores, *, progress: Progress) -> list[Family]:
    """Which models share chunks, the largest families first; a model that shares nothing is a family of its own."""
    models = _by_model(live_versions(stores))
    names = list(models)
    sets = _measure(stores, (), list(models.values()), progress).by_groups()
    families: list[set[int]] = []
    for group in chain(({number} for number in range(len(names))), map(set, sets)):
        joined = [family for family in families if family & group]
        families = [*(family for family in families if not family & group), group.union(*joined)]
    found = [
        _family(names, family, {members: size for members, size in sets.items() if members[0] in family}) for family in families
    ]
    return sorted(found, key=lambda each: (-each.stored_bytes, each.models))


def live_versions(stores: Stores) -> list[Version]:
    """Every version of every log that is not retired, as a collection marks them."""
    found: list[Version] = []
    for model in sorted(stores.catalogue.models()):
        refs = stores.refs(model)
        head = refs.head()
        if head is not None:
            found += refs.versions(head[0])
    return found


def _by_model(versions: Iterable[Version]) -> dict[str, list[Version]]:
    found: dict[str, list[Version]] = {}
    for version in versions:
        found.setdefault(version.model, []).append(version)
    return found


def _family(names: Sequence[str], family: Collection[int], sets: Mapping[tuple[int, ...], int]) -> Family:
    pairs: dict[tuple[str, str], int] = {}
    for members, size in sets.items():
        for left, right in combinations(sorted(names[member] for member in members), 2):
            pairs[left, right] = pairs.get((left, right), 0) + size
    return Family(
        tuple(sorted(names[member] for member in family)),
        sum(sets.values()),
        sum(size for members, size in sets.items() if len(members) > 1),
        tuple(sorted(((*pair, size) for pair, size in pairs.items()), key=lambda row: (-row[2], row[:2]))),
    )


def _raw_bytes(stores: Stores, versions: Sequence[Version]) -> list[int]:
    """The size of each version's files."""
    sizes: list[int] = []
    for start in range(0, len(versions), _TREES_AT_ONCE):
        trees = stores.objects.read_trees([version.tree for version in versions[start : start + _TREES_AT_ONCE]])
        sizes += [tree.size_bytes for tree in trees]
    return sizes


def _measure(stores: Stores, every: Iterable[Version], groups: Sequence[Sequence[Version]], progress: Progress) -> "_Account":
    """The account of groups of versions among `every` one that there is. IntegrityError for a map that is missing or damaged."""
    roots: dict[MapName, int] = {}
    asked: set[tuple[str, int]] = set()
    for number, group in enumerate(groups):
        for version in group:
            asked.add((version.log, version.at))
            roots[version.map] = roots.get(version.map, 0) | _bit(number)
    others: dict[MapName, int] = {}
    for version in every:
        if (version.log, version.at) not in asked:
            if version.map in roots:
                roots[version.map] |= _OTHERS
            else:
                others[version.map] = _OTHERS
    account = _Account(len(groups))
    reader = _Reader(stores.objects, account, progress)
    reader.read(roots)  # first: of what others need only that is noted which is known by then
    reader.read(others)
    return account


def _bit(number: int) -> int:
    return 2 << number


class _Reader:
    """Reads root maps and the maps that they name, each once, and books what they need."""

    def __init__(self, objects: ObjectStore, account: "_Account", progress: Progress) -> None:
        self._objects = objects
        self._account = account
        self._progress = progress
        self._folders: dict[bytes, tuple[bytes, ...]] = {}  # tree -> the files right in it, where a map is theirs

    def read(self, roots: Mapping[MapName, int]) -> None:
        """Book these root maps, each for the groups that need it."""
        further: dict[Reference, dict[bytes, int]] = {}
        maps: dict[Reference, int] = {}
        with worker_pool() as pool:
            found = map_ordered(pool, self._objects.read_map, roots, in_flight=_MAPS_IN_FLIGHT)
            for done, ((name, groups), (chunk_map, size_bytes)) in enumerate(zip(roots.items(), found, strict=True), start=1):
                self._account.take_map(name, chunk_map, size_bytes, groups)
                for digest in chunk_map.files:
                    self._account.take_file(name, chunk_map, digest, groups)
                for (covers, key), reference in chunk_map.references.items():
                    new = not self._account.need_map(reference.name, groups)
                    for digest in (key,) if covers is Covers.FILE else self._files_in(key):
                        if new or not self._account.need_file(reference.name, digest, groups):
                            wanted = further.setdefault(reference, {})
                            wanted[digest] = wanted.get(digest, 0) | groups
                            maps[reference] = maps.get(reference, 0) | groups
                self._progress.update("map", done, len(roots))
            more = map_ordered(pool, self._read_reference, further, in_flight=_MAPS_IN_FLIGHT)
            for (reference, digests), chunk_map in zip(further.items(), more, strict=True):
                self._account.take_map(reference.name, chunk_map, reference.size_bytes, maps[reference])
                for digest, groups in digests.items():
                    self._account.take_file(reference.name, chunk_map, digest, groups)

    def _read_reference(self, reference: Reference) -> ChunkMap:
        return self._objects.read_maps([reference])[0]

    def _files_in(self, key: bytes) -> tuple[bytes, ...]:
        if key not in self._folders:
            entries = self._objects.read_tree(TreeId(key)).entries
            self._folders[key] = tuple(entry.id.digest for entry in entries if not entry.is_folder)
        return self._folders[key]


@dataclass(slots=True)
class _Held:
    """Something that groups need: a map (its size, and the numbers of packs that it names) or a file by way of a map (the places of its chunks)."""

    groups: int
    size_bytes: int = 0
    named: Sequence[int] = ()


@dataclass
class _Account:
    """Maps, packs and places of chunks, each with the groups that need it.

    Memory grows with what the groups need: some hundred bytes a map, a pack and a file, and some 200 a chunk. Of versions in no group
    nothing is kept; their maps are read to see what they share.
    """

    count: int
    packs: dict[PackName, tuple[int, int]] = field(default_factory=dict)  # number, size in bytes
    shared_packs: set[int] = field(default_factory=set)  # that versions of no group need as well
    maps: dict[MapName, _Held] = field(default_factory=dict)
    files: dict[tuple[MapName, bytes], _Held] = field(default_factory=dict)
    places: dict[int, int] = field(default_factory=dict)  # pack's number and offset -> stored bytes
    shared_places: set[int] = field(default_factory=set)  # likewise

    def need_map(self, name: MapName, groups: int) -> bool:
        """Whether the map is known; these groups need it too, then."""
        held = self.maps.get(name)
        if held is not None:
            held.groups |= groups
        return held is not None

    def need_file(self, name: MapName, digest: bytes, groups: int) -> bool:
        """Whether the file is known by way of this map; these groups need it too, then."""
        held = self.files.get((name, digest))
        if held is not None:
            held.groups |= groups
        return held is not None

    def take_map(self, name: MapName, chunk_map: ChunkMap, size_bytes: int, groups: int) -> None:
        """A map that these groups need, with all packs that it names: a collection keeps those."""
        if self.need_map(name, groups):
            return
        if groups == _OTHERS:
            self.shared_packs.update(self.packs[pack.name][0] for pack in chunk_map.packs if pack.name in self.packs)
            return
        numbers = array("I", (self._number(pack) for pack in chunk_map.packs))
        self.maps[name] = _Held(groups, size_bytes, numbers)

    def take_file(self, name: MapName, chunk_map: ChunkMap, digest: bytes, groups: int) -> None:
        """A file that these groups need, by way of this map."""
        if self.need_file(name, digest, groups):
            return
        if groups == _OTHERS:
            for pack, offset, _ in chunk_map.places(digest):
                known = self.packs.get(pack.name)
                if known is not None and (place := known[0] << 32 | offset) in self.places:
                    self.shared_places.add(place)
            return
        places = array("Q")
        for pack, offset, stored_bytes in chunk_map.places(digest):
            place = self._number(pack) << 32 | offset
            self.places[place] = stored_bytes
            places.append(place)
        self.files[name, digest] = _Held(groups, 0, places)

    def usage(self, number: int, raw_bytes: int) -> Usage:
        """What one group takes."""
        bit = _bit(number)
        return self._usage(raw_bytes, lambda groups: bool(groups & bit), lambda groups: groups == bit)

    def together(self, raw_bytes: int) -> Usage:
        """What all groups take."""
        return self._usage(raw_bytes, lambda _: True, lambda groups: not groups & _OTHERS)

    def by_groups(self) -> dict[tuple[int, ...], int]:
        """The stored bytes that just these groups need, for every set of groups that has any."""
        sizes: dict[int, int] = {}
        for place, groups in self._place_groups.items():
            sizes[groups] = sizes.get(groups, 0) + self.places[place]
        return {tuple(number for number in range(self.count) if groups & _bit(number)): size for groups, size in sizes.items()}

    def _usage(self, raw_bytes: int, needs: Callable[[int], bool], alone: Callable[[int], bool]) -> Usage:
        mine = {place for held in self.files.values() if needs(held.groups) for place in held.named}
        unique = (place for place in mine if alone(self._place_groups[place]))
        gone = [held.size_bytes for held in self.maps.values() if alone(held.groups)]
        gone += [size for number, size in self.packs.values() if alone(self._pack_groups[number])]
        stored = self.places.__getitem__
        return Usage(raw_bytes, sum(map(stored, mine)), sum(map(stored, unique)), sum(gone), len(gone))

    @cached_property
    def _place_groups(self) -> dict[int, int]:
        return _groups_of(self.files.values(), self.shared_places)

    @cached_property
    def _pack_groups(self) -> dict[int, int]:
        return _groups_of(self.maps.values(), self.shared_packs)

    def _number(self, pack: PackInfo) -> int:
        return self.packs.setdefault(pack.name, (len(self.packs), pack.size_bytes))[0]


def _groups_of(holders: Iterable[_Held], shared: Iterable[int]) -> dict[int, int]:
    """Which groups need each of the things that are named."""
    found = dict.fromkeys(shared, _OTHERS)
    same: dict[int, int] = {}  # one object for each set of groups: most things have one of a few
    for held in holders:
        for name in held.named:
            groups = found.get(name, 0) | held.groups
            found[name] = same.setdefault(groups, groups)
    return found
