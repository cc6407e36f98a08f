"""Repair: what a check finds damaged is written again, as far as the right bytes can be had.

    1  `format`, from the copy in the catalogue
    2  commits, trees, tables and maps, by content name: from the root maps that carry trees, from sources
    3  chunks: found in other packs, saved from damaged ones, fetched from sources into new packs
    4  new root maps, and for each model one log entry that gives them to its versions
    5  hints

Nothing is deleted, and nothing overwritten but hints and bytes that do not match their name, which go to quarantine first. Nothing is named before
it is durable, so a repair may be stopped anywhere, run again, and run by several at once. See docs/design/012-repair.md.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from cas_registry.backends import Backend
from cas_registry.backends.rehearsal import RehearsalBackend
from cas_registry.backends.wrappers import SingleWriterBackend
from cas_registry.errors import AlreadyExistsError, IntegrityError, RegistryError
from cas_registry.model.entry import CATALOGUE
from cas_registry.model.ids import FileId, MapName, PackName, TreeId
from cas_registry.model.maps import PackInfo
from cas_registry.model.registry_format import MAX_FORMAT_BYTES, encode_format
from cas_registry.model.remap import RemapTable
from cas_registry.operations.findings import FsckReport
from cas_registry.operations.fsck import Inspection, inspect
from cas_registry.operations.fsck_data import VersionData
from cas_registry.operations.pack_index import PackIndex, listed_packs
from cas_registry.operations.placing import write_hints
from cas_registry.operations.progress import Progress
from cas_registry.operations.refilling import BrokenFile, Refill, is_hurt
from cas_registry.operations.remapping import Remapping, publish_maps
from cas_registry.operations.repair_maps import MapWriter, index_of, open_maps, row_of
from cas_registry.operations.repair_sources import Source, find_metadata, open_source
from cas_registry.operations.transfer import worker_pool
from cas_registry.store.epochs import Threats
from cas_registry.store.layout import FORMAT_KEY, PACKS, QUARANTINE, entry_key, hint_key, object_key
from cas_registry.store.log import Recorded
from cas_registry.store.objects import ObjectStore
from cas_registry.store.stores import Stores, open_stores


@dataclass(frozen=True, slots=True)
class RepairRequest:
    """Who repairs, when, and from which places: registries' URLs (with storage options), or folders.

    The share `read_data` of all packs is read to find what is damaged; a dry run writes nothing.
    """

    who: str
    time_ms: int
    sources: Sequence[str] = ()
    storage_options: Mapping[str, Any] | None = None
    read_data: float = 0
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that a repair did (in a dry run: would do) with one key; `versions` (as model@short id) are those that it helps."""

    key: str
    done: str
    versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What was done, and what a check finds after it (of a dry run: without it)."""

    actions: tuple[Action, ...]
    check: FsckReport
    dry_run: bool

    @property
    def exit_code(self) -> int:
        """That of the check."""
        return self.check.exit_code


def repair_registry(backend: Backend, request: RepairRequest, *, progress: Progress) -> RepairReport:
    """Repair the registry at `backend`. What cannot be had again stays as it is and is named by the check.

    NotFoundError if there is no registry, or nothing at a source; IntegrityError if its parameters are lost; ConflictError where a collection may
    delete what was just written; AccessError without rights to write, nothing being changed then; and what the stores raise.
    """
    found = inspect(backend, read_share=request.read_data, progress=progress)
    target = RehearsalBackend(backend) if request.dry_run else backend
    with worker_pool() as pool:
        sources = [open_source(place, pool, request.storage_options) for place in request.sources]
        actions = _Repair(target, request, sources, pool, progress).run(found)
    if request.dry_run or not actions:
        return RepairReport(tuple(actions), found.report, request.dry_run)
    after = inspect(backend, read_share=0, damaged=found.damaged, progress=progress).report
    return RepairReport(tuple(actions), replace(after, bytes_read=found.report.bytes_read), dry_run=False)


class _Repair:
    """One run."""

    def __init__(
        self, backend: Backend, request: RepairRequest, sources: Sequence[Source], executor: Executor, progress: Progress
    ) -> None:
        self._backend = backend
        self._request = request
        self._sources = sources
        self._executor = executor
        self._progress = progress
        self._actions: list[Action] = []

    def run(self, found: Inspection) -> list[Action]:
        if not found.format_is_whole:
            self._write_format(found)
        stores = open_stores(self._backend)
        while self._write_metadata(stores.objects, found):  # a tree that is back tells of others
            found = inspect(self._backend, read_share=0, damaged=found.damaged, progress=self._progress)
        self._heal(stores, found)
        self._write_hints(stores, found)
        return self._actions

    def _did(self, key: str, done: str, versions: Iterable[str] = ()) -> None:
        self._actions.append(Action(key, done, tuple(sorted(set(versions)))))

    # metadata

    def _write_format(self, found: Inspection) -> None:
        backend = SingleWriterBackend(self._backend) if found.format.single_writer else self._backend
        data = encode_format(found.format)
        try:
            backend.create(FORMAT_KEY, data)
        except AlreadyExistsError:
            existing = backend.get(FORMAT_KEY, length=MAX_FORMAT_BYTES + 1)
            if existing != data:
                backend.put(f"{QUARANTINE}{FORMAT_KEY}", existing)
                backend.put(FORMAT_KEY, data)
        backend.flush()
        self._did(FORMAT_KEY, "written again, from the copy in the catalogue")

    def _write_metadata(self, objects: ObjectStore, found: Inspection) -> bool:
        """Write what can be had of the objects that are named by their content; says whether there was any."""
        any_written = False
        concerned: defaultdict[str, set[str]] = defaultdict(set)
        for finding in found.report.findings:
            concerned[finding.key].update(finding.versions)
        for identity in sorted(found.broken, key=object_key):
            if objects.is_whole(identity):
                continue  # a map that can be read, and does not have what it should
            at_hand = found.trees.get(identity) if isinstance(identity, TreeId) else None
            at_hand = at_hand or find_metadata(self._sources, identity)
            if at_hand is not None:
                data, origin = at_hand
                objects.write_named(identity, data)
                self._did(object_key(identity), f"written again, from {origin}", concerned[object_key(identity)])
                any_written = True
        if any_written:
            objects.flush()
        return any_written

    def _write_hints(self, stores: Stores, found: Inspection) -> None:
        for name, last in found.hints.items():
            kept = stores.catalogue.log if name == CATALOGUE else stores.log(name)
            try:
                head = kept.head()
            except IntegrityError:
                continue  # of a log whose last entry is damaged
            if head is not None and head.n >= last and kept.hint() != head.n:
                kept.write_hint(head.n)
                self._did(hint_key(name), f"says {head.n} now")

    # data

    def _heal(self, stores: Stores, found: Inspection) -> None:
        heads = self._heads(stores, found)
        threats = {model: stores.threats(head.entry) for model, head in heads.items()}
        versions = [version for version in found.versions if version.model in heads and version.whole]
        survey = _Survey(stores.objects, found)
        affected = survey.look(versions)
        roots: dict[str, dict[int, tuple[MapName, MapName]]] = defaultdict(dict)
        if affected:
            threatened = _threatened(found, threats.values())
            index = PackIndex(self._backend, found.sizes, threatened | found.damaged.keys())
            ruins = PackIndex(self._backend, found.sizes, threatened) if found.damaged else index
            refill = Refill(stores, index, ruins, survey.is_fit, self._sources, self._executor)
            refill.heal(list(survey.broken.values()), self._progress)
            self._tell_of_chunks(refill)
            recipes = self._write_recipes(stores.objects, survey, index, refill, affected)
            writer = MapWriter(
                stores.objects, survey.broken, survey.is_fit, refill.is_hurt,
                lambda file: recipes.get(file) or index.recipe_packs(file),
            )  # fmt: skip
            for version in affected:
                root = writer.rewrite(version)
                if root is not None:
                    roots[version.model][version.at] = (version.map, root)
                    self._did(object_key(version.map), f"replaced by {object_key(root)}", [version.label])
        for model in heads:
            self._publish(stores, found, model, roots.get(model, {}), threats[model])
        if affected:  # a hint that leads to a damaged pack of the right length would be believed
            with suppress(RegistryError):
                write_hints(stores, {file: at for file, at in writer.hints.items() if survey.broken[file].is_whole})

    def _heads(self, stores: Stores, found: Inspection) -> Mapping[str, Recorded]:
        """The heads of the logs that may be written to: their end is where the check saw it, or further on, and tells its refs."""
        heads: dict[str, Recorded] = {}
        for model, state in found.logs.items():
            try:
                end = stores.refs(model).head() if state.is_sound else None
            except IntegrityError:
                continue  # a spilled table is lost, and the check says so
            if end is not None and end[0].n >= state.last:
                heads[model] = end[0]
        return heads

    def _tell_of_chunks(self, refill: Refill) -> None:
        parts = [f"{refill.count.saved:,} from damaged packs"] if refill.count.saved else []
        parts += [f"{number:,} from {name}" for name, number in sorted(refill.count.fetched.items())]
        if parts:
            names = ", ".join(object_key(pack.name) for pack in refill.packs)
            self._did(PACKS, f"chunks stored again, {' and '.join(parts)}: {names}")

    def _write_recipes(
        self, objects: ObjectStore, survey: "_Survey", index: PackIndex, refill: Refill, affected: Sequence[VersionData]
    ) -> dict[FileId, frozenset[PackInfo]]:
        """Recipes that were in packs which are gone, so that maps can be rebuilt again; where they are now."""
        missing: set[FileId] = set()
        for version in affected:
            files = open_maps(objects, version.map)
            for _, entry, folder in version.files:
                identity = entry.id
                if (
                    not isinstance(identity, FileId)
                    or not entry.size_bytes
                    or identity in missing
                    or index.recipe_packs(identity)
                ):
                    continue
                broken = survey.broken.get(identity)
                row = (broken.healed if broken.is_whole else None) if broken else row_of(files, entry, folder)
                if row:
                    refill.add_recipe(identity, entry.size_bytes, row)
                    missing.add(identity)
        packs = frozenset(refill.finish())
        return dict.fromkeys(missing, packs)

    def _publish(
        self, stores: Stores, found: Inspection, model: str, maps: Mapping[int, tuple[MapName, MapName]], threats: Threats
    ) -> None:
        state = found.logs[model]
        head = stores.log(model).head()
        lost = head.entry.remap if head else None
        replaces = (lost, RemapTable(state.replacement)) if lost and state.replacement else None
        if not maps and replaces is None:
            return
        remapping = Remapping(model, maps, "repair", replaces)
        count = publish_maps(stores, remapping, threats, who=self._request.who, time_ms=self._request.time_ms)
        if replaces:
            self._did(object_key(replaces[0]), "another table takes its place, with the maps that versions had before it")
        after = stores.log(model).head()
        if count and after:
            labels = [version.label for version in found.versions if version.model == model and version.at in maps]
            self._did(entry_key(model, after.n), f"the log gives {count:,} version{'s' if count > 1 else ''} new maps", labels)


class _Survey:
    """Which versions are affected by packs and maps that are gone or damaged, and the files that make them so."""

    def __init__(self, objects: ObjectStore, found: Inspection) -> None:
        self._objects = objects
        self._sizes = found.sizes
        self._damaged = found.damaged
        self.broken: dict[FileId, BrokenFile] = {}

    def is_fit(self, pack: PackInfo) -> bool:
        """Whether a pack is there with its length, and was not found damaged."""
        size = self._sizes.get(object_key(pack.name))
        return pack.name not in self._damaged and size == pack.size_bytes

    def look(self, versions: Sequence[VersionData]) -> list[VersionData]:
        affected = [version for version in versions if self._is_affected(version)]
        if self.broken:
            for version in versions:
                self._look_for_whole(version)
        return affected

    def _is_affected(self, version: VersionData) -> bool:
        files = open_maps(self._objects, version.map)
        is_affected = files is None or not all(map(self.is_fit, files.root.packs))
        for _, entry, folder in version.files:
            if not entry.size_bytes or not isinstance(entry.id, FileId):
                continue
            row = row_of(files, entry, folder)
            if row is None or any(is_hurt(located, self.is_fit) for located in row):
                is_affected = True
                broken = self.broken.setdefault(entry.id, BrokenFile(entry.id, entry.size_bytes))
                if row is not None and files:
                    broken.row = broken.row or row
                    broken.encoded_index = broken.encoded_index or index_of(files, entry, folder)
        return is_affected

    def _look_for_whole(self, version: VersionData) -> None:
        """A broken file may be whole by the maps of another version."""
        files = open_maps(self._objects, version.map)
        for _, entry, folder in version.files if files else ():
            broken = self.broken.get(entry.id) if isinstance(entry.id, FileId) else None
            if broken is None or broken.is_whole or not entry.size_bytes:
                continue
            row = row_of(files, entry, folder)
            if row and not any(is_hurt(located, self.is_fit) for located in row):
                broken.healed, broken.is_whole = row, True
                broken.encoded_index = index_of(files, entry, folder)


def _threatened(found: Inspection, threats: Iterable[Threats]) -> set[PackName]:
    """Packs that a collection may delete: nothing is to be looked for in them."""
    checks: list[Callable[[PackName], bool]] = [threat.spares_pack for threat in threats]
    return {pack.name for pack in listed_packs(found.sizes) if not all(spares(pack.name) for spares in checks)}
