"""Does this store honour create-if-absent? Asked at `init`, by `reg doctor`, and before a client's first write.

A probe is no proof: a store may keep its promise on a quiet day and break it when a quorum is lost. It does find the stores
that ignore conditional writes.
"""

import contextlib
import secrets
import threading
from concurrent.futures import Executor
from dataclasses import dataclass

from cas_registry.backends import Backend
from cas_registry.errors import AlreadyExistsError, IntegrityError, NotFoundError

PROBE_PREFIX = "probe/"
RACERS = 16
GATE_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What the probe saw: whether a second create failed, how many of `racers` won, whether a fresh key reads back."""

    second_create_refused: bool
    winners: int
    racers: int
    reads_back: bool

    @property
    def safe_for_shared_writing(self) -> bool:
        return self.second_create_refused and self.winners == 1 and self.reads_back


def probe_create(backend: Backend, *, executor: Executor | None = None, racers: int = RACERS) -> ProbeReport:
    """Try a double create and, where an executor is given, a race of `racers`. Leaves nothing behind if it may delete."""
    name = f"{PROBE_PREFIX}{secrets.token_hex(16)}"
    keys = [f"{name}-double", f"{name}-race"]
    try:
        _create(backend, keys[0], b"first")
        refused = not _create(backend, keys[0], b"second")
        reads_back = backend.get(keys[0], length=16) == b"first"
        winners = 1
        if executor is not None:
            gate = threading.Barrier(racers)  # without it a fast store lets the first racer finish before the last one starts
            bodies = [str(number).encode("ascii") for number in range(racers)]
            winners = sum(executor.map(lambda body: _create_at(gate, backend, keys[1], body), bodies))
        return ProbeReport(refused, winners, racers if executor else 1, reads_back)
    finally:
        for key in keys:
            with contextlib.suppress(Exception):  # a writer may lack the right to delete; a probe key is garbage
                backend.delete(key)


def _create_at(gate: threading.Barrier, backend: Backend, key: str, body: bytes) -> bool:
    with contextlib.suppress(threading.BrokenBarrierError):  # an executor with fewer threads than racers races those it has
        gate.wait(GATE_TIMEOUT_S)
    return _create(backend, key, body)


def _create(backend: Backend, key: str, body: bytes) -> bool:
    """Whether this create won; one whose answer was lost is settled by reading back."""
    try:
        backend.create(key, body)
    except AlreadyExistsError:
        try:
            return backend.get(key, length=16) == body and body != b"second"
        except NotFoundError as error:
            raise IntegrityError(f"{backend.url} refuses to create {key} and does not have it", key=key) from error
    return True
