"""A dictionary as a store, strict: for tests and for trying things out. Gone with the process."""

import threading
import time
from collections.abc import Iterator, Sequence

from cas_registry.backends import Data, ObjectInfo, check_key
from cas_registry.errors import AlreadyExistsError, NotFoundError


class MemoryBackend:
    """Objects in a dictionary; every method takes the one lock, so each is atomic."""

    def __init__(self, name: str = "") -> None:
        self._name = name
        self._objects: dict[str, tuple[bytes, int]] = {}
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"memory://{self._name}"

    def get(self, key: str, *, start: int = 0, length: int) -> bytes:
        with self._lock:
            found = self._objects.get(check_key(key))
        if found is None:
            raise NotFoundError(f"{key} is not in {self.url}", key=key)
        return found[0][start : start + length]

    def get_many(self, keys: Sequence[str], *, length: int) -> list[bytes | None]:
        with self._lock:
            found = [self._objects.get(check_key(key)) for key in keys]
        return [item[0][:length] if item else None for item in found]

    def put(self, key: str, data: Data) -> None:
        with self._lock:
            self._objects[check_key(key)] = (bytes(data), time.time_ns() // 1_000_000)

    def create(self, key: str, data: Data) -> None:
        with self._lock:
            if check_key(key) in self._objects:
                raise AlreadyExistsError(f"{key} exists already in {self.url}", key=key)
            self._objects[key] = (bytes(data), time.time_ns() // 1_000_000)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        with self._lock:
            found = [(key, len(data), age) for key, (data, age) in self._objects.items() if key.startswith(prefix)]
        for key, size_bytes, age in found:
            yield ObjectInfo(key, size_bytes, age)

    def stat(self, key: str) -> ObjectInfo:
        with self._lock:
            found = self._objects.get(check_key(key))
        if found is None:
            raise NotFoundError(f"{key} is not in {self.url}", key=key)
        return ObjectInfo(key, len(found[0]), found[1])

    def delete(self, key: str) -> None:
        with self._lock:
            self._objects.pop(check_key(key), None)

    def flush(self) -> None:
        """Nothing outlives the process."""

    def sweep(self, *, before_ms: int, delete: bool) -> Sequence[ObjectInfo]:  # noqa: ARG002 - the protocol's
        """Nothing is left of what failed."""
        return ()
