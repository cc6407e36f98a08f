"""Checking maps and packs: does every file of every version decode from chunks that are there?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cas_registry.backends import Backend
from cas_registry.errors import FormatError, IntegrityError, NotFoundError
from cas_registry.model.ids import ChunkId, FileId, MapName, PackName, TreeId
from cas_registry.model.maps import Located, PackInfo
from cas_registry.model.packs import TRAILER_BYTES, PackFooter, decode_footer, footer_bytes
from cas_registry.model.placement import Placement
from cas_registry.model.registry_format import MAX_PACK_BYTES
from cas_registry.model.tree import TreeEntry
from cas_registry.operations.findings import Findings, Severity
from cas_registry.operations.progress import Progress
from cas_registry.operations.transfer import fetch_group, map_ordered, worker_pool
from cas_registry.operations.version_files import VersionFiles
from cas_registry.store.layout import MAPS, PACKS, object_key
from cas_registry.store.objects import ObjectStore

_PACKS_IN_FLIGHT = 2


@dataclass(frozen=True, slots=True)
class VersionData:
    """What a version needs: its root map and its files (path, entry, id of the folder). Not `whole` if trees are missing."""

    label: str
    map: MapName
    files: tuple[tuple[str, TreeEntry, TreeId], ...]
    whole: bool


class DataCheck:
    """Maps first, then packs. Memory grows with the number of packs and with what is damaged, not with the chunks."""

    def __init__(self, backend: Backend, sizes: Mapping[str, int], findings: Findings) -> None:
        self._backend = backend
        self._objects = ObjectStore(backend)
        self._sizes = sizes
        self._findings = findings
        self._needed: dict[PackInfo, None] = {}
        self._named_maps: set[str] = set()
        self._index: _PackIndex | None = None
        self.bytes_read = 0

    def check_maps(self, versions: Sequence[VersionData]) -> None:
        """Every map that a version needs; one that is gone can be rebuilt if packs say where its files' chunks lie."""
        for version in versions:
            self._named_maps.add(object_key(version.map))
            try:
                files = VersionFiles(self._objects, version.map)
            except IntegrityError as error:
                self._report_map(version, str(error.fields.get("key") or object_key(version.map)), version.files)
                continue
            self._needed.update(dict.fromkeys(files.root.packs))
            self._check_references(version, files)

    def check_packs(self, versions: Sequence[VersionData], *, read_data: bool, progress: Progress) -> None:
        """Every pack that a map needs is there with its length; with `read_data`, and with its bytes."""
        damaged: dict[PackInfo, str] = {}
        for pack in self._needed:
            size = self._sizes.get(object_key(pack.name))
            if size != pack.size_bytes:
                damaged[pack] = "missing" if size is None else f"{size:,} bytes long instead of {pack.size_bytes:,}"
        listed = {key: size for key, size in self._sizes.items() if key.startswith(PACKS)}
        if read_data:
            self._read_packs(listed, damaged, progress)
        if damaged:
            self._report_packs(versions, damaged)
        named = {object_key(pack.name) for pack in self._needed}
        self._note_unused(PACKS, listed.keys() - named, "of commits that were stopped or lost a race, or of before a repack")
        maps = {key for key in self._sizes if key.startswith(MAPS)}
        self._note_unused(MAPS, maps - self._named_maps, "of commits that were stopped, or of before a repack")

    def _check_references(self, version: VersionData, files: VersionFiles) -> None:
        lost: dict[str, list[tuple[str, TreeEntry, TreeId]]] = {}
        for path, entry, folder in version.files:
            try:
                for located in files.chunks(entry, folder):
                    self._needed.setdefault(located.pack)
            except IntegrityError as error:
                lost.setdefault(str(error.fields.get("key") or object_key(version.map)), []).append((path, entry, folder))
        self._named_maps.update(object_key(reference.name) for reference in files.root.references.values())
        for key, missing in lost.items():
            self._report_map(version, key, missing)

    def _report_map(self, version: VersionData, key: str, files: Sequence[tuple[str, TreeEntry, TreeId]]) -> None:
        problem = "damaged" if key in self._sizes else "missing"
        index = self._pack_index()
        gone = [path for path, entry, _ in files if entry.size_bytes and not index.can_rebuild(entry)]
        if gone:
            shown = ", ".join(gone[:5]) + (", …" if len(gone) > 5 else "")  # noqa: PLR2004 - a line's worth
            self._findings.add(Severity.LOST, key, f"{problem}; packs do not say where {shown} lies", [version.label])
        else:
            self._findings.add(Severity.REPAIRABLE, key, f"{problem}; it can be rebuilt from packs", [version.label])
            for _, entry, _ in files:
                self._needed.update(dict.fromkeys(index.packs_of(entry)))

    def _read_packs(self, listed: Mapping[str, int], damaged: dict[PackInfo, str], progress: Progress) -> None:
        needed = {object_key(pack.name): pack for pack in self._needed}
        total = sum(listed.values())
        keys = sorted(listed)
        with worker_pool() as pool:
            for key, problem in zip(
                keys,
                map_ordered(pool, lambda key: self._read_pack(key, listed[key]), keys, in_flight=_PACKS_IN_FLIGHT),
                strict=True,
            ):
                self.bytes_read += listed[key]
                progress.update("read", self.bytes_read, total)
                if problem and key in needed:
                    damaged.setdefault(needed[key], problem)
                elif problem:
                    self._findings.add(Severity.NOTE, key, f"{problem}; no version needs it")

    def _read_pack(self, key: str, size_bytes: int) -> str | None:
        if size_bytes > MAX_PACK_BYTES:
            return f"{size_bytes:,} bytes long, over the limit of {MAX_PACK_BYTES:,}"
        try:
            data = self._backend.get(key, length=size_bytes + 1)
        except NotFoundError:
            return "missing"
        return None if PackName.of(data).hex == key[len(PACKS) :] else "damaged: its bytes do not match its name"

    def _report_packs(self, versions: Sequence[VersionData], damaged: Mapping[PackInfo, str]) -> None:
        """Tell for each damaged pack whether chunks that a version needs are gone, and from which versions."""
        index = self._pack_index(skip={pack.name for pack in damaged})
        gone: dict[PackInfo, set[str]] = {pack: set() for pack in damaged}
        usable: dict[Located, bool] = {}
        for version in versions:
            for located in self._located(version, index):
                if located.pack not in damaged:
                    continue
                if located not in usable:
                    usable[located] = index.has(located.placement.chunk) or self._chunk_is_whole(located)
                if not usable[located]:
                    gone[located.pack].add(version.label)
        for pack, problem in damaged.items():
            if gone[pack]:
                self._findings.add(
                    Severity.LOST, object_key(pack.name), f"{problem}; chunks that versions need are gone", gone[pack]
                )
            else:
                self._findings.add(
                    Severity.REPAIRABLE, object_key(pack.name), f"{problem}; every chunk that versions need can still be read"
                )

    def _located(self, version: VersionData, index: "_PackIndex") -> Iterator[Located]:
        try:
            files = VersionFiles(self._objects, version.map)
        except IntegrityError:
            files = None
        for _, entry, folder in version.files:
            try:
                found: Sequence[Located] = files.chunks(entry, folder) if files else index.rebuild(entry)
            except IntegrityError:
                found = index.rebuild(entry)
            for located in found:
                yield located
                if located.base:
                    yield located.base

    def _chunk_is_whole(self, located: Located) -> bool:
        try:
            fetch_group(self._objects, [located])
        except (IntegrityError, FormatError):
            return False
        return True

    def _pack_index(self, skip: set[PackName] | None = None) -> "_PackIndex":
        if self._index is None or skip:
            self._index = _PackIndex(
                self._backend, {key: size for key, size in self._sizes.items() if key.startswith(PACKS)}, skip or set()
            )
        return self._index

    def _note_unused(self, prefix: str, keys: set[str], why: str) -> None:
        if keys:
            size = sum(self._sizes[key] for key in keys)
            self._findings.add(Severity.NOTE, prefix, f"{len(keys)} objects of {size:,} bytes that no version needs ({why})")


class _PackIndex:
    """What the footers of all packs say: the way back from packs to maps."""

    def __init__(self, backend: Backend, sizes: Mapping[str, int], skip: set[PackName]) -> None:
        self._whole: dict[ChunkId, Located] = {}
        self._deltas: dict[ChunkId, tuple[PackInfo, Placement]] = {}
        self._recipes: dict[FileId, dict[int, bytes]] = {}
        self._totals: dict[FileId, int] = {}
        for key, size_bytes in sizes.items():
            name = PackName.parse(key[len(PACKS) :])
            if name in skip:
                continue
            try:
                footer = _read_footer(backend, key, size_bytes)
            except (FormatError, NotFoundError):
                continue
            for placement in footer.placements:
                if placement.base is None:
                    self._whole.setdefault(placement.chunk, Located(PackInfo(name, size_bytes), placement))
                else:
                    self._deltas.setdefault(placement.chunk, (PackInfo(name, size_bytes), placement))
            for recipe in footer.recipes:
                self._totals[recipe.file] = recipe.total
                self._recipes.setdefault(recipe.file, {}).update(enumerate(recipe.chunks, start=recipe.first))

    def has(self, chunk: ChunkId) -> bool:
        return self._find(chunk) is not None

    def _find(self, chunk: ChunkId) -> Located | None:
        """The chunk by itself, or as a delta to a base that is there."""
        if chunk in self._whole:
            return self._whole[chunk]
        pack, placement = self._deltas.get(chunk, (None, None))
        base = self._whole.get(placement.base) if placement and placement.base else None
        return Located(pack, placement, base) if pack and placement and base else None

    def can_rebuild(self, entry: TreeEntry) -> bool:
        """Whether the packs say of which chunks a file consists, and have all of them."""
        try:
            return sum(located.placement.raw_bytes for located in self.rebuild(entry)) == entry.size_bytes
        except IntegrityError:
            return False

    def packs_of(self, entry: TreeEntry) -> set[PackInfo]:
        rebuilt = self.rebuild(entry)
        return {located.pack for located in rebuilt} | {located.base.pack for located in rebuilt if located.base}

    def rebuild(self, entry: TreeEntry) -> list[Located]:
        """The chunks of a file by its recipe. IntegrityError where the packs do not have it."""
        if entry.size_bytes == 0 or not isinstance(entry.id, FileId):
            return []
        recipe = self._recipes.get(entry.id, {})
        found = [self._find(ChunkId(recipe.get(number, b""))) for number in range(self._totals.get(entry.id, 0))]
        located = [item for item in found if item is not None]
        if not located or len(located) < len(found):
            raise IntegrityError(f"packs do not have file {entry.id.short}")
        return located


def _read_footer(backend: Backend, key: str, size_bytes: int) -> PackFooter:
    if size_bytes > MAX_PACK_BYTES:
        raise FormatError("a pack over the size limit")
    tail = min(size_bytes, 64 * 1024)
    data = backend.get(key, start=size_bytes - tail, length=tail)
    length = footer_bytes(data[-TRAILER_BYTES:], pack_bytes=size_bytes)
    if length + TRAILER_BYTES > tail:
        start = size_bytes - TRAILER_BYTES - length
        data = backend.get(key, start=start, length=length + TRAILER_BYTES)
    end = len(data) - TRAILER_BYTES
    return decode_footer(data[end - length : end], data[end:], pack_bytes=size_bytes)
