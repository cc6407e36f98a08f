"""A backend around a backend that fails by script. A fault that was never hit fails the test: `assert_all_hit`."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from cas_registry.backends import Backend, Data, ObjectInfo
from cas_registry.errors import AccessError, BackendError, RegistryError

T = TypeVar("T")

METHODS = frozenset({"get", "put", "create", "list", "stat", "delete", "flush"})


class FaultKind(Enum):
    """What goes wrong."""

    FAIL_BEFORE = "the request never reaches the store"
    FAIL_AFTER = "the request takes effect, its answer is lost"
    DENY = "the store refuses with AccessError"
    FLIP_BIT = "one bit of what get returns is wrong"
    TRUNCATE = "the second half of what get returns is missing"


_BEFORE = frozenset({FaultKind.FAIL_BEFORE, FaultKind.DENY})
_AFTER = frozenset({FaultKind.FAIL_AFTER})
_ON_ANSWERS = frozenset({FaultKind.FLIP_BIT, FaultKind.TRUNCATE})


@dataclass(frozen=True, slots=True)
class Fault:
    """The calls of `method` on keys that contain `key` are counted from 0; `times` of them, from number `call` on, go wrong.

    `times=None` is for ever. `get_many` counts as one `get` a key. `flush` has the key "". FLIP_BIT and TRUNCATE need an answer
    that is not empty: an empty one is neither counted nor touched.
    """

    method: str
    kind: FaultKind
    key: str = ""
    call: int = 0
    times: int | None = 1
    transient: bool = True

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"no method {self.method!r}; one of {sorted(METHODS)}")
        if self.kind in _ON_ANSWERS and self.method != "get":
            raise ValueError(f"{self.kind.name} is for get, not {self.method}")

    def covers(self, number: int) -> bool:
        return self.call <= number and (self.times is None or number < self.call + self.times)


class FaultyBackend:
    """Passes everything to `inner` but for the scripted faults. Thread-safe; which thread is hit is not determined."""

    def __init__(self, inner: Backend, faults: Sequence[Fault]) -> None:
        self._inner = inner
        self._faults = tuple(faults)
        self._calls = [0] * len(self._faults)
        self._hits = [0] * len(self._faults)
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return self._inner.url

    def get(self, key: str, *, start: int = 0, length: int) -> bytes:
        return self._spoiled(key, self._run("get", [key], lambda: self._inner.get(key, start=start, length=length)))

    def get_many(self, keys: Sequence[str], *, length: int) -> list[bytes | None]:
        found = self._run("get", keys, lambda: self._inner.get_many(keys, length=length))
        return [None if data is None else self._spoiled(key, data) for key, data in zip(keys, found, strict=True)]

    def put(self, key: str, data: Data) -> None:
        self._run("put", [key], lambda: self._inner.put(key, data))

    def create(self, key: str, data: Data) -> None:
        self._run("create", [key], lambda: self._inner.create(key, data))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """FAIL_AFTER yields everything and then raises."""
        self._before("list", prefix)
        yield from self._inner.list(prefix)
        self._after("list", prefix)

    def stat(self, key: str) -> ObjectInfo:
        return self._run("stat", [key], lambda: self._inner.stat(key))

    def delete(self, key: str) -> None:
        self._run("delete", [key], lambda: self._inner.delete(key))

    def flush(self) -> None:
        self._run("flush", [""], self._inner.flush)

    def sweep(self, *, before_ms: int, delete: bool) -> Sequence[ObjectInfo]:
        return self._run("sweep", [""], lambda: self._inner.sweep(before_ms=before_ms, delete=delete))

    @property
    def missed(self) -> tuple[Fault, ...]:
        """The faults that were hit less often than scripted."""
        with self._lock:
            scripted = zip(self._faults, self._hits, strict=True)
            return tuple(fault for fault, hits in scripted if hits < (1 if fault.times is None else fault.times))

    def assert_all_hit(self) -> None:
        """Fail the test if a fault was hit less often than scripted."""
        missed = self.missed
        assert not missed, f"never hit: {missed}"

    def _run(self, method: str, keys: Sequence[str], action: Callable[[], T]) -> T:
        for key in keys:
            self._before(method, key)
        try:
            answer = action()
        except RegistryError:  # a refusal is an answer too, and may be lost
            for key in keys:
                self._after(method, key)
            raise
        for key in keys:
            self._after(method, key)
        return answer

    def _before(self, method: str, key: str) -> None:
        fault = self._due(method, key, _BEFORE)
        if fault is None:
            return
        if fault.kind is FaultKind.DENY:
            raise AccessError(f"scripted refusal of {method} {key}", key=key)
        raise BackendError(f"scripted failure before {method} {key}", key=key, transient=fault.transient)

    def _after(self, method: str, key: str) -> None:
        fault = self._due(method, key, _AFTER)
        if fault is not None:
            raise BackendError(f"scripted loss of the answer to {method} {key}", key=key, transient=fault.transient)

    def _spoiled(self, key: str, data: bytes) -> bytes:
        fault = self._due("get", key, _ON_ANSWERS) if data else None
        if fault is None:
            return data
        return data[: len(data) // 2] if fault.kind is FaultKind.TRUNCATE else _with_flipped_bit(data)

    def _due(self, method: str, key: str, kinds: frozenset[FaultKind]) -> Fault | None:
        """Counts one call; the first fault that is due is hit, and only that one."""
        due: Fault | None = None
        with self._lock:
            for index, fault in enumerate(self._faults):
                if fault.method != method or fault.key not in key or fault.kind not in kinds:
                    continue
                if due is None and fault.covers(self._calls[index]):
                    self._hits[index] += 1
                    due = fault
                self._calls[index] += 1
        return due


def _with_flipped_bit(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
