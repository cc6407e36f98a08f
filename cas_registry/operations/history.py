"""Ancestry: the commits behind a version, newest first.

Walking parents one by one costs a round trip a commit. Most parents lie close together in one log, so entries are read in batches
backwards from the highest position still wanted, with the commits that they name.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from cas_registry.errors import IntegrityError
from cas_registry.model.commit import Commit
from cas_registry.model.entry import CommitStats, RefKind
from cas_registry.model.ids import CommitId, MapName
from cas_registry.model.remap import RemapTable
from cas_registry.store.log import BATCH, Recorded
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A commit in a history: its number in the log (`v17`), what it cost, and the refs that stand at it.

    One that is `retired` can be looked at, but its files are not to be had.
    """

    id: CommitId
    commit: Commit
    number: int
    at: int
    stats: CommitStats | None
    branches: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    retired: bool = False


def walk_history(stores: Stores, first: Version, *more: Version) -> Iterator[LogRecord]:
    """One or several versions and their ancestors, each once, every commit before its parents. Names are those of the first's model."""
    found = stores.refs(first.model).head()
    table = found[1] if found else None
    names = {kind: _by_commit({name: ref.commit for name, ref in table.of(kind).items()} if table else {}) for kind in RefKind}
    known = KnownCommits(stores)
    known.learn_retired(first.model, found[0] if found else None)
    starts = {version.commit: version for version in (first, *more)}
    waiting = [(-version.at, version.commit.digest, version.log) for version in starts.values()]
    heapq.heapify(waiting)
    seen = set(starts)
    while waiting:
        negative_at, digest, log = heapq.heappop(waiting)
        identity = CommitId(digest)
        record = known.read(log, identity, below=-negative_at)
        yield LogRecord(
            identity, record.commit, record.number, record.at, record.stats,
            names[RefKind.BRANCH].get(identity, ()), names[RefKind.TAG].get(identity, ()),
            known.map_of(record) is None,
        )  # fmt: skip
        for parent in record.commit.parents:
            if parent not in seen:
                seen.add(parent)
                at = known.read(record.commit.log, parent, below=record.commit.position)
                heapq.heappush(waiting, (-at.at, parent.digest, at.log))


@dataclass(frozen=True, slots=True)
class KnownCommit:
    """A commit with the entry that introduced it, and the map that it had then."""

    log: str
    at: int
    number: int
    commit: Commit
    map: MapName
    stats: CommitStats | None


class KnownCommits:
    """The commits read so far, filled in batches of log entries. They never change, so whoever walks twice may keep them."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._found: dict[CommitId, KnownCommit] = {}
        self._read: set[tuple[str, int]] = set()
        self._remaps: dict[str, RemapTable] = {}

    def find(self, identity: CommitId) -> KnownCommit:
        """A commit of which nothing is known but its id: its own record says on which log it was made."""
        if identity in self._found:
            return self._found[identity]
        commit = self._stores.objects.read_commit(identity)
        return self.read(commit.log, identity, below=commit.position + 1)

    def read(self, log: str, identity: CommitId, *, below: int) -> KnownCommit:
        """Where a commit was introduced: in the entries right below, as most parents are, else wherever its own record says."""
        if identity not in self._found:
            self._fill(log, below)
        if identity not in self._found:
            recorded = self._stores.refs(log).introduction(identity)
            self._fill(recorded.entry.log, recorded.n)
        if identity not in self._found:
            raise IntegrityError(f"commit {identity.short} is in no log; run reg fsck", commit=identity.hex)
        return self._found[identity]

    def map_of(self, found: KnownCommit) -> MapName | None:
        """The map that a version has by now; None once it is retired."""
        return self._remap(found.log).of(found.at, found.map)

    def learn_retired(self, log: str, head: Recorded | None) -> None:
        """What is retired, or has another map, in a log with this head."""
        self._remaps[log] = self._stores.refs(log).remap(head) if head else RemapTable()

    def _remap(self, log: str) -> RemapTable:
        if log not in self._remaps:
            self.learn_retired(log, self._stores.log(log).head())
        return self._remaps[log]

    def _fill(self, log: str, top: int) -> None:
        if (log, top) in self._read:
            return
        numbers = [number for number in range(max(1, top - BATCH + 1), top + 1) if (log, number) not in self._read]
        entries = [recorded.entry for recorded in self._stores.log(log).read_many(numbers)]
        introduced = [
            (entry, entry.commit, entry.map) for entry in entries if entry.commit is not None and entry.map is not None
        ]
        commits = self._stores.objects.read_commits([identity for _, identity, _ in introduced])
        for (entry, identity, root), commit in zip(introduced, commits, strict=True):
            self._found.setdefault(identity, KnownCommit(log, entry.n, entry.versions, commit, root, entry.stats))
        self._read.update((log, number) for number in numbers)


def _by_commit(refs: dict[str, CommitId | None]) -> dict[CommitId, tuple[str, ...]]:
    found: dict[CommitId, tuple[str, ...]] = {}
    for name, commit in sorted(refs.items()):
        if commit is not None:
            found[commit] = (*found.get(commit, ()), name)
    return found
