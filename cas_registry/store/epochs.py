"""Collections under way: their records, and what they forbid a writer to name.

Records are created once and read by key, never by listing: which collections there are is told by the logs (`gc_seen`), so a stale
listing hides none.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from cas_registry.backends import Backend
from cas_registry.errors import AlreadyExistsError, BackendError, FormatError, IntegrityError, RegistryError
from cas_registry.model.canonical import MAX_METADATA_BYTES
from cas_registry.model.collection import (
    Condemned,
    Done,
    Verdict,
    decode_condemned,
    decode_done,
    decode_verdict,
    encode_condemned,
    encode_done,
    encode_verdict,
)
from cas_registry.model.entry import Entry
from cas_registry.model.ids import MapName, PackName
from cas_registry.model.maps import ChunkMap
from cas_registry.store.layout import collection_key
from cas_registry.store.objects import ObjectStore

T = TypeVar("T")
READ_AT_ONCE = 64  # an entry may speak of ten billion collections; the first of them that is not there stops whoever asks
_SMALL_RECORD_BYTES = 128 * 1024
CONDEMNED, DELETE, VERDICT, DONE = "condemned", "delete", "verdict", "done"


@dataclass(frozen=True, slots=True)
class Epoch:
    """How far a collection has come."""

    number: int
    verdict: Verdict | None
    done: Done | None

    @property
    def is_cancelled(self) -> bool:
        return self.verdict is not None and not self.verdict.delete

    @property
    def is_over(self) -> bool:
        """Whether it will never delete anything any more."""
        return self.done is not None or self.is_cancelled


class Epochs:
    """The records under `gc/` of one registry. IntegrityError for one that is damaged, or of another place."""

    def __init__(self, backend: Backend, registry: str) -> None:
        self._backend = backend
        self._registry = registry

    def read(self, numbers: Sequence[int]) -> list[Epoch]:
        """How far these collections have come, in one round trip."""
        keys = [collection_key(number, record) for number in numbers for record in (VERDICT, DONE)]
        found = self._backend.get_many(keys, length=_SMALL_RECORD_BYTES) if keys else []
        return [
            Epoch(
                number,
                self._decode(number, VERDICT, found[2 * place], decode_verdict),
                self._decode(number, DONE, found[2 * place + 1], decode_done),
            )
            for place, number in enumerate(numbers)
        ]

    def has_begun(self, number: int) -> bool:
        """Whether there is such a collection, whatever has become of it."""
        return self._backend.get_many([collection_key(number, CONDEMNED)], length=1) != [None]

    def condemned(self, numbers: Sequence[int]) -> list[Condemned | None]:
        """What each of them condemned at its beginning."""
        return self._lists(numbers, CONDEMNED)

    def deletions(self, numbers: Sequence[int]) -> list[Condemned | None]:
        """What each of them deletes; None as long as that is not decided."""
        return self._lists(numbers, DELETE)

    def threatened(self, numbers: Sequence[int]) -> list[Condemned]:
        """All that each of these collections may delete yet: of those called off nothing. IntegrityError where a list is missing."""
        parts = (numbers[start : start + READ_AT_ONCE] for start in range(0, len(numbers), READ_AT_ONCE))
        return [record for part in parts for record in self._threatened(part)]

    def _threatened(self, numbers: Sequence[int]) -> list[Condemned]:
        wanted = [epoch.number for epoch in self.read(numbers) if not epoch.is_cancelled]
        found = dict(zip(wanted, self.deletions(wanted), strict=True))
        undecided = [number for number, record in found.items() if record is None]
        found.update(zip(undecided, self.condemned(undecided), strict=True))
        for number, record in found.items():
            if record is None:
                raise self.missing(number)
        return [record for record in found.values() if record]

    def missing(self, number: int) -> IntegrityError:
        """What is said of a collection that a log tells of and that has no list."""
        key = collection_key(number, CONDEMNED)
        return IntegrityError(f"{key} is missing from {self._backend.url}, and a log names it; run reg fsck", key=key)

    def condemn(self, record: Condemned) -> bool:
        """Begin a collection. False where another one has its number."""
        return self._create(record.epoch, CONDEMNED, encode_condemned(record, kind=CONDEMNED))

    def decide(self, record: Condemned) -> bool:
        """Write down what it deletes. False where somebody else has."""
        return self._create(record.epoch, DELETE, encode_condemned(record, kind=DELETE))

    def rule(self, verdict: Verdict) -> bool:
        """Let the deletion begin, or call it off. False where somebody ruled before."""
        return self._create(verdict.epoch, VERDICT, encode_verdict(verdict))

    def finish(self, done: Done) -> bool:
        """Note that all is deleted. False where somebody has."""
        return self._create(done.epoch, DONE, encode_done(done))

    def _lists(self, numbers: Sequence[int], record: str) -> list[Condemned | None]:
        keys = [collection_key(number, record) for number in numbers]
        found = self._backend.get_many(keys, length=MAX_METADATA_BYTES + 1) if keys else []
        return [
            self._decode(number, record, data, lambda raw: decode_condemned(raw, kind=record))
            for number, data in zip(numbers, found, strict=True)
        ]

    def _decode(self, number: int, record: str, data: bytes | None, decode: Callable[[bytes], T]) -> T | None:
        if data is None:
            return None
        key = collection_key(number, record)
        try:
            value = decode(data)
        except FormatError as error:
            raise IntegrityError(f"{key} in {self._backend.url} is damaged: {error}; run reg fsck", key=key) from error
        if (value.registry, value.epoch) != (self._registry, number):  # type: ignore[attr-defined]  # every record has both
            raise IntegrityError(f"{key} in {self._backend.url} was put in another's place; run reg fsck", key=key)
        return value

    def _create(self, number: int, record: str, data: bytes) -> bool:
        key = collection_key(number, record)
        try:
            self._backend.create(key, data)
        except (AlreadyExistsError, BackendError) as error:
            try:
                (landed,) = self._backend.get_many([key], length=len(data) + 1)
            except RegistryError:
                raise error from None
            if landed is None:
                raise
            if landed != data:
                return False
        self._backend.flush()
        return True


class Threats:
    """What a writer to one log must not name: all that the collections may delete of which the log's head tells.

    The order makes it safe: the head is read first, the lists after it, and whoever loses the race for the next entry catches up with
    the head that won. Nothing is read as long as no collection is under way, and nothing before it is asked for. Thread-safe.
    """

    def __init__(self, epochs: Epochs, objects: ObjectStore, head: Entry) -> None:
        self._epochs = epochs
        self._objects = objects
        self._seen = head.gc_seen
        self._pending = range(head.gc_settled + 1, head.gc_seen + 1)
        self._maps: set[MapName] = set()
        self._packs: set[PackName] = set()
        self._lock = threading.Lock()
        self.caught_up = False

    def catch_up(self, head: Entry) -> bool:
        """Learn what collections threaten that began since; whether there are any. From then on `caught_up` is set."""
        if head.gc_seen <= self._seen:
            return False
        self._load()
        self._pending = range(self._seen + 1, head.gc_seen + 1)
        self._seen = head.gc_seen
        self._load()
        self.caught_up = True
        return True

    def spares(self, chunk_map: ChunkMap) -> bool:
        """Whether everything that a map names is left alone."""
        self._load()
        return self._packs.isdisjoint(pack.name for pack in chunk_map.packs) and self._maps.isdisjoint(
            reference.name for reference in chunk_map.references.values()
        )

    def spares_map(self, name: MapName) -> bool:
        """Whether a map is left alone; what it names is another question."""
        self._load()
        return name not in self._maps

    def spares_pack(self, name: PackName) -> bool:
        self._load()
        return name not in self._packs

    def spares_version(self, root: MapName) -> bool:
        """Whether everything that a version needs is left alone: its root map, the maps that this names, and their packs. False too where
        a map is gone already."""
        self._load()
        if not self._maps and not self._packs:
            return True
        if not self.spares_map(root):
            return False
        try:
            chunk_map, _ = self._objects.read_map(root)
            if not self.spares(chunk_map):
                return False
            return all(map(self.spares, self._objects.read_maps(list(dict.fromkeys(chunk_map.references.values())))))
        except IntegrityError as error:
            if not error.fields.get("missing"):
                raise
            return False

    def _load(self) -> None:
        with self._lock:
            for record in self._epochs.threatened(self._pending) if self._pending else ():
                self._maps |= record.maps
                self._packs |= record.packs
            self._pending = range(0)
