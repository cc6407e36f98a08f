"""A store at its worst: at one call of an operation goes wrong whatever goes wrong with object stores, as their answers are translated."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import TypeVar

from cas_registry.backends import Backend, Data, ObjectInfo
from cas_registry.backends.answers import explain_answer
from cas_registry.errors import AlreadyExistsError, BackendError, NotFoundError
from tests.support.simulated import PassingBackend

T = TypeVar("T")


class Fault(StrEnum):
    """What goes wrong."""

    IO_ERROR = "an I/O error, not worth another try"
    TIMEOUT_BEFORE = "a timeout; the request never arrived"
    TIMEOUT_AFTER = "a timeout; the request took effect"
    RESET = "a reset connection, twice"
    STATUS_500 = "500"
    SLOW_DOWN = "503, once"
    SLOW_DOWN_5 = "503, five times"
    SLOW_DOWN_20 = "503, twenty times"
    BEING_WRITTEN = "409, and nobody has won"
    OWN_WRITE = "412 for one's own write"
    SHORT_READ = "half of what was asked for"
    LONG_READ = "more than was asked for"
    FLIPPED_BIT = "a flipped bit"
    STALE_LIST = "a listing as it was before the operation"
    STALE_HINT = "the hint of a log as it was at first"
    DUPLICATED = "a request that arrives twice"
    LATE = "a timeout; the write lands after the next call"
    LATE_AND_SILENT = "no more answers for that key; the write lands when all is over"
    FULL = "507 from now on"
    DENIED = "403 from now on"
    EXPIRED = "an expired token from now on"


WRITES = frozenset({"put", "create", "delete"})
READS = frozenset({"get", "get_many"})
ALL = frozenset({*WRITES, *READS, "list", "stat"})
APPLIES = {
    Fault.BEING_WRITTEN: frozenset({"create"}),
    Fault.OWN_WRITE: frozenset({"create"}),
    Fault.SHORT_READ: READS,
    Fault.LONG_READ: READS,
    Fault.FLIPPED_BIT: READS,
    Fault.STALE_LIST: frozenset({"list"}),
    Fault.STALE_HINT: frozenset({"get_many"}),
    Fault.DUPLICATED: WRITES,
    Fault.LATE: frozenset({"put", "create"}),
    Fault.LATE_AND_SILENT: frozenset({"create"}),
    Fault.FULL: frozenset({"put", "create"}),
}
GOT_OVER = frozenset(
    {
        Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER, Fault.RESET, Fault.STATUS_500, Fault.SLOW_DOWN, Fault.SLOW_DOWN_5,
        Fault.BEING_WRITTEN, Fault.OWN_WRITE, Fault.STALE_LIST, Fault.STALE_HINT, Fault.DUPLICATED, Fault.LATE,
    }
)  # fmt: skip
_TIMES = {Fault.RESET: 2, Fault.SLOW_DOWN_5: 5, Fault.SLOW_DOWN_20: 20}
_FROM_NOW_ON = frozenset({Fault.FULL, Fault.DENIED, Fault.EXPIRED})
_ANSWERS = {
    Fault.STATUS_500: (500, "InternalError"),
    Fault.SLOW_DOWN: (503, "SlowDown"),
    Fault.SLOW_DOWN_5: (503, "SlowDown"),
    Fault.SLOW_DOWN_20: (503, "SlowDown"),
    Fault.BEING_WRITTEN: (409, "ConditionalRequestConflict"),
    Fault.FULL: (507, "InsufficientStorage"),
    Fault.DENIED: (403, "AccessDenied"),
    Fault.EXPIRED: (400, "ExpiredToken"),
    Fault.TIMEOUT_BEFORE: (None, ""),
    Fault.RESET: (None, ""),
}


class StormyBackend(PassingBackend):
    """From call number `start` on, the first call that the fault can befall meets it. `calls` are those that were made. Thread-safe."""

    def __init__(self, inner: Backend, fault: Fault | None = None, start: int = 0) -> None:
        super().__init__(inner)
        self._fault = fault
        self._start = start
        self._left = 0 if fault is None else _TIMES.get(fault, 1)
        self._lock = threading.RLock()
        self._late: list[tuple[str, str, bytes]] = []
        self._silent = ""
        self._listing = list(inner.list(""))
        self.calls: list[tuple[str, str]] = []
        self.hit = False

    def get(self, key: str, *, start: int = 0, length: int) -> bytes:
        return self._call("get", key, lambda: self._spoil(self._inner.get(key, start=start, length=length)))

    def get_many(self, keys: Sequence[str], *, length: int) -> list[bytes | None]:
        def read() -> list[bytes | None]:
            found = self._inner.get_many(keys, length=length)
            return [data and self._spoil(data) for data in found]

        return self._call("get_many", keys[0] if keys else "", read)

    def put(self, key: str, data: Data) -> None:
        self._call("put", key, lambda: self._inner.put(key, data), bytes(data))

    def create(self, key: str, data: Data) -> None:
        self._call("create", key, lambda: self._inner.create(key, data), bytes(data))

    def delete(self, key: str) -> None:
        self._call("delete", key, lambda: self._inner.delete(key))

    def stat(self, key: str) -> ObjectInfo:
        return self._call("stat", key, lambda: self._inner.stat(key))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return iter(self._call("list", prefix, lambda: list(self._inner.list(prefix))))

    def calm(self) -> None:
        """All is over: what was under way lands."""
        self._fault = None
        self._silent = ""
        self._land()

    def _call(self, method: str, key: str, action: Callable[[], T], data: bytes = b"") -> T:
        with self._lock:
            number = len(self.calls)
            self.calls.append((method, key))
            late = bool(self._late)
            try:
                if self._silent and key == self._silent:
                    raise BackendError(f"no answer to {method} {key}", key=key, transient=True)
                if self._is_due(number, method, key):
                    return self._suffer(method, key, action, data)
                return action()
            finally:
                if late and not self._silent:
                    self._land()

    def _is_due(self, number: int, method: str, key: str) -> bool:
        if self._fault is None or number < self._start or method not in APPLIES.get(self._fault, ALL) or self._left == 0:
            return False
        if self._fault is Fault.STALE_HINT and not key.endswith("/HEAD"):
            return False
        self._left -= self._fault not in _FROM_NOW_ON
        self.hit = True
        return True

    def _suffer(self, method: str, key: str, action: Callable[[], T], data: bytes) -> T:
        match self._fault:
            case Fault.IO_ERROR:
                raise BackendError(f"cannot {method} {key}: an I/O error", key=key)
            case Fault.TIMEOUT_AFTER:
                action()
                raise BackendError(f"no answer to {method} {key}", key=key, transient=True)
            case Fault.OWN_WRITE:
                action()
                raise AlreadyExistsError(f"{key} exists already", key=key)
            case Fault.DUPLICATED:
                answer = action()
                with contextlib.suppress(AlreadyExistsError):
                    action()
                return answer
            case Fault.LATE | Fault.LATE_AND_SILENT:
                self._late.append((method, key, data))
                self._silent = key if self._fault is Fault.LATE_AND_SILENT else ""
                raise BackendError(f"no answer to {method} {key}", key=key, transient=True)
            case Fault.STALE_LIST:
                return iter([info for info in self._listing if info.key.startswith(key)])  # type: ignore[return-value]
            case Fault.STALE_HINT:
                return [b"1"]  # type: ignore[return-value]
            case Fault.SHORT_READ | Fault.LONG_READ | Fault.FLIPPED_BIT:
                self._spoiling = True
                try:
                    return action()
                finally:
                    self._spoiling = False
            case fault:
                assert fault is not None
                status, code = _ANSWERS[fault]
                raise explain_answer(method, key, self.url, status=status, code=code, detail=fault, transient=True)

    _spoiling = False

    def _spoil(self, data: bytes) -> bytes:
        if not self._spoiling or not data:
            return data
        middle = len(data) // 2
        if self._fault is Fault.SHORT_READ:
            return data[:middle]
        if self._fault is Fault.LONG_READ:
            return data + b"\0more"
        return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]

    def _land(self) -> None:
        for method, key, data in self._late:
            try:
                self._inner.stat(key)
            except NotFoundError:
                self._inner.create(key, data)
            else:
                if method == "put":
                    self._inner.put(key, data)
        self._late.clear()
