import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from cas_registry.backends import Backend
from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.wrappers import (
    FIRST_WAIT_S,
    MAX_ATTEMPTS,
    MAX_WAIT_S,
    CountingBackend,
    RetryingBackend,
    SingleWriterBackend,
)
from cas_registry.errors import AccessError, AlreadyExistsError, BackendError, NotFoundError
from tests.support.faulty import Fault, FaultKind, FaultyBackend

CALLS: dict[str, Callable[[Backend], object]] = {
    "get": lambda backend: backend.get("k", length=9),
    "get_many": lambda backend: backend.get_many(["k", "absent"], length=9),
    "put": lambda backend: backend.put("k", b"put"),
    "create": lambda backend: backend.create("new", b"created"),
    "list": lambda backend: list(backend.list("k")),
    "stat": lambda backend: backend.stat("k"),
    "delete": lambda backend: backend.delete("k"),
}


def scripted(*faults: Fault) -> tuple[CountingBackend, FaultyBackend, RetryingBackend, list[float]]:
    """What reached the store, the faults before it, the retries before those, and how long they waited."""
    counting = CountingBackend(MemoryBackend())
    counting.put("k", b"value")
    counting.reset()
    faulty = FaultyBackend(counting, faults)
    waits: list[float] = []
    return counting, faulty, RetryingBackend(faulty, sleep=waits.append), waits


# retrying


@pytest.mark.parametrize("method", CALLS)
def test_a_transient_failure_is_tried_again_until_it_works(method):
    expected = CALLS[method](scripted()[0])
    fault = Fault(method.removesuffix("_many"), FaultKind.FAIL_BEFORE, times=MAX_ATTEMPTS - 1)
    _, faulty, retrying, waits = scripted(fault)
    assert CALLS[method](retrying) == expected or method in {"list", "stat"}
    assert len(waits) == MAX_ATTEMPTS - 1
    faulty.assert_all_hit()


@pytest.mark.parametrize("method", CALLS)
def test_it_gives_up_after_the_last_attempt(method):
    counting, faulty, retrying, waits = scripted(Fault(method.removesuffix("_many"), FaultKind.FAIL_BEFORE, times=MAX_ATTEMPTS))
    with pytest.raises(BackendError):
        CALLS[method](retrying)
    faulty.assert_all_hit()
    assert len(waits) == MAX_ATTEMPTS - 1
    assert not counting.requests


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize("kind", [FaultKind.FAIL_BEFORE, FaultKind.DENY])
def test_what_is_not_transient_is_not_tried_again(method, kind):
    counting, faulty, retrying, waits = scripted(Fault(method.removesuffix("_many"), kind, transient=False))
    with pytest.raises((BackendError, AccessError)):
        CALLS[method](retrying)
    faulty.assert_all_hit()
    assert waits == []
    assert not counting.requests


def test_answers_are_not_tried_again():
    counting, _, retrying, waits = scripted()
    with pytest.raises(NotFoundError):
        retrying.get("absent", length=1)
    with pytest.raises(AlreadyExistsError):
        retrying.create("k", b"other")
    assert waits == []
    assert counting.requests == {"get": 1, "create": 1}


def test_a_failure_that_turns_permanent_ends_the_attempts():
    _, faulty, retrying, waits = scripted(
        Fault("stat", FaultKind.FAIL_BEFORE), Fault("stat", FaultKind.FAIL_BEFORE, call=1, transient=False)
    )
    with pytest.raises(BackendError) as caught:
        retrying.stat("k")
    assert not caught.value.transient
    assert len(waits) == 1
    faulty.assert_all_hit()


def test_a_failed_flush_is_never_tried_again():
    _, faulty, retrying, waits = scripted(Fault("flush", FaultKind.FAIL_BEFORE))
    with pytest.raises(BackendError):
        retrying.flush()
    assert waits == []
    faulty.assert_all_hit()


def test_a_create_whose_answer_was_lost_finds_its_own_object():
    counting, faulty, retrying, _ = scripted(Fault("create", FaultKind.FAIL_AFTER))
    with pytest.raises(AlreadyExistsError):
        retrying.create("new", b"mine")
    assert counting.get("new", length=9) == b"mine"
    faulty.assert_all_hit()


def test_a_listing_that_breaks_in_the_middle_starts_over_without_doubles():
    _, faulty, retrying, _ = scripted(Fault("list", FaultKind.FAIL_AFTER))
    retrying.put("k2", b"x")
    assert sorted(info.key for info in retrying.list("")) == ["k", "k2"]
    faulty.assert_all_hit()


def test_waits_grow_are_jittered_and_bounded():
    bounds = [min(FIRST_WAIT_S * 2**number, MAX_WAIT_S) for number in range(11)]
    rounds = []
    for _ in range(50):
        waits: list[float] = []
        faulty = FaultyBackend(MemoryBackend(), [Fault("stat", FaultKind.FAIL_BEFORE, times=None)])
        with pytest.raises(BackendError):
            RetryingBackend(faulty, attempts=12, sleep=waits.append).stat("k")
        assert all(0 <= wait <= bound for wait, bound in zip(waits, bounds, strict=True))
        rounds.append(waits)
    for number, bound in enumerate(bounds):
        column = [waits[number] for waits in rounds]
        assert len(set(column)) > 40
        assert max(column) > bound / 2 > min(column)
    assert bounds[-1] == MAX_WAIT_S


def test_attempts_and_the_first_wait_can_be_chosen():
    waits: list[float] = []
    faulty = FaultyBackend(MemoryBackend(), [Fault("get", FaultKind.FAIL_BEFORE, times=3)])
    with pytest.raises(BackendError):
        RetryingBackend(faulty, attempts=3, first_wait_s=0.001, sleep=waits.append).get("k", length=1)
    faulty.assert_all_hit()
    assert len(waits) == 2
    assert max(waits) <= 0.002


def test_one_attempt_never_waits():
    waits: list[float] = []
    faulty = FaultyBackend(MemoryBackend(), [Fault("get", FaultKind.FAIL_BEFORE)])
    with pytest.raises(BackendError):
        RetryingBackend(faulty, attempts=1, sleep=waits.append).get("k", length=1)
    assert waits == []


# counting


def test_requests_keys_and_bytes_are_counted():
    counting = CountingBackend(MemoryBackend())
    counting.create("a/1", b"12345")
    counting.put("a/2", b"123")
    counting.get("a/1", start=1, length=2)
    counting.get_many(["a/1", "absent", "a/2"], length=2)
    counting.stat("a/1")
    list(counting.list("a/"))
    counting.delete("a/1")
    counting.flush()
    assert counting.requests == {"create": 1, "put": 1, "get": 4, "stat": 1, "list": 1, "delete": 1}
    assert counting.keys == [
        ("create", "a/1"),
        ("put", "a/2"),
        ("get", "a/1"),
        ("get", "a/1"),
        ("get", "absent"),
        ("get", "a/2"),
        ("stat", "a/1"),
        ("list", "a/"),
        ("delete", "a/1"),
    ]
    assert (counting.bytes_out, counting.bytes_in) == (8, 2 + 4)


def test_a_request_that_fails_is_counted():
    counting = CountingBackend(MemoryBackend())
    with pytest.raises(NotFoundError):
        counting.get("absent", length=1)
    assert counting.requests == {"get": 1}
    assert counting.bytes_in == 0


def test_a_reset_starts_anew():
    counting = CountingBackend(MemoryBackend())
    counting.create("a", b"x")
    counting.get("a", length=1)
    counting.reset()
    assert (dict(counting.requests), counting.keys, counting.bytes_in, counting.bytes_out) == ({}, [], 0, 0)
    assert counting.get("a", length=1) == b"x"


def test_threads_lose_no_count():
    counting = CountingBackend(MemoryBackend())
    counting.put("k", b"xy")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: [counting.get("k", length=2) for _ in range(200)], range(8)))
    assert counting.requests["get"] == 1600
    assert counting.bytes_in == 3200


# single writer


class IgnoresConditions:
    """A store that takes create for put, as some S3 servers do."""

    def __init__(self) -> None:
        self.inner = MemoryBackend()
        self.url = self.inner.url
        for method in ("get", "get_many", "put", "list", "stat", "delete", "flush", "sweep"):
            setattr(self, method, getattr(self.inner, method))

    def create(self, key: str, data: bytes) -> None:
        time.sleep(0.002)  # as a request takes, so that threads meet
        self.inner.put(key, data)


def test_a_single_writer_gets_create_from_a_store_that_ignores_conditions():
    backend = SingleWriterBackend(IgnoresConditions())
    backend.create("k", b"first")
    with pytest.raises(AlreadyExistsError) as caught:
        backend.create("k", b"second")
    assert caught.value.fields["key"] == "k"
    assert backend.get("k", length=9) == b"first"


def test_threads_of_a_single_writer_have_one_winner():
    for _ in range(5):
        backend = SingleWriterBackend(IgnoresConditions())
        gate = threading.Barrier(8)

        def attempt(body: bytes, backend: Backend = backend, gate: threading.Barrier = gate) -> bool:
            gate.wait()
            try:
                backend.create("k", body)
            except AlreadyExistsError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(attempt, [bytes([racer]) for racer in range(8)]))
        assert won.count(True) == 1
        assert backend.get("k", length=9) == bytes([won.index(True)])


def test_a_single_writer_does_not_take_a_failed_look_for_absence():
    store = MemoryBackend()
    store.create("k", b"first")
    for kind, error in [(FaultKind.FAIL_BEFORE, BackendError), (FaultKind.DENY, AccessError)]:
        with pytest.raises(error):
            SingleWriterBackend(FaultyBackend(store, [Fault("stat", kind)])).create("k", b"second")
    assert store.get("k", length=9) == b"first"


def test_a_single_writer_creates_as_durably_as_its_store():
    counting = CountingBackend(MemoryBackend())
    SingleWriterBackend(counting).create("k", b"x")
    assert counting.requests == {"stat": 1, "create": 1}
