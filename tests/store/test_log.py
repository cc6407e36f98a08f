"""Logs: the head is found whatever the hint says, entries are verified, and a number is given once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import AccessError, BackendError, IntegrityError, LimitError, RollbackError
from cas_registry.model.entry import MAX_ENTRY_BYTES, Entry, Operation, RefTable, decode_entry, encode_entry
from cas_registry.model.ids import EntryId
from cas_registry.store.layout import entry_key, hint_key
from cas_registry.store.log import Log, Recorded
from tests.support.faulty import Fault, FaultKind, FaultyBackend
from tests.support.simulated import HookedBackend, RoundTripBackend, memory_with, objects_of

REGISTRY = "0" * 32
LENGTHS = [1, 2, 3, 4, 5, 9, 16, 17, 33, 100]
LONG = 2_000


def _entry(n: int, prev: EntryId | None, *, log: str = "m", registry: str = REGISTRY, nonce: str | None = None) -> Entry:
    return Entry(
        registry=registry, log=log, n=n, prev=prev, nonce=nonce or f"{n:032x}", op=Operation.SET, time_ms=n, who="t", why="", refs=RefTable()
    )  # fmt: skip


def _fill(store: MemoryBackend, length: int, *, first: int = 1, prev: EntryId | None = None) -> EntryId | None:
    for n in range(first, first + length):
        data = encode_entry(_entry(n, prev))
        prev, _ = decode_entry(data)
        store.create(entry_key("m", n), data)
    return prev


@pytest.fixture(scope="module")
def long_log() -> dict[str, bytes]:
    store = MemoryBackend("long")
    _fill(store, LONG)
    return objects_of(store)


def _log(backend: object, name: str = "m") -> Log:
    return Log(backend, REGISTRY, name, sleep=lambda _: None)


# The head


def test_a_log_without_entries_has_no_head() -> None:
    assert _log(MemoryBackend()).head() is None


@pytest.mark.parametrize("length", LENGTHS)
def test_the_head_is_found_whatever_number_the_hint_says(length: int) -> None:
    store = MemoryBackend()
    _fill(store, length)
    for hint in [*range(length + 20), 10**6, 10**9, 10**10 - 2, 10**10 - 1, 10**10, 10**18]:
        store.put(hint_key("m"), str(hint).encode())
        head = _log(store).head()
        assert head is not None
        assert (head.n, head.entry.n) == (length, length), hint


@given(st.binary(max_size=40))
@example(b"")
@example(b"-3")
@example(b"+3")
@example(b" 3\n")
@example(b"0003")
@example(b"3.0")
@example(b"1e3")
@example(b"0x3")
@example("٣".encode())
@example(b"\xff\xfe")
@example(b"9" * 40)
def test_the_head_is_found_whatever_bytes_the_hint_has(hint: bytes) -> None:
    store = MemoryBackend()
    _fill(store, 6)
    store.put(hint_key("m"), hint)
    head = _log(store).head()
    assert head is not None
    assert head.n == 6


def test_with_a_fresh_hint_the_head_takes_three_reads_in_two_round_trips(long_log: dict[str, bytes]) -> None:
    store = memory_with(long_log)
    backend = RoundTripBackend(store)
    _log(backend).write_hint(LONG)
    backend.reset()
    assert _log(backend).head().n == LONG
    assert dict(backend.requests) == {"get": 3}
    assert backend.round_trips == 2


@pytest.mark.parametrize(
    ("hint", "reads", "round_trips"), [(LONG - 1, 12, 5), (LONG - 20, 24, 7), (1, 45, 12), (None, 45, 13), (LONG + 5, 45, 13)]
)
def test_a_hint_that_is_stale_wrong_or_missing_costs_a_few_reads(
    long_log: dict[str, bytes], hint: int | None, reads: int, round_trips: int
) -> None:
    store = memory_with(long_log)
    if hint is not None:
        store.put(hint_key("m"), str(hint).encode())
    backend = RoundTripBackend(store)
    assert _log(backend).head().n == LONG
    assert set(backend.requests) == {"get"}
    assert (backend.requests["get"] <= reads, backend.round_trips <= round_trips) == (True, True), (
        backend.requests["get"],
        backend.round_trips,
    )


def test_a_hint_that_cannot_be_written_is_no_failure() -> None:
    store = MemoryBackend()
    for kind in (FaultKind.DENY, FaultKind.FAIL_BEFORE):
        faulty = FaultyBackend(store, [Fault("put", kind)])
        _log(faulty).write_hint(3)
        faulty.assert_all_hit()


# Verification


def test_every_flipped_bit_of_an_entry_is_noticed() -> None:
    store = MemoryBackend()
    _fill(store, 2)
    key = entry_key("m", 2)
    data = store.get(key, length=2**20)
    for at in range(len(data)):
        for bit in range(8):
            store.put(key, data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :])
            with pytest.raises(IntegrityError) as caught:
                _log(store).read(2)
            assert caught.value.fields["key"] == key


@pytest.mark.parametrize("length", [0, 1, 64, 65, 100, -1])
def test_a_cut_entry_is_noticed(length: int) -> None:
    store = MemoryBackend()
    _fill(store, 2)
    key = entry_key("m", 2)
    store.put(key, store.get(key, length=2**20)[:length])
    for read in (lambda: _log(store).head(), lambda: _log(store).read(2)):
        with pytest.raises(IntegrityError, match=key):
            read()


def test_an_entry_longer_than_any_may_be_is_refused_without_being_read_to_its_end() -> None:
    store = MemoryBackend()
    _fill(store, 2)
    store.put(entry_key("m", 2), store.get(entry_key("m", 2), length=2**20) + bytes(50_000_000))
    backend = RoundTripBackend(store)
    with pytest.raises(IntegrityError, match="limit"):
        _log(backend).read(2)
    assert backend.bytes_in <= MAX_ENTRY_BYTES + 100


@pytest.mark.parametrize(
    "stranger",
    [
        _entry(3, EntryId(bytes(32))),
        _entry(2, EntryId(bytes(32)), log="other"),
        _entry(2, EntryId(bytes(32)), registry="f" * 32),
    ],
    ids=["number", "log", "registry"],
)
def test_an_entry_of_another_place_is_refused(stranger: Entry) -> None:
    store = MemoryBackend()
    _fill(store, 1)
    store.put(entry_key("m", 2), encode_entry(stranger))
    with pytest.raises(IntegrityError, match="put in another's place"):
        _log(store).head()


def test_a_missing_entry_is_named() -> None:
    store = MemoryBackend()
    _fill(store, 3)
    store.delete(entry_key("m", 2))
    with pytest.raises(IntegrityError, match="refs/m/0000000002 is missing"):
        _log(store).read_many([1, 2, 3])


def test_entries_after_a_position_are_read_up_to_the_end() -> None:
    store = MemoryBackend()
    _fill(store, 10)
    assert [recorded.n for recorded in _log(store).read_after(3, 4)] == [4, 5, 6, 7]
    assert [recorded.n for recorded in _log(store).read_after(8, 4)] == [9, 10]
    assert _log(store).read_after(10, 4) == []


# Appending


def test_an_appended_entry_is_the_head_and_carries_the_seal_of_its_bytes() -> None:
    store = MemoryBackend()
    first = _log(store).append(_entry(1, None))
    assert first is not None
    second = _log(store).append(_entry(2, first.id))
    assert _log(store).head() == second
    assert second is not None
    assert second.entry.prev == first.id
    assert store.get(entry_key("m", 2), length=64) == second.id.hex.encode()


def test_a_number_that_is_taken_is_not_given_again() -> None:
    store = MemoryBackend()
    _fill(store, 1)
    before = objects_of(store)
    assert _log(store).append(_entry(1, None, nonce="f" * 32)) is None
    assert objects_of(store) == before


def test_an_entry_of_ones_own_that_landed_before_is_a_success() -> None:
    """The first answer was lost, and something below this log tried again."""
    store = MemoryBackend()
    entry = _entry(1, None)
    store.create(entry_key("m", 1), encode_entry(entry))
    recorded = _log(store).append(entry)
    assert recorded is not None
    assert recorded.entry == entry


def test_entries_that_differ_in_nothing_but_the_nonce_are_told_apart() -> None:
    store = MemoryBackend()
    mine, theirs = _entry(1, None, nonce="a" * 32), _entry(1, None, nonce="b" * 32)
    assert _log(store).append(theirs) is not None
    assert _log(store).append(mine) is None


def test_a_transient_failure_is_tried_again_and_another_one_is_not() -> None:
    store = MemoryBackend()
    transient = FaultyBackend(store, [Fault("create", FaultKind.FAIL_BEFORE, times=3)])
    assert _log(transient).append(_entry(1, None)) is not None
    transient.assert_all_hit()
    store = MemoryBackend()
    for error, kind in ((BackendError, FaultKind.FAIL_BEFORE), (AccessError, FaultKind.DENY)):
        lasting = FaultyBackend(store, [Fault("create", kind, transient=False)])
        with pytest.raises(error):
            _log(lasting).append(_entry(1, None))
        lasting.assert_all_hit()
    assert objects_of(store) == {}


def test_an_entry_over_the_limit_is_refused_before_anything_is_written() -> None:
    store = MemoryBackend()
    with pytest.raises(LimitError):
        _log(store).append(replace(_entry(1, None), why="w" * 70_000))
    assert objects_of(store) == {}


def test_of_many_writers_of_one_number_one_wins_each_time() -> None:
    store = MemoryBackend()
    barrier = threading.Barrier(8)

    def write(writer: int) -> list[int]:
        won = []
        for n in range(1, 31):
            barrier.wait()
            head = _log(store).read(n - 1) if n > 1 else None
            if _log(store).append(_entry(n, head.id if head else None, nonce=f"{writer:032x}")):
                won.append(n)
            barrier.wait()
        return won

    with ThreadPoolExecutor(8) as pool:
        won = sorted(n for numbers in pool.map(write, range(8)) for n in numbers)
    assert won == list(range(1, 31))
    _assert_chained(_log(store).read_many(range(1, 31)))


def test_the_head_is_found_while_others_append() -> None:
    """Every answer is an entry that was the last one at some moment of the call."""
    store = MemoryBackend()
    prev = _fill(store, 3)
    store.put(hint_key("m"), b"3")
    length = 3

    def grow(_method: str, key: str) -> None:
        nonlocal prev, length
        if length < 40 and not key.endswith("HEAD"):
            length += 1
            prev = _fill(store, 1, first=length, prev=prev)

    before = length
    head = _log(HookedBackend(store, grow)).head()
    assert head is not None
    assert before <= head.n <= length


# Following


@pytest.mark.parametrize("new", [0, 1, 2, 5, 21, 22, 100])
@pytest.mark.parametrize("old", [0, 1, 7])
def test_a_log_is_followed_from_what_was_seen_to_its_end(old: int, new: int) -> None:
    store = MemoryBackend()
    prev = _fill(store, old)
    seen = _log(store).head()
    _fill(store, new, first=old + 1, prev=prev)
    assert _log(store).follow(seen) == _log(store).head()


def test_a_log_that_has_nothing_new_is_followed_by_one_request_and_the_hint_is_not_asked() -> None:
    store = RoundTripBackend(MemoryBackend())
    prev = _fill(store, 3)
    seen = _log(store).head()
    store.reset()
    assert _log(store).follow(seen) == seen
    assert store.keys == [("get", entry_key("m", 4))]
    _fill(store, 60, first=4, prev=prev)
    store.reset()
    found = _log(store).follow(seen)
    assert found
    assert (found.n, store.round_trips) == (63, 5)


def test_what_follows_another_entry_than_the_one_seen_is_a_rollback() -> None:
    store = MemoryBackend()
    _fill(store, 3)
    seen = _log(store).head()
    _fill(store, 1, first=4, prev=EntryId.of(b"another"))
    with pytest.raises(RollbackError, match="entry 4 of the log of 'm' does not follow") as caught:
        _log(store).follow(seen)
    assert caught.value.fields["key"] == entry_key("m", 4)


def _assert_chained(entries: list[Recorded]) -> None:
    assert [recorded.entry.prev for recorded in entries] == [None, *(recorded.id for recorded in entries[:-1])]
