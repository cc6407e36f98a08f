"""Records of collections by key, and what they forbid a writer to name."""

from dataclasses import replace

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.wrappers import RetryingBackend
from cas_registry.errors import BackendError, IntegrityError
from cas_registry.model.collection import Condemned, Done, Verdict
from cas_registry.model.entry import Entry, Operation, RefTable
from cas_registry.model.ids import MapName, PackName
from cas_registry.store.epochs import Epochs, Threats
from cas_registry.store.layout import collection_key
from cas_registry.store.objects import ObjectStore
from tests.support.faulty import Fault, FaultKind, FaultyBackend
from tests.support.simulated import RoundTripBackend

REGISTRY = "0" * 32
P, Q, M = PackName.of(b"p"), PackName.of(b"q"), MapName.of(b"m")


def condemned(epoch: int, *names: PackName | MapName) -> Condemned:
    packs = frozenset(name for name in names if isinstance(name, PackName))
    maps = frozenset(name for name in names if isinstance(name, MapName))
    return Condemned(REGISTRY, epoch, maps, packs, 1, 2, "ada")


def head(seen: int, settled: int = 0) -> Entry:
    return Entry(REGISTRY, "m", 1, None, "b" * 32, Operation.SET, 0, "", "", refs=RefTable(), gc_seen=seen, gc_settled=settled)


@pytest.fixture
def store() -> MemoryBackend:
    return MemoryBackend()


@pytest.fixture
def epochs(store: MemoryBackend) -> Epochs:
    return Epochs(store, REGISTRY)


def threats(epochs: Epochs, store: MemoryBackend, seen: int, settled: int = 0) -> Threats:
    return Threats(epochs, ObjectStore(store), head(seen, settled))


def test_each_record_is_made_once_whoever_comes_second(epochs: Epochs) -> None:
    assert not epochs.has_begun(1)
    assert epochs.condemn(condemned(1, P))
    assert epochs.condemn(condemned(1, P)), "its own again: an answer that was lost"
    assert not epochs.condemn(condemned(1, Q))
    assert epochs.has_begun(1)
    assert epochs.rule(Verdict(REGISTRY, 1, delete=False, time_ms=0, who="ada"))
    assert not epochs.rule(Verdict(REGISTRY, 1, delete=True, time_ms=0, who="bob"))
    (epoch,) = epochs.read([1])
    assert epoch.is_cancelled
    assert epoch.is_over
    assert epochs.finish(Done(REGISTRY, 1, 1, 1, 0, "ada"))


@pytest.mark.parametrize("kind", [FaultKind.FAIL_BEFORE, FaultKind.FAIL_AFTER])
def test_a_lost_answer_is_settled_by_reading(store: MemoryBackend, kind: FaultKind) -> None:
    faulty = FaultyBackend(store, [Fault("create", kind, "gc/")])
    assert Epochs(RetryingBackend(faulty, sleep=lambda _: None), REGISTRY).condemn(condemned(1, P))
    alone = FaultyBackend(store, [Fault("create", kind, "gc/0000000002")])
    if kind is FaultKind.FAIL_AFTER:
        assert Epochs(alone, REGISTRY).condemn(condemned(2, P))
    else:
        with pytest.raises(BackendError):
            Epochs(alone, REGISTRY).condemn(condemned(2, P))


def test_what_a_writer_knows_is_what_its_head_tells(store: MemoryBackend, epochs: Epochs) -> None:
    epochs.condemn(condemned(1, P))
    epochs.condemn(condemned(2, M, Q))
    before = threats(epochs, store, 1)
    assert (before.spares_pack(P), before.spares_pack(Q), before.spares_map(M)) == (False, True, True)
    assert not before.catch_up(head(1))
    assert not before.caught_up
    assert before.catch_up(head(2, 1))
    assert before.caught_up
    assert (before.spares_pack(P), before.spares_pack(Q), before.spares_map(M)) == (False, False, False)


def test_what_is_decided_counts_instead_of_what_was_condemned(store: MemoryBackend, epochs: Epochs) -> None:
    epochs.condemn(condemned(1, P, Q))
    epochs.decide(condemned(1, Q))
    found = threats(epochs, store, 1)
    assert (found.spares_pack(P), found.spares_pack(Q)) == (True, False)


def test_what_was_called_off_threatens_nothing_and_what_is_done_still_does(store: MemoryBackend, epochs: Epochs) -> None:
    """Somebody may have read a map before it went, and ask only afterwards."""
    epochs.condemn(condemned(1, P))
    epochs.rule(Verdict(REGISTRY, 1, delete=False, time_ms=0, who="ada"))
    epochs.condemn(condemned(2, Q))
    epochs.decide(condemned(2, Q))
    epochs.finish(Done(REGISTRY, 2, 1, 1, 0, "ada"))
    found = threats(epochs, store, 2)
    assert (found.spares_pack(P), found.spares_pack(Q)) == (True, False)
    assert threats(epochs, store, 2, settled=2).spares_pack(Q)


def test_nothing_is_read_before_it_is_asked_for_nor_twice(store: MemoryBackend, epochs: Epochs) -> None:
    epochs.condemn(condemned(1, P))
    counting = RoundTripBackend(store)
    found = Threats(Epochs(counting, REGISTRY), ObjectStore(counting), head(1))
    assert counting.round_trips == 0
    assert not found.spares_pack(P)
    asked = counting.round_trips
    assert asked > 0
    assert found.spares_pack(Q)
    assert counting.round_trips == asked
    quiet = Threats(Epochs(counting, REGISTRY), ObjectStore(counting), head(0))
    assert quiet.spares_version(M)
    assert counting.round_trips == asked


def test_a_list_that_a_log_knows_of_and_nobody_has_stops_the_writer(store: MemoryBackend, epochs: Epochs) -> None:
    with pytest.raises(IntegrityError, match="gc/0000000001/condemned is missing"):
        threats(epochs, store, 1).spares_pack(P)


@pytest.mark.parametrize("record", ["condemned", "delete", "verdict", "done"])
def test_a_record_that_is_damaged_or_of_another_place_is_refused(store: MemoryBackend, epochs: Epochs, record: str) -> None:
    epochs.condemn(condemned(1, P))
    store.put(collection_key(1, record), b"rubbish")
    with pytest.raises(IntegrityError, match=record):
        threats(epochs, store, 1).spares_pack(P)
    other = Epochs(store, "1" * 32)
    other.condemn(replace(condemned(2, P), registry="1" * 32))
    with pytest.raises(IntegrityError, match="another's place"):
        epochs.condemned([2])
