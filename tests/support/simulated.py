"""A small world for tests: a clock that is set, registries over backends made by hand, and backends that watch or interfere."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from cas_registry.backends import Backend, Data, ObjectInfo
from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.wrappers import CountingBackend
from cas_registry.model.entry import Ref, RefKind, decode_entry, encode_entry
from cas_registry.model.registry_format import DEFAULT_CHUNK_BYTES
from cas_registry.operations.init import create_registry
from cas_registry.registry import Registry, registry_over
from cas_registry.settings import Settings
from cas_registry.store.layout import entry_key
from cas_registry.store.log import Recorded
from cas_registry.worktree.scan import IGNORE_FILE

AHEAD_NS = 3_000_000_000  # beyond every tick of every file system: what was written just now counts as old


@dataclass
class Clock:
    """The time of day, shifted; with `frozen_ns` it stands still."""

    ahead_ns: int = AHEAD_NS
    frozen_ns: int | None = None

    def __call__(self) -> int:
        return (time.time_ns() if self.frozen_ns is None else self.frozen_ns) + self.ahead_ns


def make_world(
    cache: Path | None = None,
    *,
    author: str = "tester@bench",
    clock: Callable[[], int] | None = None,
    state: Path | None = None,
) -> Settings:
    """Somebody at work, who remembers nothing of the logs seen unless told where (`state`): tests put stores back to what they were."""
    return Settings(author=author, cache_folder=cache, clock_ns=clock or Clock(), state_folder=state)


def make_registry(
    backend: Backend, world: Settings | None = None, *, chunk_bytes: int = DEFAULT_CHUNK_BYTES, single_writer: bool = False
) -> Registry:
    """A new registry on a backend made by hand."""
    create_registry(
        backend, time_ms=1_700_000_000_000, who="tester@bench", chunk_bytes=chunk_bytes, single_writer=single_writer
    )
    return registry_over(backend, world or make_world())


def with_small_packs(registry: Registry, pack_bytes: int) -> Registry:
    """The same registry, writing packs far below the format's smallest."""
    stores = replace(registry._stores, format=replace(registry._stores.format, pack_bytes=pack_bytes))
    return Registry(stores, registry._world)


class PassingBackend:
    """Hands everything on; the base of the doubles below."""

    def __init__(self, inner: Backend) -> None:
        self._inner = inner

    @property
    def url(self) -> str:
        return self._inner.url

    def get(self, key: str, *, start: int = 0, length: int) -> bytes:
        return self._inner.get(key, start=start, length=length)

    def get_many(self, keys: Sequence[str], *, length: int) -> list[bytes | None]:
        return self._inner.get_many(keys, length=length)

    def put(self, key: str, data: Data) -> None:
        self._inner.put(key, data)

    def create(self, key: str, data: Data) -> None:
        self._inner.create(key, data)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self._inner.list(prefix)

    def stat(self, key: str) -> ObjectInfo:
        return self._inner.stat(key)

    def delete(self, key: str) -> None:
        self._inner.delete(key)

    def flush(self) -> None:
        self._inner.flush()

    def sweep(self, *, before_ms: int, delete: bool) -> Sequence[ObjectInfo]:
        return self._inner.sweep(before_ms=before_ms, delete=delete)


class FarBackend(PassingBackend):
    """Says that it is in a bucket: what is remote is treated with more thrift."""

    @property
    def url(self) -> str:
        return "s3://far/away"


class HookedBackend(PassingBackend):
    """Calls `hook(method, key)` before every request (every key of `get_many`), whatever it then does: raise, wait, look, damage."""

    def __init__(self, inner: Backend, hook: Callable[[str, str], None]) -> None:
        super().__init__(inner)
        self._hook = hook

    def get(self, key: str, *, start: int = 0, length: int) -> bytes:
        self._hook("get", key)
        return super().get(key, start=start, length=length)

    def get_many(self, keys: Sequence[str], *, length: int) -> list[bytes | None]:
        for key in keys:
            self._hook("get", key)
        return super().get_many(keys, length=length)

    def put(self, key: str, data: Data) -> None:
        self._hook("put", key)
        super().put(key, data)

    def create(self, key: str, data: Data) -> None:
        self._hook("create", key)
        super().create(key, data)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self._hook("list", prefix)
        return super().list(prefix)

    def stat(self, key: str) -> ObjectInfo:
        self._hook("stat", key)
        return super().stat(key)

    def delete(self, key: str) -> None:
        self._hook("delete", key)
        super().delete(key)

    def flush(self) -> None:
        self._hook("flush", "")
        super().flush()


@dataclass(frozen=True)
class Written:
    """One step of a trace: what reached the store."""

    method: str
    key: str
    data: bytes = field(default=b"", repr=False)


class TracingBackend(PassingBackend):
    """Notes every write and flush, in the order in which they took effect."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self._lock = threading.Lock()
        self.trace: list[Written] = []

    def put(self, key: str, data: Data) -> None:
        with self._lock:
            super().put(key, data)
            self.trace.append(Written("put", key, bytes(data)))

    def create(self, key: str, data: Data) -> None:
        with self._lock:
            super().create(key, data)
            self.trace.append(Written("create", key, bytes(data)))

    def delete(self, key: str) -> None:
        with self._lock:
            super().delete(key)
            self.trace.append(Written("delete", key))

    def flush(self) -> None:
        with self._lock:
            super().flush()
            self.trace.append(Written("flush", ""))


class CheckThenWriteBackend(PassingBackend):
    """A store whose `create` looks first and writes then, as a store without conditional writes must; `pause` stands between."""

    def __init__(self, inner: Backend, pause: Callable[[], None] = lambda: None) -> None:
        super().__init__(inner)
        self._pause = pause

    def create(self, key: str, data: Data) -> None:
        taken = self._inner.get_many([key], length=1) != [None]
        self._pause()
        if taken:
            super().create(key, data)  # raises as the store does
        super().put(key, data)


class RoundTripBackend(CountingBackend):
    """Counts round trips too: one for each call, however many keys it asks for at once."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.round_trips = 0

    def reset(self) -> None:
        super().reset()
        self.round_trips = 0

    def get(self, key: str, *, start: int = 0, length: int) -> bytes:
        self.round_trips += 1
        return super().get(key, start=start, length=length)

    def get_many(self, keys: Sequence[str], *, length: int) -> list[bytes | None]:
        self.round_trips += 1
        return super().get_many(keys, length=length)

    def requests_besides(self, *prefixes: str) -> int:
        """Requests of any kind on keys that start with none of these."""
        return sum(1 for _, key in self.keys if not key.startswith(prefixes))

    def by_area(self) -> dict[str, int]:
        """Requests by method and first part of the key: what a failing budget shows."""
        counts: dict[str, int] = {}
        for method, key in self.keys:
            name = f"{method} {key.partition('/')[0]}"
            counts[name] = counts.get(name, 0) + 1
        return counts


def objects_of(backend: MemoryBackend) -> dict[str, bytes]:
    """Everything that a memory store holds."""
    return {info.key: backend.get(info.key, length=info.size_bytes) for info in backend.list("")}


def memory_with(objects: dict[str, bytes], name: str = "copy") -> MemoryBackend:
    """A memory store that holds exactly this."""
    backend = MemoryBackend(name)
    for key, data in objects.items():
        backend.put(key, data)
    return backend


class PauseAt:
    """A progress object that calls an action once, when a stage first reports."""

    def __init__(self, stage: str, action: Callable[[], Any]) -> None:
        self._stage = stage
        self._action: Callable[[], Any] | None = action

    def update(self, stage: str, done_bytes: int, total_bytes: int) -> None:
        if stage == self._stage and self._action:
            action, self._action = self._action, None
            action()

    @property
    def was_reached(self) -> bool:
        return self._action is None


class OpenedFiles:
    """Which files below a folder this process opens while it is watched, `.regignore` aside: asked of the interpreter, not of the code."""

    def __init__(self, folder: Path) -> None:
        self._prefix = f"{folder}{os.sep}"
        self.paths: list[str] = []

    def __enter__(self) -> Self:
        if not _watchers.installed:
            sys.addaudithook(_watchers.hear)
            _watchers.installed = True
        _watchers.watching.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _watchers.watching.remove(self)

    def hear(self, path: object) -> None:
        name = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        if name.startswith(self._prefix) and os.path.basename(name) != IGNORE_FILE:
            self.paths.append(name[len(self._prefix) :])


class _Watchers:
    """One audit hook for the process: hooks cannot be taken out again."""

    def __init__(self) -> None:
        self.installed = False
        self.watching: list[OpenedFiles] = []

    def hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and self.watching:
            for watcher in self.watching:
                watcher.hear(arguments[0])


_watchers = _Watchers()


def lengthen(registry: Registry, model: str, count: int) -> None:
    """Append entries that move the tag `moving` on and off, as fast as they can be encoded; the hint follows."""
    stores = registry._stores
    refs = stores.refs(model)
    found = refs.head()
    assert found is not None
    recorded, table = found
    row = next(ref.version for ref in table.branches.values() if ref.version)
    for _ in range(count):
        number = recorded.n + 1
        table = table.with_ref(RefKind.TAG, "moving", Ref(row if number % 2 else None, number))
        entry = refs.next_entry(
            recorded, table, registry=stores.format.registry, time_ms=number, who="tester@bench", why=f"move {number}"
        )
        data = encode_entry(entry)
        stores.backend.create(entry_key(model, number), data)
        recorded = Recorded(*decode_entry(data))
    refs.log.write_hint(recorded.n)
