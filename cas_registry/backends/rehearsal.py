"""A backend around a backend on which everything can be tried: it reads through, and keeps what is written to itself."""

import threading
from collections.abc import Iterator, Sequence

from cas_registry.backends import Backend, Data, ObjectInfo, check_key
from cas_registry.errors import AlreadyExistsError


class RehearsalBackend:
    """The inner store is never written to. What is written stays in memory, and goes with this object; nothing can be deleted."""

    def __init__(self, inner: Backend) -> None:
        self._inner = inner
        self._written: dict[str, bytes] = {}
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return self._inner.url

    def get(self, key: str, *, start: int = 0, length: int) -> bytes:
        data = self._written.get(key)
        return self._inner.get(key, start=start, length=length) if data is None else data[start : start + length]

    def get_many(self, keys: Sequence[str], *, length: int) -> list[bytes | None]:
        found = self._inner.get_many(keys, length=length)
        return [self._written[key][:length] if key in self._written else data for key, data in zip(keys, found, strict=True)]

    def put(self, key: str, data: Data) -> None:
        self._written[check_key(key)] = bytes(data)

    def create(self, key: str, data: Data) -> None:
        with self._lock:
            if self.get_many([key], length=1) != [None]:
                raise AlreadyExistsError(f"{key} exists already in {self.url}", key=key)
            self._written[key] = bytes(data)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        written = {key: ObjectInfo(key, len(data)) for key, data in list(self._written.items()) if key.startswith(prefix)}
        yield from (info for info in self._inner.list(prefix) if info.key not in written)
        yield from written.values()

    def stat(self, key: str) -> ObjectInfo:
        data = self._written.get(key)
        return self._inner.stat(key) if data is None else ObjectInfo(key, len(data))

    def delete(self, key: str) -> None:
        raise NotImplementedError(f"nothing is deleted in a rehearsal, {key} neither")

    def flush(self) -> None:
        """Nothing outlives a rehearsal."""

    def sweep(self, *, before_ms: int, delete: bool) -> Sequence[ObjectInfo]:  # noqa: ARG002 - the protocol's
        """A rehearsal leaves nothing."""
        return ()
