"""What is kept on this machine of a remote registry, read through: objects that never change are asked of the store once.

Kept are the format, log entries, commits, trees (with the tables beside them), maps and signatures; never hints of the store, never packs,
never what is under `gc/`. Each object is verified by its own name, or its own seal, when it is put there and each time that it is taken
from there; what is not what its name says is forgotten and asked for again. That something is not there is never kept.

Where a log ends is asked of the store each time: from what is kept, a bucket that was set back would look as if it had not been
(docs/design/014-offline.md). And who writes reads nothing from here: what a collection has deleted may be kept here yet.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from cas_registry.backends import Backend, Data, ObjectInfo
from cas_registry.errors import FormatError, RegistryError
from cas_registry.model.entry import MAX_ENTRY_BYTES, MAX_ENTRY_NUMBER, decode_entry
from cas_registry.model.ids import CommitId, EntryId, MapName, ObjectId, RefTableId, RemapId, TreeId
from cas_registry.model.registry_format import decode_format, encode_format
from cas_registry.store.layout import (
    COMMITS,
    FORMAT_KEY,
    MAPS,
    SIGNATURES,
    TREES,
    entry_key,
    hint_key,
    log_prefix,
    signature_key,
)
from cas_registry.store.log import LogWatch, Recorded
from cas_registry.store.objects import ObjectStore
from cas_registry.store.stores import Stores
from cas_registry.worktree.object_cache import ObjectCache

ENTRY_KEY = re.compile(r"(?:catalogue|refs/[^/]+|releases/[^/]+)/[0-9]{10}")
_NAMED: dict[str, tuple[type[ObjectId], ...]] = {
    COMMITS: (CommitId,), TREES: (TreeId, RefTableId, RemapId), MAPS: (MapName,),
}  # fmt: skip


class KeptBackend:
    """A remote store of which is kept what never changes. With `ask`, the store is asked all the same, and what it says is kept: for the
    ends of logs. Thread-safe as the store is."""

    def __init__(self, inner: Backend, cache: ObjectCache, *, ask: bool = False) -> None:
        self._inner = inner
        self._cache = cache
        self._ask = ask

    @property
    def url(self) -> str:
        return self._inner.url

    def get(self, key: str, *, start: int = 0, length: int) -> bytes:
        if not may_be_kept(key):
            return self._inner.get(key, start=start, length=length)
        found = None if self._ask else take(self._cache, key)
        if found is not None:
            return found[start : start + max(length, 0)]
        data = self._inner.get(key, start=start, length=length)
        if start == 0 and len(data) < length:
            self._keep(key, data)
        return data

    def get_many(self, keys: Sequence[str], *, length: int) -> list[bytes | None]:
        found = [None if self._ask or not may_be_kept(key) else take(self._cache, key) for key in keys]
        missing = [key for key, data in zip(keys, found, strict=True) if data is None]
        asked = iter(self._inner.get_many(missing, length=length) if missing else ())
        answers: list[bytes | None] = []
        for key, data in zip(keys, found, strict=True):
            if data is not None:
                answers.append(data[: max(length, 0)])
                continue
            answer = next(asked)
            if answer is not None and len(answer) < length:  # otherwise it may go on
                self._keep(key, answer)
            answers.append(answer)
        return answers

    def put(self, key: str, data: Data) -> None:
        self._cache.discard(key)
        self._inner.put(key, data)

    def create(self, key: str, data: Data) -> None:
        self._inner.create(key, data)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self._inner.list(prefix)

    def stat(self, key: str) -> ObjectInfo:
        return self._inner.stat(key)

    def delete(self, key: str) -> None:
        self._cache.discard(key)
        self._inner.delete(key)

    def flush(self) -> None:
        self._inner.flush()

    def sweep(self, *, before_ms: int, delete: bool) -> Sequence[ObjectInfo]:
        return self._inner.sweep(before_ms=before_ms, delete=delete)

    def _keep(self, key: str, data: bytes) -> None:
        if may_be_kept(key) and is_sound(key, data, self._cache.registry):
            self._cache.put(key, data)


@dataclass(frozen=True, slots=True)
class Noted:
    """The end of a log, as it was seen."""

    n: int
    id: EntryId


class SeenHeads:
    """Notes in the cache how far each log was seen, and keeps what is kept of a log to be of the log that the store has.

    An entry's id proves all entries before it. So what is kept is good as long as the store's log goes on from the end that was noted: that is
    so if its head is that end or the next entry after it, and otherwise the store is asked for its entry of that number, by one GET. Of a log
    that was replaced, or set back, all entries are forgotten. The watch of this machine is asked first: what it rules out changes nothing here.
    """

    def __init__(self, cache: ObjectCache, asked: Backend, watch: LogWatch | None) -> None:
        self._cache = cache
        self._asked = asked
        self._watch = watch

    def recall(self, log: str) -> Callable[[Recorded | None], None]:
        compare = self._watch.recall(log) if self._watch else None
        noted = read_note(self._cache, log)

        def check(head: Recorded | None) -> None:
            if compare:
                compare(head)
            if not self._goes_on(log, noted, head):
                self._forget(log, head)
            if head is not None:
                self._note(head)

        return check

    def keep(self, recorded: Recorded) -> None:
        if self._watch:
            self._watch.keep(recorded)
        noted = read_note(self._cache, recorded.entry.log)
        if noted is not None and _follows(noted, recorded):  # else the next look at the head tells
            self._note(recorded)

    def _goes_on(self, log: str, noted: Noted | None, head: Recorded | None) -> bool:
        if noted is None or head is None or head.n <= noted.n + 1:
            return noted is not None and head is not None and _follows(noted, head)
        key = entry_key(log, noted.n)
        (data,) = self._asked.get_many([key], length=MAX_ENTRY_BYTES + 66)
        return data is not None and is_sound(key, data, self._cache.registry) and decode_entry(data)[0] == noted.id

    def _forget(self, log: str, head: Recorded | None) -> None:
        spared = entry_key(log, head.n) if head else None  # just read
        for key in [key for key, _ in self._cache.list(log_prefix(log))]:
            if key != spared:
                self._cache.discard(key)

    def _note(self, head: Recorded) -> None:
        self._cache.confirm(hint_key(head.entry.log), f"{head.n} {head.id.hex}".encode("ascii"))


def read_note(cache: ObjectCache, log: str) -> Noted | None:
    """How far a log was seen, None where it was not."""
    number, _, identity = (cache.get(hint_key(log)) or b"").partition(b" ")
    if not number.isdigit() or len(number) > len(str(MAX_ENTRY_NUMBER)):
        return None
    try:
        return Noted(int(number), EntryId.parse(identity.decode("ascii", "replace")))
    except FormatError:
        return None


def _follows(noted: Noted, head: Recorded) -> bool:
    return (head.n, head.id) == (noted.n, noted.id) or (head.n, head.entry.prev) == (noted.n + 1, noted.id)


def with_reader(stores: Stores, cache: ObjectCache) -> Stores:
    """The stores, with a reader that takes from the cache what is kept, and keeps what it reads."""
    if take(cache, FORMAT_KEY) is None:
        cache.put(FORMAT_KEY, encode_format(stores.format))
    kept, asked = KeptBackend(stores.backend, cache), KeptBackend(stores.backend, cache, ask=True)
    reader = replace(
        stores, backend=asked, objects=ObjectStore(kept), history=kept, heads=SeenHeads(cache, asked, stores.watch)
    )  # fmt: skip
    return replace(stores, reader=reader)


def may_be_kept(key: str) -> bool:
    """Whether what is under a key never changes, and is worth keeping."""
    return key == FORMAT_KEY or key.startswith((*_NAMED, SIGNATURES)) or ENTRY_KEY.fullmatch(key) is not None


def take(cache: ObjectCache, key: str) -> bytes | None:
    """What is kept under a key, verified; None where it is not there, or no more."""
    data = cache.get(key)
    if data is None or is_sound(key, data, cache.registry):
        return data
    cache.discard(key)
    return None


def is_sound(key: str, data: bytes, registry: str) -> bool:
    """Whether these are the bytes that belong under a key of a registry, by their name or their seal, in their place."""
    for prefix, kinds in _NAMED.items():
        if key.startswith(prefix):
            return any(kind.of(data).hex == key[len(prefix) :] for kind in kinds)
    try:
        if key == FORMAT_KEY:
            return decode_format(data).registry == registry
        if key.startswith(SIGNATURES):
            from cas_registry.model.signature import decode_signature  # noqa: PLC0415 - few registries have any

            signature = decode_signature(data)
            return signature_key(signature.entry, signature.key) == key
        _, entry = decode_entry(data)
    except RegistryError:
        return False
    return (entry_key(entry.log, entry.n), entry.registry) == (key, registry)
