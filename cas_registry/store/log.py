"""Append-only logs of numbered, create-only entries: the only place where writers meet.

Reading the head takes the hint, then the entry that it names and the next one together: three GETs and two round trips
however long the log. The hint is never believed: a stale one costs reads, a wrong one as well, nothing else.
"""

import random
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from cas_registry.backends import Backend
from cas_registry.errors import (
    AlreadyExistsError,
    BackendError,
    FormatError,
    IntegrityError,
    OutcomeUnknownError,
    RegistryError,
    RollbackError,
)
from cas_registry.model.entry import MAX_ENTRY_BYTES, MAX_ENTRY_NUMBER, Entry, Operation, RefTable, decode_entry, encode_entry
from cas_registry.model.ids import EntryId
from cas_registry.store.layout import entry_key, hint_key

_READ_BYTES = MAX_ENTRY_BYTES + 66
_HINT_BYTES = 16
APPEND_DEADLINE_S = 60.0
BATCH = 32


@dataclass(frozen=True, slots=True)
class Recorded:
    """An entry as it stands in the log, with the id that seals it."""

    id: EntryId
    entry: Entry

    @property
    def n(self) -> int:
        return self.entry.n


class LogWatch(Protocol):
    """Who remembers what was seen of a log: asked before its head is read, told after."""

    def recall(self, log: str) -> Callable[[Recorded | None], None]:
        """What to do with the head that is read from now on: RollbackError for one that what was seen until now rules out."""

    def keep(self, recorded: Recorded) -> None:
        """An entry that one's own append put there."""


class LogSource(Protocol):
    """Hands out the logs of a registry."""

    def log(self, name: str) -> "Log":
        """The log of that model, or of a release (`release:NAME`), whether it exists or not."""


class Log:
    """One log: a model's, or the catalogue. Where it ends is asked of `backend`, always; entries that are known to be there, of `kept`."""

    def __init__(
        self,
        backend: Backend,
        registry: str,
        name: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        watch: LogWatch | None = None,
        kept: Backend | None = None,
    ) -> None:
        self._backend = backend
        self._kept = kept or backend
        self._registry = registry
        self._sleep = sleep
        self._watch = watch
        self.name = name

    def head(self) -> Recorded | None:
        """The last entry, or None for a log that does not exist yet. RollbackError where the watch has seen it further, or otherwise."""
        if self._watch is None:
            return self._find_head()
        check = self._watch.recall(self.name)  # first: what others see meanwhile may be further on than what is read here
        recorded = self._find_head()
        check(recorded)
        return recorded

    def read(self, number: int) -> Recorded:
        """Entry `number`. IntegrityError if it is missing or damaged: entries are never deleted."""
        return self.read_many([number])[0]

    def read_many(self, numbers: Sequence[int]) -> list[Recorded]:
        """Several entries in one round trip."""
        found = self._read_raw(numbers, self._kept)
        return [self._decode(number, self._present(number, data)) for number, data in zip(numbers, found, strict=True)]

    def read_after(self, number: int, count: int, *, for_end: bool = True) -> list[Recorded]:
        """Up to `count` entries that follow entry `number`; fewer at the end of the log. Not `for_end`: whoever asks looks for one of them."""
        numbers = range(number + 1, number + 1 + count)
        recorded: list[Recorded] = []
        for following, data in zip(numbers, self._read_raw(numbers, None if for_end else self._kept), strict=True):
            if data is None:
                break
            recorded.append(self._decode(following, data))
        return recorded

    def follow(self, seen: Recorded | None) -> Recorded | None:
        """The head, from one that was read before (None: there were no entries): one GET where nothing follows it, for entries have no gaps.

        RollbackError where what follows does not follow it: the log is not the one that was read.
        """
        count = 1
        while batch := self.read_after(seen.n if seen else 0, count):
            for recorded in batch:
                if recorded.entry.prev != (seen.id if seen else None):
                    raise RollbackError(
                        f"entry {recorded.n} of the log of {self.name!r} does not follow the one that was read before it: somebody put an older "
                        "or another log in its place. Ask who keeps the bucket",
                        key=entry_key(self.name, recorded.n), log=self.name,
                    )  # fmt: skip
                seen = recorded
            if len(batch) < count:
                break
            count = min(count * 4, BATCH)
        if self._watch is not None and seen is not None:
            self._watch.keep(seen)
        return seen

    def fence(self, epoch: int, settled: int, *, time_ms: int, who: str) -> Recorded:
        """An entry whose writer, and all after it, know of collection `epoch`: the head if it is one, else a barrier. It changes nothing else; a
        model's log without entries begins with it."""
        while True:
            head = self.head()
            if head is not None and head.entry.gc_seen >= epoch:
                return head
            before = head.entry if head else Entry(
                self._registry, self.name, 0, None, "", Operation.SET, time_ms, who, "", refs=RefTable()
            )  # fmt: skip
            entry = replace(
                before, n=before.n + 1, prev=head.id if head else None, nonce=secrets.token_hex(16), op=Operation.BARRIER, time_ms=time_ms,
                who=who, why=f"collection {epoch}", commit=None, tree=None, map=None, format=None, note=None, stats=None, gc_seen=epoch,
                gc_settled=max(settled, before.gc_settled),
            )  # fmt: skip
            if appended := self.append(entry):
                self.write_hint(entry.n)
                return appended

    def append(self, entry: Entry) -> Recorded | None:
        """Create the entry. None when another writer took its number; then read the head and decide anew.

        A lost answer is settled by reading back and comparing. OutcomeUnknownError where the store stays silent, does not let one
        read back, or fails to make the entry durable: that is never tried again, for the second try would say nothing of the first.
        """
        key = entry_key(self.name, entry.n)
        data = encode_entry(entry)
        if not self._create(key, data, entry.n):
            return None
        try:
            self._backend.flush()
        except RegistryError as error:
            raise OutcomeUnknownError(
                f"{key} is written, but may not survive a power loss ({error.message}). Read the log before trying again",
                key=key,
            ) from error
        recorded = self._decode(entry.n, data)
        if self._watch is not None:
            self._watch.keep(recorded)
        return recorded

    def _create(self, key: str, data: bytes, number: int) -> bool:
        """Whether the entry stands under its number; False where another does."""
        deadline = time.monotonic() + APPEND_DEADLINE_S
        wait_s = 0.1
        while True:
            failure: RegistryError
            try:
                self._backend.create(key, data)
            except (AlreadyExistsError, BackendError) as error:
                failure = error
            else:
                return True
            try:
                landed = self._read_raw([number])[0]
            except RegistryError as error:
                if not isinstance(error, BackendError) or not error.transient or time.monotonic() > deadline:
                    raise _unknown(key) from error
            else:
                if landed is not None:
                    return landed == data
                if isinstance(failure, BackendError) and not failure.transient:
                    raise failure
                if time.monotonic() > deadline:
                    raise _unknown(key) from failure
            self._sleep(random.uniform(0, wait_s))  # noqa: S311 - jitter
            wait_s = min(wait_s * 2, 5.0)

    def write_hint(self, number: int) -> None:
        """Note the last number for the next reader. Failing is fine."""
        try:
            self._backend.put(hint_key(self.name), str(number).encode("ascii"))
        except RegistryError:
            return

    def _find_head(self) -> Recorded | None:
        hint = self.hint()
        at_hint, after = self._read_raw([hint, hint + 1]) if hint else (None, None)
        if at_hint is None:
            first = self._read_raw([1])[0]
            return self._advance(1, first) if first is not None else None
        if after is None:
            return self._decode(hint, at_hint)
        return self._advance(hint + 1, after)

    def hint(self) -> int:
        """The last number as somebody noted it, 0 where nobody has: never to be believed, but a sign of lost entries where it is too high."""
        data = self._backend.get_many([hint_key(self.name)], length=_HINT_BYTES)[0]
        text = (data or b"").strip()
        number = int(text) if text.isdigit() and len(text) <= len(str(MAX_ENTRY_NUMBER)) else 0
        return number if number < MAX_ENTRY_NUMBER else 0

    def _advance(self, number: int, data: bytes) -> Recorded:
        """The head, given that entry `number` exists: doubling steps forward, then halving ones back."""
        step = 1
        beyond: int | None = None
        while beyond is None or beyond - number > 1:
            if beyond is None:
                probes = [number + step * factor for factor in (1, 2, 4, 8)]
                step *= 16
            else:
                quarter = max(1, (beyond - number) // 4)
                probes = sorted({min(number + quarter * factor, beyond - 1) for factor in (1, 2, 3)} - {number})
            for probe, found in zip(probes, self._read_raw(probes), strict=True):
                if found is None:
                    beyond = probe
                    break
                number, data = probe, found
        return self._decode(number, data)

    def _read_raw(self, numbers: Sequence[int], backend: Backend | None = None) -> list[bytes | None]:
        return (backend or self._backend).get_many([entry_key(self.name, number) for number in numbers], length=_READ_BYTES)

    def _present(self, number: int, data: bytes | None) -> bytes:
        if data is None:
            key = entry_key(self.name, number)
            raise IntegrityError(
                f"{key} is missing from {self._backend.url}: log entries are never deleted; run reg fsck", key=key
            )
        return data

    def _decode(self, number: int, data: bytes) -> Recorded:
        key = entry_key(self.name, number)
        try:
            identity, entry = decode_entry(data)
        except FormatError as error:
            raise IntegrityError(f"{key} in {self._backend.url} is damaged: {error}; run reg fsck", key=key) from error
        if (entry.n, entry.log, entry.registry) != (number, self.name, self._registry):
            raise IntegrityError(
                f"{key} in {self._backend.url} is entry {entry.n} of log {entry.log!r}: it was put in another's place", key=key
            )
        return Recorded(identity, entry)


def _unknown(key: str) -> OutcomeUnknownError:
    return OutcomeUnknownError(
        f"the store stopped answering while {key} was written; it may have landed. Read the log before trying again", key=key
    )
