"""A registry without its store: what this machine has seen of it, and nothing else.

A log ends where it was seen to end last, whatever is kept of it. What is missing is said by name; that something is not there is said
only of what lies beyond the end of a log.
"""

from collections.abc import Iterator, Sequence
from typing import NoReturn

from cas_registry.backends import Data, ObjectInfo
from cas_registry.errors import OfflineError
from cas_registry.model.entry import MAX_ENTRY_NUMBER
from cas_registry.model.registry_format import decode_format
from cas_registry.store.kept import ENTRY_KEY, may_be_kept, take
from cas_registry.store.layout import FORMAT_KEY, HINT, PACKS, SIGNATURES
from cas_registry.store.objects import ObjectStore
from cas_registry.store.stores import Stores
from cas_registry.worktree.object_cache import ObjectCache


class OfflineBackend:
    """Reads what is kept. `as_of_ms` is when the oldest of the logs' ends that were asked for was seen."""

    def __init__(self, url: str, cache: ObjectCache) -> None:
        self._url = url
        self._cache = cache
        self.as_of_ms: int | None = None

    @property
    def url(self) -> str:
        return self._url

    def get(self, key: str, *, start: int = 0, length: int) -> bytes:
        data = take(self._cache, key) if may_be_kept(key) else None
        if data is None:
            raise self._missing(key)
        return data[start : start + max(length, 0)]

    def get_many(self, keys: Sequence[str], *, length: int) -> list[bytes | None]:
        found = [self._find(key) for key in keys]
        return [data and data[: max(length, 0)] for data in found]

    def put(self, key: str, data: Data) -> NoReturn:
        raise refusal(self._url)

    def create(self, key: str, data: Data) -> NoReturn:
        raise refusal(self._url)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return (ObjectInfo(key, size_bytes) for key, size_bytes in self._cache.list(prefix))

    def stat(self, key: str) -> ObjectInfo:
        return ObjectInfo(key, len(self.get(key, length=1 << 62)))

    def delete(self, key: str) -> NoReturn:
        raise refusal(self._url)

    def flush(self) -> None:
        """Nothing was written."""

    def sweep(self, *, before_ms: int, delete: bool) -> Sequence[ObjectInfo]:  # noqa: ARG002 - the protocol's
        """Nothing was written."""
        return ()

    def _find(self, key: str) -> bytes | None:
        if key.endswith(f"/{HINT}"):
            return self._end(key)
        if ENTRY_KEY.fullmatch(key):
            log, _, number = key.rpartition("/")
            if int(number) > int(self._end(f"{log}/{HINT}")):
                return None  # whatever is kept: the log may have been set back since
        data = take(self._cache, key) if may_be_kept(key) else None
        if data is None and not key.startswith(SIGNATURES):  # a signature that is not here does not count
            raise self._missing(key)
        return data

    def _end(self, hint: str) -> bytes:
        """How far a log was seen."""
        number = (self._cache.get(hint) or b"").partition(b" ")[0]
        seen_ms = self._cache.modified_ms(hint)
        if seen_ms is None or not number.isdigit() or len(number) > len(str(MAX_ENTRY_NUMBER)):
            log = hint.rpartition("/")[0]
            what = "the list of models" if log == "catalogue" else f"the log {log}"
            raise OfflineError(
                f"offline: {what} of {self._url} was never read on this machine; run this once without --offline", missing=log
            )
        self.as_of_ms = seen_ms if self.as_of_ms is None else min(self.as_of_ms, seen_ms)
        return number

    def _missing(self, key: str) -> OfflineError:
        if key.startswith(PACKS):
            return OfflineError(
                f"offline: parts of files lie in {self._url}, of which whole files alone are kept on this machine ({key}); run this once "
                "without --offline, or reg fetch the version while the store can be reached",
                missing=key, key=key,
            )  # fmt: skip
        return OfflineError(
            f"offline: {key} of {self._url} is not on this machine; run this once without --offline", missing=key, key=key
        )


class UnaskedBackend:
    """The store itself, which is not to be asked: whatever is asked of it is refused. For what writes, and what looks after the store."""

    def __init__(self, url: str) -> None:
        self._url = url

    @property
    def url(self) -> str:
        return self._url

    def get(self, key: str, *, start: int = 0, length: int) -> NoReturn:
        raise refusal(self._url)

    def get_many(self, keys: Sequence[str], *, length: int) -> NoReturn:
        raise refusal(self._url)

    def put(self, key: str, data: Data) -> NoReturn:
        raise refusal(self._url)

    def create(self, key: str, data: Data) -> NoReturn:
        raise refusal(self._url)

    def list(self, prefix: str) -> NoReturn:
        raise refusal(self._url)

    def stat(self, key: str) -> NoReturn:
        raise refusal(self._url)

    def delete(self, key: str) -> NoReturn:
        raise refusal(self._url)

    def flush(self) -> NoReturn:
        raise refusal(self._url)

    def sweep(self, *, before_ms: int, delete: bool) -> NoReturn:
        raise refusal(self._url)


def open_offline_stores(url: str, cache: ObjectCache) -> Stores:
    """The stores of the registry whose objects the cache has. OfflineError where it has not even its format."""
    data = take(cache, FORMAT_KEY)
    if data is None:
        raise never_seen(url)
    found = decode_format(data)
    kept, unasked = OfflineBackend(url, cache), UnaskedBackend(url)
    reading = Stores(kept, found, ObjectStore(kept), offline=True)
    return Stores(unasked, found, ObjectStore(unasked), reader=reading, offline=True)


def never_seen(url: str) -> OfflineError:
    """What is said of a registry that this machine knows nothing of."""
    return OfflineError(
        f"offline: this machine has never read the registry at {url}, or keeps nothing (REG_CACHE_BYTES is 0); run this once without "
        "--offline",
        missing=url,
    )  # fmt: skip


def refusal(url: str) -> OfflineError:
    """What is said to whoever would have to ask the store itself."""
    return OfflineError(
        f"offline: this writes to the registry, or asks {url} for what only the store itself can tell; run it without --offline "
        "(REG_OFFLINE)",
        missing=url,
    )  # fmt: skip
