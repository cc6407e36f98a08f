"""What the footers of packs say: where chunks lie, and of which chunks files consist. The way back from packs to maps."""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field

from cas_registry.backends import Backend
from cas_registry.errors import FormatError, IntegrityError, NotFoundError
from cas_registry.model.ids import ChunkId, FileId, PackName
from cas_registry.model.maps import Located, PackInfo
from cas_registry.model.packs import TRAILER_BYTES, PackFooter, Recipe, decode_footer, footer_bytes
from cas_registry.model.placement import Placement
from cas_registry.model.registry_format import MAX_PACK_BYTES
from cas_registry.model.tensors import ElementType
from cas_registry.model.tree import TreeEntry
from cas_registry.store.layout import PACKS, object_key

_TAIL_BYTES = 64 * 1024  # read first: most footers are shorter


def listed_packs(sizes: Mapping[str, int]) -> list[PackInfo]:
    """The packs among listed objects, by name. What lies beside them under another name is nobody's."""
    found: list[PackInfo] = []
    for key in sorted(key for key in sizes if key.startswith(PACKS)):
        try:
            found.append(PackInfo(PackName.parse(key.removeprefix(PACKS)), sizes[key]))
        except FormatError:
            continue
    return found


class PackIndex:
    """The footers of packs that are there, but for those to `skip`. One that cannot be read is as good as none.

    Memory grows with the chunks and recipes of all packs.
    """

    def __init__(self, backend: Backend, sizes: Mapping[str, int], skip: Set[PackName] = frozenset()) -> None:
        self._whole: dict[ChunkId, tuple[Located, ...]] = {}  # one place for each element type
        self._deltas: dict[ChunkId, list[tuple[PackInfo, Placement]]] = {}
        self._recipes: dict[FileId, list[_Recipe]] = {}
        self._bases: dict[ChunkId, ElementType] = {}
        for pack in listed_packs(sizes):
            if pack.name not in skip:
                try:
                    self._take(pack, _read_footer(backend, object_key(pack.name), pack.size_bytes))
                except (FormatError, NotFoundError):
                    continue

    def has(self, chunk: ChunkId) -> bool:
        """Whether the chunk is there by itself, or as a delta to a base that is."""
        return next(self.places(chunk), None) is not None

    def whole(self, chunk: ChunkId) -> Located | None:
        """A place of the chunk where it is no delta."""
        found = self._whole.get(chunk)
        return found[0] if found else None

    def places(self, chunk: ChunkId) -> Iterator[Located]:
        """Where the chunk lies: by itself, then as deltas.

        A delta's row names its base by id alone. Where one chunk was stored as two element types each may be what the delta was made to,
        so who has more than one answer decodes to be sure.
        """
        yield from self._whole.get(chunk, ())
        for pack, placement in self._deltas.get(chunk, ()):
            assert placement.base is not None  # noqa: S101 - of deltas
            bases = self._whole.get(placement.base, ())
            for base in sorted(bases, key=lambda base, element=placement.element: base.placement.element is not element):  # type: ignore[misc]
                yield Located(pack, placement, base)

    def missing_bases(self, chunk: ChunkId) -> list[ChunkId]:
        """The bases, not there, with which a delta of this chunk could be decoded."""
        named = (placement.base for _, placement in self._deltas.get(chunk, ()))
        return [base for base in named if base is not None and base not in self._whole]

    def raw_bytes(self, chunk: ChunkId) -> int | None:
        """How long a chunk is, also where it cannot be decoded for want of its base."""
        found = next((located.placement for located in self._whole.get(chunk, ())), None)
        found = found or next((placement for _, placement in self._deltas.get(chunk, ())), None)
        return found.raw_bytes if found else None

    def element(self, chunk: ChunkId) -> ElementType:
        """The element type of a chunk that is not there, as deltas to it and of it suggest."""
        deltas = self._deltas.get(chunk)
        return deltas[0][1].element if deltas else self._bases.get(chunk, ElementType.NONE)

    def learn(self, located: Located) -> None:
        """Take in the place of a chunk that was stored meanwhile."""
        if located.base is None:
            self._add_whole(located)

    def recipes(self, file: FileId) -> Iterator[list[ChunkId]]:
        """The chunks that a file consists of, in order, for each way in which it was cut."""
        return (recipe.row() for recipe in self._recipes.get(file, ()) if recipe.is_complete)

    def recipe_packs(self, file: FileId) -> frozenset[PackInfo]:
        """The packs that hold the recipe of a file; none where it is not complete."""
        return next((frozenset(recipe.packs) for recipe in self._recipes.get(file, ()) if recipe.is_complete), frozenset())

    def can_rebuild(self, entry: TreeEntry) -> bool:
        """Whether the packs say of which chunks a file consists, and have all of them."""
        try:
            self.rebuild(entry)
        except IntegrityError:
            return False
        return entry.size_bytes > 0

    def packs_of(self, entry: TreeEntry) -> set[PackInfo]:
        """The packs that a rebuilt file needs."""
        rebuilt = self.rebuild(entry)
        return {located.pack for located in rebuilt} | {located.base.pack for located in rebuilt if located.base}

    def rebuild(self, entry: TreeEntry) -> list[Located]:
        """The chunks of a file by its recipe. IntegrityError where the packs do not have it."""
        if entry.size_bytes == 0 or not isinstance(entry.id, FileId):
            return []
        for chunks in self.recipes(entry.id):
            found = [next(self.places(chunk), None) for chunk in chunks]
            located = [item for item in found if item is not None]
            if len(located) == len(found) and sum(item.placement.raw_bytes for item in located) == entry.size_bytes:
                return located
        raise IntegrityError(f"packs do not have file {entry.id.short}")

    def _take(self, pack: PackInfo, footer: PackFooter) -> None:
        for placement in footer.placements:
            if placement.base is None:
                self._add_whole(Located(pack, placement))
            else:
                self._deltas.setdefault(placement.chunk, []).append((pack, placement))
                self._bases.setdefault(placement.base, placement.element)
        for part in footer.recipes:
            ways = self._recipes.setdefault(part.file, [])
            way = next((way for way in ways if way.goes_with(part)), None)
            if way is None:
                ways.append(way := _Recipe(part.total))
            way.chunks.update(enumerate(part.chunks, start=part.first))
            way.packs.add(pack)

    def _add_whole(self, located: Located) -> None:
        known = self._whole.get(located.placement.chunk, ())
        if all(located.placement.element is not other.placement.element for other in known):
            self._whole[located.placement.chunk] = (*known, located)


@dataclass(slots=True)
class _Recipe:
    """One way in which a file was cut, put together from its parts."""

    total: int
    chunks: dict[int, bytes] = field(default_factory=dict)
    packs: set[PackInfo] = field(default_factory=set)

    @property
    def is_complete(self) -> bool:
        return len(self.chunks) == self.total > 0

    def goes_with(self, part: Recipe) -> bool:
        return part.total == self.total and all(
            self.chunks.get(number, chunk) == chunk for number, chunk in enumerate(part.chunks, start=part.first)
        )

    def row(self) -> list[ChunkId]:
        return [ChunkId(self.chunks[number]) for number in range(self.total)]


def _read_footer(backend: Backend, key: str, size_bytes: int) -> PackFooter:
    if size_bytes > MAX_PACK_BYTES:
        raise FormatError("a pack over the size limit")
    tail = min(size_bytes, _TAIL_BYTES)
    data = backend.get(key, start=size_bytes - tail, length=tail)
    length = footer_bytes(data[-TRAILER_BYTES:], pack_bytes=size_bytes)
    if length + TRAILER_BYTES > tail:
        start = size_bytes - TRAILER_BYTES - length
        data = backend.get(key, start=start, length=length + TRAILER_BYTES)
    end = len(data) - TRAILER_BYTES
    return decode_footer(data[end - length : end], data[end:], pack_bytes=size_bytes)
