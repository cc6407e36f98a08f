"""Bringing the index up to date: what follows the last entry that it has of each log, and nothing else. One GET a log where nothing is new.

Each batch of entries is one transaction, in which the number of the last entry is looked at again: where another process was quicker, one
goes on from where that one came to. Entries must follow on by their hashes. A log that goes on from another entry than the one that
the index has is read anew from the beginning, once the watch of this machine has had its say.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise

from cas_registry.errors import IntegrityError
from cas_registry.model.entry import ModelRow, RefKind, RefTable
from cas_registry.model.ids import RefTableId
from cas_registry.operations.indexing.intake import Batch, Ending, Intake, Moved
from cas_registry.operations.progress import Progress
from cas_registry.operations.transfer import map_ordered, worker_pool
from cas_registry.store.layout import entry_key
from cas_registry.store.log import Recorded
from cas_registry.store.refs import READ_BATCH
from cas_registry.store.stores import Stores

THREADS = 16  # requests under way where logs are many
_BATCHES_IN_FLIGHT = 3  # of one log: some 256 entries with their commits each


def catch_up(connection: sqlite3.Connection, stores: Stores, *, now_ms: int, progress: Progress) -> None:
    """Take in all that was written since. IntegrityError for a log that does not follow on, RollbackError for one that was set back."""
    _learn_models(connection, stores)
    with worker_pool(threads=THREADS) as executor:
        logs = _known_logs(connection)
        news = [
            (log, found)
            for log, found in zip(
                logs, map_ordered(executor, lambda log: _news(stores, log), logs, in_flight=THREADS), strict=True
            )
            if found is not None
        ]
        counter = _Counter(progress, sum(max(0, found.head.n - log.last) for log, found in news))
        reader = _Reader(stores, executor, Intake(connection), connection, counter)
        for log, found in news:
            reader.follow(log, found)
    connection.execute("UPDATE about SET url = ?, synced_ms = ?", (stores.backend.url, now_ms))


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One writer at a time: all of the block, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


@dataclass(frozen=True, slots=True)
class _KnownLog:
    """How far the index has a model's log."""

    id: int
    name: str
    last: int
    last_id: bytes | None
    remap: bytes | None


@dataclass(frozen=True, slots=True)
class _News:
    """The head of a log that went on, and what else of it was read on the way."""

    head: Recorded
    read: Mapping[int, Recorded]


class _Counter:
    """Tells how many entries are done."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def add(self, entries: int) -> None:
        self._done += entries
        self._progress.update("index", min(self._done, self._total), self._total)


class _Reader:
    """Follows logs, one after another; batches of one are read ahead by threads."""

    def __init__(
        self, stores: Stores, executor: Executor, intake: Intake, connection: sqlite3.Connection, counter: _Counter
    ) -> None:
        self._stores = stores
        self._executor = executor
        self._intake = intake
        self._connection = connection
        self._counter = counter

    def follow(self, log: _KnownLog, news: _News) -> None:
        """Take in a log up to its head."""
        while log.last < news.head.n:
            log = self._follow_from(log, news)

    def _follow_from(self, log: _KnownLog, news: _News) -> _KnownLog:
        """Up to the head, or to where another process, or another log in its place, makes one begin again: how far the index has it then."""
        ending = self._ending(log, news.head)
        starts = range(log.last + 1, news.head.n + 1, READ_BATCH)
        ranges = [range(start, min(start + READ_BATCH, news.head.n + 1)) for start in starts]
        batches = map_ordered(
            self._executor, lambda numbers: self._read(log.name, numbers, news.read), ranges, in_flight=_BATCHES_IN_FLIGHT
        )
        for batch in batches:
            first, last = batch.entries[0], batch.entries[-1]
            with transaction(self._connection):
                now = _known_logs(self._connection, log.name)[0]
                if now != log:  # another process was at it
                    return now
                if _previous(first) != log.last_id:
                    if log.last == 0:
                        raise _broken(log.name, first)
                    self._intake.drop(log.id)
                    return _known_logs(self._connection, log.name)[0]
                self._take(log, batch, ending if last.n == news.head.n else None)
                log = replace(log, last=last.n, last_id=last.id.digest)
            self._counter.add(len(batch.entries))
        return log

    def _take(self, log: _KnownLog, batch: Batch, ending: Ending | None) -> None:
        try:
            self._intake.take(log.id, batch, ending)
        except BaseException:
            self._intake.forget()
            raise

    def _ending(self, log: _KnownLog, head: Recorded) -> Ending:
        refs = self._stores.refs(log.name)
        remap = head.entry.remap
        return Ending(refs.table(head), None if remap is None or remap.digest == log.remap else refs.remap(head))

    def _read(self, log: str, numbers: range, have: Mapping[int, Recorded]) -> Batch:
        """Entries with their commits, in two round trips. Called in workers."""
        missing = [number for number in numbers if number not in have]
        found = dict(zip(missing, self._stores.log(log).read_many(missing), strict=True)) if missing else {}
        entries = [have.get(number) or found[number] for number in numbers]
        for before, after in pairwise(entries):
            if after.entry.prev != before.id:
                raise _broken(log, after)
        wanted = list(dict.fromkeys(recorded.entry.commit for recorded in entries if recorded.entry.commit))
        commits = self._stores.objects.read_commits(wanted)
        return Batch(entries, dict(zip(wanted, commits, strict=True)), list(self._moves(log, entries)))

    def _moves(self, log: str, entries: Iterable[Recorded]) -> Iterator[Moved]:
        refs = self._stores.refs(log)
        before: object = None
        for recorded in entries:
            if isinstance(recorded.entry.refs, RefTableId) and recorded.entry.refs == before:
                continue  # a large table that lies aside, and was left as it was
            before = recorded.entry.refs
            yield from _moves_in(recorded.n, refs.table(recorded))


def _moves_in(number: int, table: RefTable) -> Iterator[Moved]:
    for kind in RefKind:
        for name, ref in table.of(kind).items():
            if ref.moved == number:
                yield Moved(number, kind, name, ref.commit)


def _learn_models(connection: sqlite3.Connection, stores: Stores) -> None:
    """The models of the catalogue, if it went on: one GET if it did not. Only its end counts."""
    (last,) = connection.execute("SELECT catalogue FROM about").fetchone()
    catalogue = stores.catalogue
    if last and not catalogue.log.read_after(last, 1):
        return
    head = catalogue.head()
    with transaction(connection):
        _put_models(connection, head.entry.models or {})
        connection.execute("UPDATE about SET catalogue = ?", (head.n,))


def _put_models(connection: sqlite3.Connection, models: Mapping[str, ModelRow]) -> None:
    connection.executemany(
        "INSERT INTO model (name, retired) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET retired = excluded.retired",
        [(name, row.retired) for name, row in models.items()],
    )


def _known_logs(connection: sqlite3.Connection, name: str | None = None) -> list[_KnownLog]:
    which, values = (" WHERE name = ?", (name,)) if name is not None else (" ORDER BY name", ())
    return [_KnownLog(*row) for row in connection.execute(f"SELECT id, name, last, last_id, remap FROM model{which}", values)]


def _news(stores: Stores, known: _KnownLog) -> _News | None:
    """The head of a log that went on; one GET where it did not. Called in workers."""
    log = stores.log(known.name)
    after = log.read_after(known.last, 1) if known.last else []
    if known.last and not after:
        return None
    head = log.head()
    if head is None:
        return None
    return _News(head, {recorded.n: recorded for recorded in (*after, head)})


def _previous(recorded: Recorded) -> bytes | None:
    return recorded.entry.prev.digest if recorded.entry.prev else None


def _broken(log: str, recorded: Recorded) -> IntegrityError:
    key = entry_key(log, recorded.n)
    return IntegrityError(f"{key} does not follow the entry before it: the log is not whole; run reg fsck", key=key)
