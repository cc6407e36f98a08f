"""Names to commits: the branches and tags of one model, from its log."""

import difflib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cas_registry.errors import IntegrityError, InvalidInputError, NotFoundError
from cas_registry.model.entry import (
    MAX_INLINE_TABLE_BYTES,
    Entry,
    Operation,
    Ref,
    RefKind,
    RefTable,
    VersionRow,
    encode_ref_table,
)
from cas_registry.model.ids import ID_HEX_DIGITS, CommitId, MapName, RefTableId, TreeId
from cas_registry.model.remap import RemapTable
from cas_registry.model.revision import Revision, parse_time
from cas_registry.store.layout import entry_key, object_key
from cas_registry.store.log import BATCH, Log, LogSource, Recorded
from cas_registry.store.objects import ObjectStore

PROBES = 16  # entries read at once where a version is looked for by its number
READ_BATCH = 256  # entries of a whole log read at once


@dataclass(frozen=True, slots=True)
class Version:
    """A commit found: the entry `at` of model `log` introduced it as the log's `number`-th version, with its tree; and its current map.

    `log` is the model's own name, but for the earlier versions of a model that was forked from another.
    """

    model: str
    log: str
    commit: CommitId
    at: int
    number: int
    tree: TreeId
    map: MapName

    @property
    def row(self) -> VersionRow:
        """The version as a ref table holds it."""
        return VersionRow(self.commit, self.at, self.number, self.tree, self.map)


@dataclass(frozen=True, slots=True)
class Move:
    """One move of a ref, as its log entry tells it: from version `previous_number` to version `number` (None: from or to nothing)."""

    n: int
    kind: RefKind
    name: str
    commit: CommitId | None
    previous: CommitId | None
    time_ms: int
    who: str
    why: str
    number: int | None = None
    previous_number: int | None = None


class ModelRefs:
    """The refs of one model. Nothing is cached: every question reads the log anew."""

    def __init__(self, log: Log, objects: ObjectStore, *, logs: LogSource) -> None:
        self.log = log
        self._objects = objects
        self._logs = logs

    @property
    def model(self) -> str:
        return self.log.name

    def head(self) -> tuple[Recorded, RefTable] | None:
        """The log's last entry with its table, or None for a model without versions."""
        recorded = self.log.head()
        return None if recorded is None else (recorded, self.table(recorded))

    def existing_head(self) -> tuple[Recorded, RefTable]:
        """The log's last entry with its table. NotFoundError for a model without versions."""
        found = self.head()
        if found is None:
            raise NotFoundError(f"model {self.model!r} has no versions yet; make one with reg commit", model=self.model)
        return found

    def table(self, recorded: Recorded) -> RefTable:
        """The branches and tags as an entry leaves them."""
        refs = recorded.entry.refs
        if isinstance(refs, RefTableId):
            return self._objects.read_ref_table(refs)
        return refs or RefTable()

    def remap(self, recorded: Recorded) -> RemapTable:
        """The maps that repacked versions of this log have, and which are retired, as an entry leaves them."""
        identity = recorded.entry.remap
        if identity is None:
            return RemapTable()
        table = self._objects.read_remap_table(identity)
        if max(table.maps) >= recorded.n:
            key = object_key(identity)
            raise IntegrityError(
                f"{key} gives maps to versions that come after {entry_key(self.model, recorded.n)}; run reg fsck", key=key
            )
        return table

    def versions(self, head: Recorded) -> Iterator[Version]:
        """Every version that this log introduces and that is not retired, in order, with its current map. Entries are read in batches."""
        remap = self.remap(head)
        for start in range(1, head.n + 1, READ_BATCH):
            for recorded in self.log.read_many(range(start, min(start + READ_BATCH, head.n + 1))):
                if recorded.entry.commit is not None and (version := self._introduced(recorded, remap)):
                    yield version

    def next_entry(
        self, head: Recorded | None, table: RefTable, *, registry: str, time_ms: int, who: str, why: str,
        before: Entry | None = None,
    ) -> Entry:  # fmt: skip
        """The entry that follows `head` with this table, still without a commit. A large table is stored aside.

        `before` is where the first entry of a log takes over from, as far as collections go: the catalogue's head.
        """
        before = head.entry if head else before
        spilled = len(encode_ref_table(table)) > MAX_INLINE_TABLE_BYTES
        return Entry(
            registry=registry,
            log=self.model,
            n=head.n + 1 if head else 1,
            prev=head.id if head else None,
            nonce=secrets.token_hex(16),
            op=Operation.SET,
            time_ms=time_ms,
            who=who,
            why=why,
            refs=self._objects.write_ref_table(table) if spilled else table,
            versions=head.entry.versions if head else 0,
            remap=head.entry.remap if head else None,
            notes=head.entry.notes if head else 0,
            gc_seen=before.gc_seen if before else 0,
            gc_settled=before.gc_settled if before else 0,
        )

    def version(self, row: VersionRow) -> Version:
        """A row of the ref table that the head leaves as a version."""
        return Version(self.model, self.model, row.commit, row.at, row.number, row.tree, row.map)

    def resolve(self, revision: Revision, *, now_ms: int) -> Version:
        """The version that a revision names. NotFoundError says what was looked for and what there is."""
        head, table = self.existing_head()
        if revision.release is not None:
            version = self._released(revision, revision.release, head, table, now_ms=now_ms)
            return self._ancestor(version.commit, revision, head) if revision.steps else version
        live = table.find(revision.name)
        if live is None and (number := revision.number) and not revision.back and revision.as_of is None:
            version = self._by_number(number, head, table)
            return self._ancestor(version.commit, revision, head) if revision.steps else version
        if live is None:
            if revision.back or revision.as_of is not None:
                raise NotFoundError(self._unknown(revision.name, table), revision=revision.text)
            version = self._by_id(revision, head, table)
            return self._ancestor(version.commit, revision, head) if revision.steps else version
        ref = self._earlier(live[0], revision, live[1], now_ms=now_ms)
        if ref.version is None:
            raise NotFoundError(
                f"{revision.text}: {live[0].value} {revision.name!r} was deleted at that point", revision=revision.text
            )
        if revision.steps:
            return self._ancestor(ref.version.commit, revision, head)
        version = self.version(ref.version)
        if ref == live[1]:
            return version
        current = self.remap(head).of(version.at, version.map)  # the row is of an earlier table
        if current is None:
            raise retired_error(self.model, version.commit, version.number)
        return replace(version, map=current)

    def history(self, kind: RefKind, name: str) -> list[Move]:
        """Every move of a ref, newest first: one GET a move. NotFoundError if it never existed."""
        return list(self.moves(kind, name))

    def moves(self, kind: RefKind, name: str) -> Iterator[Move]:
        """`history`, read as it is asked for."""
        found = self.head()
        ref = found[1].of(kind).get(name) if found else None
        if found is None or ref is None:
            raise NotFoundError(f"{kind.value} {name!r} of model {self.model!r} never existed", ref=name)
        recorded = found[0]
        while ref is not None:
            if recorded.n != ref.moved:
                recorded = self.log.read(ref.moved)
            before = self._before(kind, name, ref)
            entry = recorded.entry
            now, stood = ref.version, before.version if before else None
            commits = (now.commit if now else None, stood.commit if stood else None)
            numbers = (now.number if now else None, stood.number if stood else None)
            yield Move(ref.moved, kind, name, *commits, entry.time_ms, entry.who, entry.why, *numbers)
            ref = before

    def find_entry(self, commit_id: CommitId, head: Recorded | None = None) -> Version:
        """The version of a commit, of whatever log it was made in. `head` is this log's, if it is known."""
        recorded = self.introduction(commit_id)
        home = ModelRefs(self._logs.log(recorded.entry.log), self._objects, logs=self._logs)
        if head is None or head.entry.log != home.model:
            head = home.log.head() or recorded
        version = home._introduced(recorded, home.remap(head))  # noqa: SLF001 - one's own kind
        if version is None:
            version = self._taken_over(commit_id)
        if version is None:
            raise retired_error(home.model, commit_id, recorded.entry.versions)
        return replace(version, model=self.model)

    def home_version(self, commit_id: CommitId, head: Recorded) -> Version | None:
        """The version of a commit that was made in this very log, as its head leaves it; None for another's, and for a retired one."""
        if self._objects.read_commit(commit_id).log != self.model:
            return None
        return self._introduced(self.introduction(commit_id), self.remap(head))

    def _taken_over(self, commit_id: CommitId) -> Version | None:
        """A version as this log introduces it from when a ref was set at another model's: it lives on where that one has retired it."""
        head = self.log.head()
        return next((version for version in self.versions(head) if version.commit == commit_id), None) if head else None

    def introduction(self, commit_id: CommitId) -> Recorded:
        """The entry that introduces a commit: the first one after the commit's position that names it."""
        commit = self._objects.read_commit(commit_id)
        log = self._logs.log(commit.log)
        position, count = commit.position, 2
        while batch := log.read_after(position, count, for_end=False):
            for recorded in batch:
                if recorded.entry.commit == commit_id:
                    return recorded
            if len(batch) < count:
                break
            position, count = batch[-1].n, min(count * 4, BATCH)
        raise NotFoundError(
            f"commit {commit_id.short} was never acknowledged in the log of {commit.log!r}", commit=commit_id.hex
        )

    def _introduced(self, recorded: Recorded, remap: RemapTable) -> Version | None:
        """The version that an entry of this log introduces, None once it is retired; the one place that reads an entry's map."""
        entry = recorded.entry
        assert entry.commit and entry.tree and entry.map  # noqa: S101, PT018 - an entry has all three or none
        current = remap.of(entry.n, entry.map)
        if current is None:
            return None
        return Version(self.model, self.model, entry.commit, entry.n, entry.versions, entry.tree, current)

    def _before(self, kind: RefKind, name: str, ref: Ref) -> Ref | None:
        if ref.moved <= 1:
            return None
        before = self.table(self.log.read(ref.moved - 1)).of(kind).get(name)
        if before is not None and before.moved >= ref.moved:  # following it would never end
            key = entry_key(self.model, ref.moved - 1)
            raise IntegrityError(
                f"{key}: {kind.value} {name!r} says that it moved in an entry that comes later; run reg fsck", key=key
            )
        return before

    def _earlier(self, kind: RefKind, revision: Revision, ref: Ref, *, now_ms: int) -> Ref:
        moves_back = revision.back
        until_ms = parse_time(revision.as_of, now_ms=now_ms) if revision.as_of is not None else None
        steps = 0
        while steps < moves_back or (until_ms is not None and self.log.read(ref.moved).entry.time_ms > until_ms):
            earlier = self._before(kind, revision.name, ref)
            steps += 1
            if earlier is None:
                raise NotFoundError(
                    f"{revision.text}: {kind.value} {revision.name!r} has moved {steps - 1} times only"
                    if until_ms is None
                    else f"{revision.text}: {kind.value} {revision.name!r} did not exist then",
                    revision=revision.text,
                )
            ref = earlier
        return ref

    def _by_id(self, revision: Revision, head: Recorded, table: RefTable) -> Version:
        if not revision.may_be_id:
            raise NotFoundError(self._unknown(revision.name, table), revision=revision.text)
        known = {row.commit: row for kind in RefKind for ref in table.of(kind).values() if (row := ref.version)}
        if len(revision.name) == ID_HEX_DIGITS:
            whole = CommitId.parse(revision.name)
            if whole in known:
                return self.version(known[whole])
            candidates = [whole]
        else:
            candidates = self._objects.find_commits(revision.name)
        versions, retired = self._acknowledged(candidates, head)
        mine = [version for version in versions if version.log == self.model or version.commit in known]
        if not mine:
            mine = [found for version in versions if (found := self._taken_over(version.commit))]
        if len(mine) > 1:
            names = ", ".join(version.commit.short for version in mine[:5])
            raise InvalidInputError(f"{revision.name} is ambiguous: {names}; give more digits", revision=revision.text)
        if not mine and len(retired) == 1:
            raise retired[0]
        if not mine:
            elsewhere = f" (model {versions[0].log!r} has it)" if versions else ""
            raise NotFoundError(
                f"no commit of model {self.model!r} starts with {revision.name}{elsewhere}", revision=revision.text
            )
        return mine[0]

    def _by_number(self, number: int, head: Recorded, table: RefTable) -> Version:
        """The log's `number`-th version: of a ref's row, else found among the entries, each of which counts the versions so far."""
        rows = (ref.version for kind in RefKind for ref in table.of(kind).values())
        row = next((row for row in rows if row and row.number == number), None)
        if row is not None:
            return self.version(row)
        if number > head.entry.versions:
            raise NotFoundError(
                f"model {self.model!r} has no version v{number}; the last one is v{head.entry.versions}", model=self.model
            )
        before, at = 0, head  # the version is introduced after entry `before`, and by entry `at` at the latest
        while at.n - before > 1:
            step = -(-(at.n - before) // PROBES)
            for probe in self.log.read_many(range(before + step, at.n, step)):
                if probe.entry.versions >= number:
                    at = probe
                    break
                before = probe.n
        if at.entry.commit is None or at.entry.versions != number:
            key = entry_key(self.model, at.n)
            raise IntegrityError(
                f"{key} does not introduce version {number}, as the entries before and after it have it", key=key
            )
        version = self._introduced(at, self.remap(head))
        if version is None:
            raise retired_error(self.model, at.entry.commit, number)
        return version

    def _released(self, revision: Revision, release: str, head: Recorded, table: RefTable, *, now_ms: int) -> Version:
        """The version of this model that a release names; where it lies is the model's own log to say."""
        from cas_registry.store.releases import ReleaseLog  # noqa: PLC0415 - few revisions are releases

        rows = ReleaseLog(self._logs, release).find(revision, now_ms=now_ms)
        row = rows.get(self.model)
        if row is None:
            there = ", ".join(sorted(rows)[:8]) + (", …" if len(rows) > 8 else "")  # noqa: PLR2004 - a line's worth
            raise NotFoundError(
                f"release {release!r} has no model {self.model!r}; {f'it has: {there}' if there else 'it is empty'}",
                release=release, revision=revision.text,
            )  # fmt: skip
        standing = (ref.version for kind in RefKind for ref in table.of(kind).values())
        named = (row.at, row.commit, row.tree)
        known = next((found for found in standing if found and (found.at, found.commit, found.tree) == named), None)
        if known is not None:
            return self.version(known)
        introduced = self.log.read(row.at)
        if (introduced.entry.commit, introduced.entry.tree) != (row.commit, row.tree):
            key = entry_key(self.model, row.at)
            raise IntegrityError(
                f"{key} does not introduce the version that release {release!r} has from it; run reg fsck", key=key
            )
        version = self._introduced(introduced, self.remap(head))
        if version is None:
            raise retired_error(self.model, row.commit, row.number)
        return version

    def _acknowledged(self, candidates: Sequence[CommitId], head: Recorded) -> tuple[list[Version], list[NotFoundError]]:
        """The versions of those commits that a log introduces, and what is to be said of those that were retired."""
        versions: list[Version] = []
        retired: list[NotFoundError] = []
        for candidate in candidates:
            try:
                if self._objects.has_commit(candidate):
                    versions.append(self.find_entry(candidate, head))
            except NotFoundError as error:  # another writer lost a race with it; or it was retired
                if "retired" in error.fields:
                    retired.append(error)
        return versions, retired

    def _ancestor(self, commit_id: CommitId, revision: Revision, head: Recorded) -> Version:
        for step in range(revision.steps):
            parents = self._objects.read_commit(commit_id).parents
            if not parents:
                raise NotFoundError(
                    f"{revision.text}: the history of {revision.name!r} has {step} earlier commits only", revision=revision.text
                )
            commit_id = parents[0]
        return self.find_entry(commit_id, head)

    def _unknown(self, name: str, table: RefTable) -> str:
        there = [ref_name for kind in (RefKind.TAG, RefKind.BRANCH) for ref_name, ref in table.of(kind).items() if ref.commit]
        shown = ", ".join(sorted(there)[:8]) + (", …" if len(there) > 8 else "")  # noqa: PLR2004 - a line's worth
        near = difflib.get_close_matches(name, there, n=1)
        hint = f"did you mean {near[0]!r}? There are" if near else "there are"
        return f"model {self.model!r} has no tag, branch or commit {name!r}; " + (
            f"{hint}: {shown}" if there else "it has none"
        )


def retired_error(model: str, commit: CommitId, number: int) -> NotFoundError:
    """What is said of a version that was retired."""
    return NotFoundError(
        f"version {number} of model {model!r} ({commit.short}) was retired; reg log tells by whom and why",
        model=model, commit=commit.hex, retired=True,
    )  # fmt: skip
