"""Backends around a backend: retry, counting, and create-if-absent for a single writer."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from cas_registry.backends import Backend, Data, ObjectInfo
from cas_registry.errors import AlreadyExistsError, BackendError, NotFoundError

T = TypeVar("T")

MAX_ATTEMPTS = 6
FIRST_WAIT_S = 0.1
MAX_WAIT_S = 5.0


class RetryingBackend:
    """Tries transient failures again, with exponential waits and full jitter.

    A `create` whose first answer was lost comes back as AlreadyExistsError for one's own write: callers compare.
    """

    def __init__(
        self,
        inner: Backend,
        *,
        attempts: int = MAX_ATTEMPTS,
        first_wait_s: float = FIRST_WAIT_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._inner = inner
        self._attempts = attempts
        self._first_wait_s = first_wait_s
        self._sleep = sleep

    @property
    def url(self) -> str:
        return self._inner.url

    def get(self, key: str, *, start: int = 0, length: int) -> bytes:
        return self._retry(lambda: self._inner.get(key, start=start, length=length))

    def get_many(self, keys: Sequence[str], *, length: int) -> list[bytes | None]:
        return self._retry(lambda: self._inner.get_many(keys, length=length))

    def put(self, key: str, data: Data) -> None:
        self._retry(lambda: self._inner.put(key, data))

    def create(self, key: str, data: Data) -> None:
        self._retry(lambda: self._inner.create(key, data))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return iter(self._retry(lambda: list(self._inner.list(prefix))))

    def stat(self, key: str) -> ObjectInfo:
        return self._retry(lambda: self._inner.stat(key))

    def delete(self, key: str) -> None:
        self._retry(lambda: self._inner.delete(key))

    def flush(self) -> None:
        self._inner.flush()  # a failed sync is never tried again: the kernel may have dropped the pages

    def sweep(self, *, before_ms: int, delete: bool) -> Sequence[ObjectInfo]:
        return self._retry(lambda: self._inner.sweep(before_ms=before_ms, delete=delete))

    def _retry(self, action: Callable[[], T]) -> T:
        wait_s = self._first_wait_s
        for _ in range(self._attempts - 1):
            try:
                return action()
            except BackendError as error:
                if not error.transient:
                    raise
            self._sleep(random.uniform(0, wait_s))  # noqa: S311 - jitter
            wait_s = min(wait_s * 2, MAX_WAIT_S)
        return action()


class CountingBackend:
    """Counts requests by method, and bytes by direction. `get_many` counts one request a key."""

    def __init__(self, inner: Backend) -> None:
        self._inner = inner
        self._lock = threading.Lock()
        self.requests: Counter[str] = Counter()
        self.keys: list[tuple[str, str]] = []
        self.bytes_in = 0
        self.bytes_out = 0

    @property
    def url(self) -> str:
        return self._inner.url

    def reset(self) -> None:
        """Start counting anew."""
        with self._lock:
            self.requests.clear()
            self.keys.clear()
            self.bytes_in = self.bytes_out = 0

    def get(self, key: str, *, start: int = 0, length: int) -> bytes:
        self._count("get", key)
        data = self._inner.get(key, start=start, length=length)
        self._count_bytes(received=len(data))
        return data

    def get_many(self, keys: Sequence[str], *, length: int) -> list[bytes | None]:
        for key in keys:
            self._count("get", key)
        found = self._inner.get_many(keys, length=length)
        self._count_bytes(received=sum(len(data) for data in found if data))
        return found

    def put(self, key: str, data: Data) -> None:
        self._count("put", key)
        self._count_bytes(sent=len(data))
        self._inner.put(key, data)

    def create(self, key: str, data: Data) -> None:
        self._count("create", key)
        self._count_bytes(sent=len(data))
        self._inner.create(key, data)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self._count("list", prefix)
        return self._inner.list(prefix)

    def stat(self, key: str) -> ObjectInfo:
        self._count("stat", key)
        return self._inner.stat(key)

    def delete(self, key: str) -> None:
        self._count("delete", key)
        self._inner.delete(key)

    def flush(self) -> None:
        self._inner.flush()

    def sweep(self, *, before_ms: int, delete: bool) -> Sequence[ObjectInfo]:
        return self._inner.sweep(before_ms=before_ms, delete=delete)

    def _count(self, method: str, key: str) -> None:
        with self._lock:
            self.requests[method] += 1
            self.keys.append((method, key))

    def _count_bytes(self, *, received: int = 0, sent: int = 0) -> None:
        with self._lock:
            self.bytes_in += received
            self.bytes_out += sent


class DryBackend:
    """Reads what is there and drops what is written, as if it had been: for finding out what an operation would cost."""

    def __init__(self, inner: Backend) -> None:
        self._inner = inner

    @property
    def url(self) -> str:
        return self._inner.url

    def get(self, key: str, *, start: int = 0, length: int) -> bytes:
        return self._inner.get(key, start=start, length=length)

    def get_many(self, keys: Sequence[str], *, length: int) -> list[bytes | None]:
        return self._inner.get_many(keys, length=length)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self._inner.list(prefix)

    def stat(self, key: str) -> ObjectInfo:
        return self._inner.stat(key)

    def put(self, key: str, data: Data) -> None:
        pass

    def create(self, key: str, data: Data) -> None:
        pass

    def delete(self, key: str) -> None:
        pass

    def flush(self) -> None:
        pass

    def sweep(self, *, before_ms: int, delete: bool) -> Sequence[ObjectInfo]:  # noqa: ARG002 - the protocol's
        return self._inner.sweep(before_ms=before_ms, delete=False)


class SingleWriterBackend:
    """`create` by looking first, for a store that ignores conditions. Safe only while one process writes."""

    def __init__(self, inner: Backend) -> None:
        self._inner = inner
        self._lock = threading.Lock()
        self.url = inner.url
        self.get = inner.get
        self.get_many = inner.get_many
        self.put = inner.put
        self.list = inner.list
        self.stat = inner.stat
        self.delete = inner.delete
        self.flush = inner.flush
        self.sweep = inner.sweep

    def create(self, key: str, data: Data) -> None:
        with self._lock:
            try:
                self._inner.stat(key)
            except NotFoundError:
                self._inner.create(key, data)  # not put: what is created has to be durable
                return
        raise AlreadyExistsError(f"{key} exists already in {self.url}", key=key)
