"""One request at a time, in an order that a seed decides: actors as greenlets, of which only one ever runs.

Every request to a store is a point at which another actor may go on. A schedule is a function of its seed (random, by priorities that
change at a few points, or with one actor that is never heard of again), and the same seed gives the same trace.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from typing import Any

from greenlet import getcurrent, greenlet

from cas_registry.backends import Backend, Data, ObjectInfo
from tests.support.simulated import PassingBackend

Action = Callable[[Backend], Any]


class Stopped(BaseException):  # noqa: N818 - no error: the end of an actor that nobody hears of again, and no handler's business
    """Raised in an actor that is not scheduled any more, wherever it waits and at whatever it tries then."""


class Actor:
    """One of those who share a store: what it does, and what came of it."""

    def __init__(self, name: str, action: Action) -> None:
        self.name = name
        self.action = action
        self.stack: greenlet | None = None
        self.is_over = False
        self.is_stopped = False
        self.result: Any = None
        self.error: BaseException | None = None


class Schedule:
    """Runs actors over one store. `order` is random, priorities or stall; `trace` is what happened."""

    def __init__(self, store: Backend, seed: int, order: str) -> None:
        self._store = store
        self._random = random.Random(seed)
        self._order = order
        self._turn: greenlet | None = None
        self._priorities: dict[str, float] = {}
        self._changes: set[int] = set()
        self._stalled: str | None = None
        self.trace: list[tuple[str, str, str]] = []

    def run(self, actors: Sequence[Actor], *, expected_steps: int = 200) -> None:
        """Until all are over; a stalled one is stopped then."""
        for actor in actors:
            self._priorities[actor.name] = self._random.random()
        self._changes = {self._random.randrange(expected_steps) for _ in range(3)}
        if self._order == "stall":
            self._stalled = self._random.choice(actors).name
        stall_at = self._random.randrange(expected_steps // 4)
        self._turn = getcurrent()
        for actor in actors:
            actor.stack = greenlet(self._live)
        while waiting := [actor for actor in actors if not actor.is_over]:
            awake = [actor for actor in waiting if actor.name != self._stalled or len(self.trace) < stall_at]
            if not awake:
                for actor in waiting:
                    actor.is_stopped = True
            chosen = self._pick(awake or waiting)
            assert chosen.stack is not None
            chosen.stack.switch(chosen)

    def point(self, actor: Actor, method: str, key: str) -> None:
        """Called by an actor before every request."""
        if actor.is_stopped:
            raise Stopped
        self.trace.append((actor.name, method, key.partition("/")[0]))
        assert self._turn is not None
        self._turn.switch()
        if actor.is_stopped:
            raise Stopped

    def _live(self, actor: Actor) -> None:
        try:
            if not actor.is_stopped:
                actor.result = actor.action(_ScheduledBackend(self._store, self, actor))
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            actor.error = error
        actor.is_over = True

    def _pick(self, awake: Sequence[Actor]) -> Actor:
        if self._order != "priorities":
            return self._random.choice(awake)
        if len(self.trace) in self._changes:
            first = max(awake, key=lambda actor: self._priorities[actor.name])
            self._priorities[first.name] = -self._random.random()
        return max(awake, key=lambda actor: self._priorities[actor.name])


class _ScheduledBackend(PassingBackend):
    """An actor's own view of the store: each key asked for is a point."""

    def __init__(self, inner: Backend, schedule: Schedule, actor: Actor) -> None:
        super().__init__(inner)
        self._schedule = schedule
        self._actor = actor

    def _point(self, method: str, key: str) -> None:
        self._schedule.point(self._actor, method, key)

    def get(self, key: str, *, start: int = 0, length: int) -> bytes:
        self._point("get", key)
        return super().get(key, start=start, length=length)

    def get_many(self, keys: Sequence[str], *, length: int) -> list[bytes | None]:
        found: list[bytes | None] = []
        for key in keys:
            self._point("get", key)
            found += super().get_many([key], length=length)
        return found

    def put(self, key: str, data: Data) -> None:
        self._point("put", key)
        super().put(key, data)

    def create(self, key: str, data: Data) -> None:
        self._point("create", key)
        super().create(key, data)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self._point("list", prefix)
        return super().list(prefix)

    def stat(self, key: str) -> ObjectInfo:
        self._point("stat", key)
        return super().stat(key)

    def delete(self, key: str) -> None:
        self._point("delete", key)
        super().delete(key)


class InlineExecutor(Executor):
    """Does everything at once, in the thread that asks."""

    def __init__(self, *_: object, **__: object) -> None:
        """Takes what ThreadPoolExecutor takes."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Stopped:
            raise
        except BaseException as error:  # noqa: BLE001 - as an executor does
            future.set_exception(error)
        return future
