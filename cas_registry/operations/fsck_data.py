"""Checking maps and packs: does every file of every version decode from chunks that are there?"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cas_registry.backends import Backend
from cas_registry.errors import FormatError, IntegrityError, NotFoundError
from cas_registry.model.ids import MapName, PackName, TreeId
from cas_registry.model.maps import Located, PackInfo
from cas_registry.model.registry_format import MAX_PACK_BYTES
from cas_registry.model.tree import TreeEntry
from cas_registry.operations.findings import Findings, Severity
from cas_registry.operations.pack_index import PackIndex, listed_packs
from cas_registry.operations.progress import Progress
from cas_registry.operations.transfer import fetch_group, map_ordered, worker_pool
from cas_registry.operations.version_files import VersionFiles
from cas_registry.store.layout import MAPS, PACKS, object_key
from cas_registry.store.objects import ObjectStore

_PACKS_IN_FLIGHT = 2


@dataclass(frozen=True, slots=True)
class VersionData:
    """What the version that entry `at` of a model's log introduced needs: its root map and its files (path, entry, id of the folder).

    `folders` are its trees, topmost first. Not `whole` if trees are missing.
    """

    label: str
    model: str
    at: int
    map: MapName
    files: tuple[tuple[str, TreeEntry, TreeId], ...]
    folders: tuple[TreeId, ...]
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
        self._index: PackIndex | None = None
        self.bytes_read = 0
        self.broken: set[MapName] = set()
        self.damaged: dict[PackName, str] = {}  # packs whose bytes were found wrong by reading them

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

    def check_packs(
        self, versions: Sequence[VersionData], *, read_share: float, damaged: Mapping[PackName, str], progress: Progress
    ) -> None:
        """Every pack that a map needs is there with its length; of a share of all packs' bytes, chosen at random, also the bytes.

        `damaged` are packs known to be, from an earlier look.
        """
        self.damaged.update(damaged)
        if read_share:
            self._read_packs(read_share, progress)
        unfit: dict[PackInfo, str] = {}
        for pack in self._needed:
            size = self._sizes.get(object_key(pack.name))
            if size != pack.size_bytes:
                unfit[pack] = "missing" if size is None else f"{size:,} bytes long instead of {pack.size_bytes:,}"
            elif pack.name in self.damaged:
                unfit[pack] = self.damaged[pack.name]
        named = {pack.name for pack in self._needed}
        for name, problem in self.damaged.items():
            if name not in named:
                self._findings.add(Severity.NOTE, object_key(name), f"{problem}; no version needs it")
        if unfit:
            self._report_packs(versions, unfit)
        needed = {object_key(name) for name in named}
        packs = {key for key in self._sizes if key.startswith(PACKS)}
        self._note_unused(PACKS, packs - needed, "of commits that were stopped or lost a race, or of before a repack")
        maps = {key for key in self._sizes if key.startswith(MAPS)}
        self._note_unused(MAPS, maps - self._named_maps, "of commits that were stopped, or of before a repack")

    def _check_references(self, version: VersionData, files: VersionFiles) -> None:
        lost: dict[str, list[tuple[str, TreeEntry, TreeId]]] = {}
        for path, entry, folder in version.files:
            try:
                for located in files.chunks(entry, folder):
                    self._needed.setdefault(located.pack)
                    if located.base:
                        self._needed.setdefault(located.base.pack)
            except IntegrityError as error:
                lost.setdefault(str(error.fields.get("key") or object_key(version.map)), []).append((path, entry, folder))
        self._named_maps.update(object_key(reference.name) for reference in files.root.references.values())
        for key, missing in lost.items():
            self._report_map(version, key, missing)

    def _report_map(self, version: VersionData, key: str, files: Sequence[tuple[str, TreeEntry, TreeId]]) -> None:
        problem = "damaged" if key in self._sizes else "missing"
        self.broken.add(MapName.parse(key.removeprefix(MAPS)))
        index = self._pack_index()
        gone = [path for path, entry, _ in files if entry.size_bytes and not index.can_rebuild(entry)]
        if gone:
            shown = ", ".join(gone[:5]) + (", …" if len(gone) > 5 else "")  # noqa: PLR2004 - a line's worth
            self._findings.add(Severity.LOST, key, f"{problem}; packs do not say where {shown} lies", [version.label])
        else:
            self._findings.add(Severity.REPAIRABLE, key, f"{problem}; it can be rebuilt from packs", [version.label])
            for _, entry, _ in files:
                self._needed.update(dict.fromkeys(index.packs_of(entry)))

    def _read_packs(self, share: float, progress: Progress) -> None:
        chosen = _sample(listed_packs(self._sizes), share)
        total = sum(pack.size_bytes for pack in chosen)
        with worker_pool() as pool:
            problems = map_ordered(pool, self._read_pack, chosen, in_flight=_PACKS_IN_FLIGHT)
            for pack, problem in zip(chosen, problems, strict=True):
                self.bytes_read += pack.size_bytes
                progress.update("read", self.bytes_read, total)
                if problem:
                    self.damaged[pack.name] = problem

    def _read_pack(self, pack: PackInfo) -> str | None:
        if pack.size_bytes > MAX_PACK_BYTES:
            return f"{pack.size_bytes:,} bytes long, over the limit of {MAX_PACK_BYTES:,}"
        try:
            data = self._backend.get(object_key(pack.name), length=pack.size_bytes + 1)
        except NotFoundError:
            return "missing"
        return None if PackName.of(data) == pack.name else "damaged: its bytes do not match its name"

    def _report_packs(self, versions: Sequence[VersionData], unfit: Mapping[PackInfo, str]) -> None:
        """Tell for each unfit pack whether chunks that a version needs are gone, and from which versions."""
        index = PackIndex(self._backend, self._sizes, {pack.name for pack in unfit})
        gone: dict[PackInfo, set[str]] = {pack: set() for pack in unfit}
        blamed: dict[Located, PackInfo | None] = {}
        for version in versions:
            for located in self._located(version):
                if located.pack in unfit or (located.base and located.base.pack in unfit):
                    if located not in blamed:
                        blamed[located] = self._who_lost(located, index)
                    pack = blamed[located]
                    if pack in gone:
                        gone[pack].add(version.label)
        for pack, problem in unfit.items():
            if gone[pack]:
                self._findings.add(
                    Severity.LOST, object_key(pack.name), f"{problem}; chunks that versions need are gone", gone[pack]
                )
            else:
                self._findings.add(
                    Severity.REPAIRABLE, object_key(pack.name), f"{problem}; every chunk that versions need can still be read"
                )

    def _who_lost(self, located: Located, index: PackIndex) -> PackInfo | None:
        """The pack for whose sake a chunk cannot be had, None if it can: from elsewhere, or by reading what is left there."""
        if index.has(located.placement.chunk) or self._chunk_is_whole(located):
            return None
        base = located.base
        if base is None or index.whole(base.placement.chunk) or self._chunk_is_whole(base):
            return located.pack
        return base.pack

    def _located(self, version: VersionData) -> Iterator[Located]:
        """Where the version's chunks are, as far as maps or packs say; what nobody says is reported with the map."""
        try:
            files = VersionFiles(self._objects, version.map)
        except IntegrityError:
            files = None
        for _, entry, folder in version.files:
            try:
                yield from files.chunks(entry, folder) if files else self._pack_index().rebuild(entry)
            except IntegrityError:
                if files and self._pack_index().can_rebuild(entry):
                    yield from self._pack_index().rebuild(entry)

    def _chunk_is_whole(self, located: Located) -> bool:
        try:
            fetch_group(self._objects, [located])
        except (IntegrityError, FormatError):
            return False
        return True

    def _pack_index(self) -> PackIndex:
        if self._index is None:
            self._index = PackIndex(self._backend, self._sizes)
        return self._index

    def _note_unused(self, prefix: str, keys: set[str], why: str) -> None:
        if keys:
            size = sum(self._sizes[key] for key in keys)
            self._findings.add(Severity.NOTE, prefix, f"{len(keys)} objects of {size:,} bytes that no version needs ({why})")


def _sample(packs: Sequence[PackInfo], share: float) -> list[PackInfo]:
    """Packs that make up this share of all bytes, at least one: drawn anew each time, so that a small share covers all in time."""
    order = list(packs)
    if share < 1:
        random.SystemRandom().shuffle(order)
    wanted = sum(pack.size_bytes for pack in order) * share
    chosen: list[PackInfo] = []
    for pack in order:
        if wanted <= 0:
            break
        chosen.append(pack)
        wanted -= pack.size_bytes
    return chosen
