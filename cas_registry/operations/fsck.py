"""Checking a registry: is everything that a log names there and whole?

The quick check reads all metadata and compares the lengths of packs with a listing; with `read_data` every byte of every pack,
or of a random share of them, is read and hashed. Nothing is changed. What can be rebuilt from what is there is told from what is lost.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from cas_registry.backends import Backend
from cas_registry.errors import (
    FormatError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    RegistryError,
    UnsupportedFormatError,
)
from cas_registry.model.entry import CATALOGUE, MAX_ENTRY_NUMBER, Entry, Operation, RefKind, RefTable, VersionRow, decode_entry
from cas_registry.model.ids import CommitId, EntryId, MapName, PackName, RefTableId, RemapId, TreeId
from cas_registry.model.names import MAX_PATH_DEPTH, RELEASE, check_model
from cas_registry.model.registry_format import MAX_FORMAT_BYTES, RegistryFormat, decode_format
from cas_registry.model.remap import RemapTable
from cas_registry.model.tree import MAX_VERSION_ENTRIES, TreeEntry, decode_tree
from cas_registry.operations.findings import Finding, Findings, FsckReport, Severity
from cas_registry.operations.fsck_data import DataCheck, VersionData
from cas_registry.operations.progress import Progress
from cas_registry.store.layout import (
    FORMAT_KEY,
    HINT,
    PACKS,
    REFS,
    RELEASES,
    TREES,
    entry_key,
    hint_key,
    log_prefix,
    object_key,
)
from cas_registry.store.objects import MetadataId, ObjectStore
from cas_registry.store.stores import recover_format

__all__ = ["Finding", "FsckReport", "Inspection", "LogState", "Severity", "check_registry", "inspect"]

_ENTRY_BYTES = 2 * 1024 * 1024
_HINT_BYTES = 16
_BATCH = 64
_MAX_GAP = 1000
_NO_DAMAGE: Mapping[PackName, str] = MappingProxyType({})
_NOTHING_SAID = Entry("", "", 0, None, "", Operation.SET, 0, "", "")  # before the first entry of a log


@dataclass(frozen=True, slots=True)
class LogState:
    """A model's log: its last entry, whether another may follow, and what its lost remap table can be replaced by.

    Not `is_sound`: entries may be missing at its end, or what became of its versions cannot be told.
    """

    last: int
    is_sound: bool
    replacement: Mapping[int, MapName | None] | None


@dataclass(frozen=True, slots=True)
class Inspection:
    """A check with what a repair must know.

    `broken` are objects named by the hash of their content that are missing or damaged, `trees` the bytes of those trees that root maps
    carry, with the map's key. `damaged` are packs that were read and found wrong, `hints` what those that are behind should say.
    """

    report: FsckReport
    format: RegistryFormat
    format_is_whole: bool
    logs: Mapping[str, LogState]
    hints: Mapping[str, int]
    versions: Sequence[VersionData]
    broken: frozenset[MetadataId]
    trees: Mapping[TreeId, tuple[bytes, str]]
    damaged: Mapping[PackName, str]
    sizes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Introduced:
    """A version as its log entry introduces it, with the map that it has now."""

    model: str
    at: int
    commit: CommitId
    tree: TreeId
    map: MapName

    @property
    def label(self) -> str:
        return f"{self.model}@{self.commit.short}"


@dataclass(frozen=True, slots=True)
class _LostTable:
    """A remap table that cannot be read, with the first entry that names it."""

    id: RemapId
    at: int
    op: Operation
    problem: str


def check_registry(backend: Backend, *, read_data: float, progress: Progress) -> FsckReport:
    """Check the registry at `backend`. NotFoundError if there is none; whatever is wrong inside becomes a finding.

    `read_data` is the share of all packs' bytes to read and hash, True for all of them.
    """
    return inspect(backend, read_share=read_data, progress=progress).report


def inspect(
    backend: Backend, *, read_share: float, progress: Progress, damaged: Mapping[PackName, str] = _NO_DAMAGE
) -> Inspection:
    """As `check_registry`. Of packs known to be `damaged` nothing is read again."""
    if not 0 <= read_share <= 1:
        raise InvalidInputError(f"the share of data to read is {read_share}: it goes from 0 to 1")
    check = _Check(backend)
    registry_format, format_is_whole = check.format()
    check.catalogue(registry_format)
    introduced = [version for model in sorted(check.models) for version in check.model_log(model, registry_format)]
    for release in sorted(check.releases):
        check.release_log(release, registry_format, introduced)
    versions = [check.version(version, introduced) for version in introduced]
    packs = DataCheck(backend, check.sizes, check.findings)
    packs.check_maps(versions)
    packs.check_packs(versions, read_share=read_share, damaged=damaged, progress=progress)
    check.judge_tables(introduced)
    pack_bytes = sum(size for key, size in check.sizes.items() if key.startswith(PACKS))
    report = FsckReport(
        check.findings.ordered(), len(check.models), len(versions), len(check.sizes), packs.bytes_read, pack_bytes
    )
    return Inspection(
        report, registry_format, format_is_whole, check.logs, check.hints, versions,
        frozenset({*check.broken, *packs.broken}), check.trees_at_hand, packs.damaged, check.sizes,
    )  # fmt: skip


class _Check:
    """The metadata: format, logs, commits, trees."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._objects = ObjectStore(backend)
        self._trees: dict[TreeId, tuple[TreeEntry, ...] | None] = {}
        self._carried: dict[TreeId, tuple[bytes, str]] | None = None
        self._lost_tables: dict[str, list[_LostTable]] = {}
        self.findings = Findings()
        self.broken: set[MetadataId] = set()
        self.trees_at_hand: dict[TreeId, tuple[bytes, str]] = {}
        self.logs: dict[str, LogState] = {}
        self.hints: dict[str, int] = {}
        self._remaps: dict[RemapId, RemapTable] = {}
        self.models: set[str] = set()
        self.releases: set[str] = set()
        self._counted: dict[tuple[str, int], tuple[CommitId, int]] = {}
        self.sizes: Mapping[str, int] = {info.key: info.size_bytes for info in backend.list("")}

    def format(self) -> tuple[RegistryFormat, bool]:
        """The registry's parameters, from the copy in the catalogue where `format` itself is gone or damaged: then False beside them."""
        try:
            return decode_format(self._backend.get(FORMAT_KEY, length=MAX_FORMAT_BYTES + 1)), True
        except NotFoundError as error:
            if not any(key.startswith((log_prefix(CATALOGUE), REFS)) for key in self.sizes):
                raise NotFoundError(f"there is no registry at {self._backend.url}", url=self._backend.url) from error
            problem = "missing"
        except FormatError as error:
            problem = f"damaged: {error}"
        copy = recover_format(self._backend)
        if copy is None:
            raise IntegrityError(
                f"{FORMAT_KEY} in {self._backend.url} is {problem}, and its copy in {entry_key(CATALOGUE, 1)} cannot be read: "
                "the registry's parameters are lost",
                key=FORMAT_KEY,
            )
        self.findings.add(Severity.REPAIRABLE, FORMAT_KEY, f"{problem}; {entry_key(CATALOGUE, 1)} holds a copy")
        return copy, False

    def catalogue(self, registry_format: RegistryFormat) -> None:
        """The models and releases: those that the catalogue names and those that have a log."""
        entries = self._entries(CATALOGUE, registry_format)
        for entry in entries.values():
            self.models.update(entry.models or {})
            self.releases.update(entry.releases or {})
        last = entries.get(max(entries, default=0))
        for known, folder, what in ((self.models, REFS, "model"), (self.releases, RELEASES, "release")):
            for key in self.sizes:
                name = key[len(folder) :].partition("/")[0] if key.startswith(folder) else None
                if name is None or name in known or not _is_model(name):
                    continue
                known.add(name)
                if last is not None:
                    self.findings.add(Severity.REPAIRABLE, f"{folder}{name}/", f"the catalogue does not name this {what}")

    def model_log(self, model: str, registry_format: RegistryFormat) -> list[_Introduced]:
        """Every version of a model that can still be told from its log."""
        entries = self._entries(model, registry_format)
        self._counted.update(
            ((model, number), (entry.commit, entry.versions)) for number, entry in entries.items() if entry.commit
        )
        current = self._remap(model, entries)
        versions = {
            number: _Introduced(model, number, entry.commit, entry.tree, root)
            for number, entry in entries.items()
            if entry.commit and entry.tree and entry.map and (root := current.of(number, entry.map)) is not None
        }
        table: RefTable | None = None
        for number, entry in entries.items():
            table = self._table(model, number, entry)
            remap = self._remaps.get(entry.remap) if entry.remap else RemapTable()
            for row in _standing(table):
                label = f"{model}@{row.commit.short}"
                introduced = entries.get(row.at)
                if introduced is None:
                    problem = "missing or damaged: who made this version, and why, is lost"
                    self.findings.add(Severity.LOST, entry_key(model, row.at), problem, [label])
                    root = current.of(row.at, row.map)
                    if root is not None:  # the last entry's row counts
                        versions[row.at] = _Introduced(model, row.at, row.commit, row.tree, root)
                elif (
                    (introduced.commit, introduced.tree, introduced.versions) != (row.commit, row.tree, row.number) or
                    introduced.map is None or (remap is not None and remap.of(row.at, introduced.map) != row.map)
                ):  # fmt: skip
                    problem = "a branch or tag gives a version another tree or map, or another number, than the entry that introduced it"
                    self.findings.add(Severity.LOST, entry_key(model, number), problem, [label])
        for row in _standing(table) if model in self._lost_tables else ():  # they know the maps of what they stand at
            if row.at in versions:
                versions[row.at] = replace(versions[row.at], map=row.map)
        self._describe_log(model, entries, current, versions)
        return list(versions.values())

    def release_log(self, release: str, registry_format: RegistryFormat, living: Sequence[_Introduced]) -> None:
        """The versions that a release names now are there; one that was retired is worth knowing, for it can be taken back."""
        log = f"{RELEASE}{release}"
        entries = self._entries(log, registry_format)
        last = max(entries, default=0)
        rows = entries[last].release or {} if last else {}
        there = {(version.model, version.at): (version.commit, version.tree) for version in living}
        for model, row in rows.items():
            found = there.get((model, row.at))
            counted = self._counted.get((model, row.at)) == (row.commit, row.number)
            label = [f"{model}@{row.commit.short}"]
            if found is None and counted:
                problem = f"it names v{row.number} of {model}, which was retired: take that back (reg retire --undo), or release another"
                self.findings.add(Severity.NOTE, entry_key(log, last), problem, label)
            elif found != (row.commit, row.tree) or not counted:
                problem = "it names a version that no entry of its model's log introduces"
                self.findings.add(Severity.LOST, entry_key(log, last), problem, label)

    def version(self, version: _Introduced, everyone: Sequence[_Introduced]) -> VersionData:
        """The files of a version, as far as its trees can be read, or are carried by the root map of any version."""
        key = object_key(version.commit)
        try:
            commit = self._objects.read_commit(version.commit)
        except IntegrityError as error:
            self.findings.add(Severity.LOST, key, _problem(error), [version.label])
            self.broken.add(version.commit)
            commit = None
        if commit and commit.tree != version.tree:
            self.findings.add(Severity.LOST, key, "its log entry names another tree", [version.label])
        files: list[tuple[str, TreeEntry, TreeId]] = []
        folders: dict[TreeId, None] = {}
        whole = True
        waiting: deque[tuple[str, TreeId, int | None]] = deque([("", version.tree, None)])
        total = 0
        while waiting:
            prefix, identity, size_bytes = waiting.popleft()
            entries = self._tree(identity, version.label, everyone)
            if entries is None:
                whole = False
                continue
            total += len(entries)
            objection = _objection(prefix, entries, size_bytes, total)
            if objection:
                self.findings.add(Severity.LOST, object_key(identity), objection, [version.label])
                return VersionData(version.label, version.model, version.at, version.map, (), (), whole=False)
            folders[identity] = None
            for entry in entries:
                if isinstance(entry.id, TreeId):
                    waiting.append((f"{prefix}{entry.name}/", entry.id, entry.size_bytes))
                else:
                    files.append((f"{prefix}{entry.name}", entry, identity))
        return VersionData(version.label, version.model, version.at, version.map, tuple(files), tuple(folders), whole=whole)

    def judge_tables(self, versions: Sequence[_Introduced]) -> None:
        """Tell, once all else is known, whether a lost remap table can be done without: versions may only have the maps that it named."""
        lost = self.findings.lost_versions()
        for model, tables in self._lost_tables.items():
            labels = [version.label for version in versions if version.model == model]
            for table in tables:
                key = object_key(table.id)
                problem = f"{table.problem}: the maps that versions have since {entry_key(model, table.at)}"
                if self.logs[model].replacement is None:
                    self.findings.add(Severity.LOST, key, f"{problem}, and which of them are retired", labels)
                elif lost & set(labels):
                    self.findings.add(Severity.LOST, key, f"{problem}; those that they had before are not all whole", labels)
                else:
                    self.findings.add(Severity.REPAIRABLE, key, f"{problem}; those that they had before are whole", labels)

    def _describe_log(
        self, model: str, entries: Mapping[int, Entry], current: RemapTable, versions: Mapping[int, _Introduced]
    ) -> None:
        last = max(self._listed(model), default=0)
        lost = self._lost_tables.get(model, [])
        can_replace = all(table.op is Operation.REMAP for table in lost)
        replacement = {**current.maps, **{at: version.map for at, version in versions.items()}}
        self.logs[model] = LogState(
            last,
            last in entries and self._hint(model) <= last and can_replace,
            replacement if lost and can_replace and replacement else None,
        )

    def _tree(self, identity: TreeId, label: str, everyone: Sequence[_Introduced]) -> tuple[TreeEntry, ...] | None:
        if identity not in self._trees:
            try:
                self._trees[identity] = self._objects.read_tree(identity).entries
            except IntegrityError:
                self.broken.add(identity)
                self._trees[identity] = None
                if carried := self._carried_trees(everyone).get(identity):
                    self.trees_at_hand[identity] = carried
                    self._trees[identity] = decode_tree(carried[0]).entries
        if identity in self.broken:
            problem = "damaged" if object_key(identity) in self.sizes else "missing"
            if identity in self.trees_at_hand:
                problem = f"{problem}; {self.trees_at_hand[identity][1]} carries its bytes"
                self.findings.add(Severity.REPAIRABLE, object_key(identity), problem, [label])
            else:
                self.findings.add(Severity.LOST, object_key(identity), problem, [label])
        return self._trees[identity]

    def _carried_trees(self, everyone: Sequence[_Introduced]) -> Mapping[TreeId, tuple[bytes, str]]:
        """The bytes of trees that root maps carry, with the map's key; the maps are read once, when the first tree is missing."""
        if self._carried is None:
            self._carried = {}
            for name in dict.fromkeys(version.map for version in everyone):
                try:
                    (root,) = self._objects.read_roots([name])
                except IntegrityError:
                    continue
                for digest, data in root.trees.items():
                    if data and TreeId.of(data).digest == digest:
                        self._carried.setdefault(TreeId(digest), (bytes(data), object_key(name)))
        return self._carried

    def _remap(self, model: str, entries: Mapping[int, Entry]) -> RemapTable:
        """The maps that repacked versions have by now: of the last table that can be read. Each must go on from the one before."""
        current, named = RemapTable(), None
        lost: list[_LostTable] = []
        for number, entry in entries.items():
            if entry.remap == named:
                continue
            key = entry_key(model, number)
            named = entry.remap
            may_change = entry.op in (Operation.REMAP, Operation.RETIRE) or (number > 1 and number - 1 not in entries)
            if not may_change or named is None:
                self.findings.add(Severity.LOST, key, "it changes what became of versions, and is no entry that may")
                continue
            try:
                table = self._objects.read_remap_table(named)
            except RegistryError as error:
                self.broken.add(named)
                lost.append(_LostTable(named, number, entry.op, _problem(error)))
                continue
            unknown = [at for at in table.maps if at >= number or (at in entries and not entries[at].commit)]
            if unknown or not table.maps.keys() >= current.maps.keys():
                problem = "it gives maps to what are no versions, or forgets versions that had one"
                self.findings.add(Severity.LOST, object_key(named), problem)
            for earlier in lost:
                problem = f"{earlier.problem}: the table of {entry_key(model, earlier.at)}, which a later one has replaced"
                self.findings.add(Severity.NOTE, object_key(earlier.id), problem)
            lost.clear()
            self._remaps[named] = current = table
        if lost:
            self._lost_tables[model] = lost
        return current

    def _entries(self, log: str, registry_format: RegistryFormat) -> dict[int, Entry]:
        """The entries of a log that are whole, by number; gaps, damage and a broken chain become findings."""
        listed = self._listed(log)
        last = listed[-1] if listed else 0
        hint = self._hint(log)
        if hint > last:
            self.findings.add(
                Severity.LOST, entry_key(log, hint), f"missing: {hint_key(log)} says that the log goes on to here"
            )
        elif last and hint < last:
            self.findings.add(Severity.NOTE, hint_key(log), f"behind: it says {hint}, the log ends at {last}")
            self.hints[log] = last
        entries: dict[int, Entry] = {}
        previous: EntryId | None = None
        for numbers in self._batches(log, listed):
            found = self._backend.get_many([entry_key(log, number) for number in numbers], length=_ENTRY_BYTES)
            for number, data in zip(numbers, found, strict=True):
                identity, entry, problem = _check_entry(data, log, number, registry_format.registry)
                if entry and number > 1 and previous and entry.prev != previous:
                    problem = f"does not follow entry {number - 1}: the chain of hashes is broken"
                before = entries.get(number - 1) if number > 1 else _NOTHING_SAID
                if entry and before and not problem and entry.versions != before.versions + (entry.commit is not None):
                    problem = f"counts {entry.versions} versions, of which {before.versions} came before it: v{entry.versions} may be another one"
                if entry and before and not problem and entry.notes != before.notes + (entry.note is not None):
                    problem = f"counts {entry.notes} notes, of which {before.notes} came before it: some will not be found"
                if problem:
                    label = [f"{log}@{entry.commit.short}"] if entry and entry.commit else []
                    self.findings.add(Severity.LOST, entry_key(log, number), problem, label)
                if entry:
                    entries[number] = entry
                previous = identity
        return entries

    def _batches(self, log: str, listed: Sequence[int]) -> Iterator[range]:
        """The numbers up to the last one listed, some at once. What a listing lacks is asked for by its key, but of a long gap, which one
        object put far behind the end is enough to make, only the beginning."""
        start = 1
        for number in listed:
            if number - start > _MAX_GAP:
                yield from _in_batches(start, start + _MAX_GAP)
                gap = f"missing, as all up to {number - 1} are: log entries are never deleted"
                self.findings.add(Severity.LOST, entry_key(log, start + _MAX_GAP), gap)
                start = number
            if number - start >= _BATCH:
                yield from _in_batches(start, number)
                start = number
        if listed:
            yield from _in_batches(start, listed[-1] + 1)

    def _listed(self, log: str) -> list[int]:
        """The numbers of a log's entries as the listing has them, in order."""
        prefix = log_prefix(log)
        return sorted(number for key in self.sizes if key.startswith(prefix) and (number := _number(key, prefix)))

    def _hint(self, log: str) -> int:
        """What the hint says; 0 for what can be no number of an entry, which says nothing of the log."""
        text = (self._backend.get_many([hint_key(log)], length=_HINT_BYTES)[0] or b"").strip()
        number = int(text) if text.isdigit() else 0
        return number if number <= MAX_ENTRY_NUMBER else 0

    def _table(self, model: str, number: int, entry: Entry) -> RefTable | None:
        if not isinstance(entry.refs, RefTableId):
            return entry.refs
        try:
            return self._objects.read_ref_table(entry.refs)
        except RegistryError as error:
            self.broken.add(entry.refs)
            problem = f"{_problem(error)}: the branches and tags of {entry_key(model, number)}"
            self.findings.add(Severity.LOST, f"{TREES}{entry.refs.hex}", problem)
            return None


def _in_batches(start: int, end: int) -> Iterator[range]:
    for first in range(start, end, _BATCH):
        yield range(first, min(first + _BATCH, end))


def _objection(prefix: str, entries: Sequence[TreeEntry], size_bytes: int | None, total: int) -> str | None:
    """What no reader of a version lets pass (see `walk_tree`), or None."""
    held = sum(entry.size_bytes for entry in entries)
    if size_bytes is not None and held != size_bytes:
        return f"holds {held:,} bytes, the folder above says {size_bytes:,}"
    if prefix.count("/") >= MAX_PATH_DEPTH:
        return f"nested more than {MAX_PATH_DEPTH} folders deep"
    if total > MAX_VERSION_ENTRIES:
        return f"of a version of more than {MAX_VERSION_ENTRIES:,} files and folders"
    return None


def _check_entry(data: bytes | None, log: str, number: int, registry: str) -> tuple[EntryId | None, Entry | None, str | None]:
    if data is None:
        return None, None, "missing: log entries are never deleted"
    try:
        identity, entry = decode_entry(data)
    except (FormatError, UnsupportedFormatError) as error:
        return None, None, f"damaged: {error}"
    if (entry.log, entry.n, entry.registry) != (log, number, registry):
        return None, None, f"put in another's place: it is entry {entry.n} of log {entry.log!r}"
    return identity, entry, None


def _standing(table: RefTable | None) -> list[VersionRow]:
    """What branches and tags stand at."""
    refs = (ref for kind in RefKind for ref in table.of(kind).values()) if table else ()
    return [ref.version for ref in refs if ref.version]


def _number(key: str, prefix: str) -> int:
    digits = key[len(prefix) :]
    return int(digits) if digits != HINT and len(digits) == 10 and digits.isdigit() else 0  # noqa: PLR2004 - as keys are spelt


def _is_model(name: str) -> bool:
    try:
        check_model(name)
    except RegistryError:
        return False
    return True


def _problem(error: RegistryError) -> str:
    return "missing" if error.fields.get("missing") else "damaged"
