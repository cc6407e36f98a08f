import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import AccessError, AlreadyExistsError, BackendError, NotFoundError
from tests.support.faulty import Fault, FaultKind, FaultyBackend


def faulty(*faults: Fault) -> tuple[MemoryBackend, FaultyBackend]:
    store = MemoryBackend()
    return store, FaultyBackend(store, faults)


def test_without_faults_everything_passes_through():
    store, backend = faulty()
    backend.create("a/x", b"one")
    backend.put("a/y", b"two!")
    assert backend.get("a/x", start=1, length=9) == b"ne"
    assert backend.get_many(["a/y", "a/z"], length=3) == [b"two", None]
    assert {(info.key, info.size_bytes) for info in backend.list("a/")} == {("a/x", 3), ("a/y", 4)}
    assert backend.stat("a/y") == store.stat("a/y")
    backend.delete("a/x")
    backend.flush()
    assert [info.key for info in store.list("")] == ["a/y"]
    assert backend.url == store.url
    backend.assert_all_hit()


def test_a_failure_before_leaves_the_store_alone():
    store, backend = faulty(Fault("create", FaultKind.FAIL_BEFORE))
    with pytest.raises(BackendError) as caught:
        backend.create("k", b"x")
    assert caught.value.transient
    assert list(store.list("")) == []
    backend.create("k", b"x")
    assert store.get("k", length=9) == b"x"
    backend.assert_all_hit()


def test_a_lost_answer_has_taken_effect():
    store, backend = faulty(Fault("create", FaultKind.FAIL_AFTER, transient=False))
    with pytest.raises(BackendError) as caught:
        backend.create("k", b"x")
    assert not caught.value.transient
    assert store.get("k", length=9) == b"x"
    with pytest.raises(AlreadyExistsError):
        backend.create("k", b"y")


def test_a_refusal_can_be_lost_too():
    store, backend = faulty(Fault("create", FaultKind.FAIL_AFTER))
    store.create("k", b"x")
    with pytest.raises(BackendError):
        backend.create("k", b"y")
    assert store.get("k", length=9) == b"x"


def test_denial_is_an_access_error():
    store, backend = faulty(Fault("delete", FaultKind.DENY))
    store.put("k", b"x")
    with pytest.raises(AccessError):
        backend.delete("k")
    assert store.get("k", length=9) == b"x"


def test_a_flipped_bit_changes_one_bit():
    store, backend = faulty(Fault("get", FaultKind.FLIP_BIT))
    store.put("k", bytes(range(100)))
    spoiled, whole = backend.get("k", length=100), backend.get("k", length=100)
    assert whole == bytes(range(100))
    assert len(spoiled) == 100
    assert sum((left ^ right).bit_count() for left, right in zip(spoiled, whole, strict=True)) == 1


def test_truncation_drops_the_second_half():
    store, backend = faulty(Fault("get", FaultKind.TRUNCATE))
    store.put("k", b"abcdef")
    assert backend.get("k", length=9) == b"abc"


@pytest.mark.parametrize("kind", [FaultKind.FLIP_BIT, FaultKind.TRUNCATE])
def test_an_empty_answer_cannot_be_spoiled_and_is_no_hit(kind):
    store, backend = faulty(Fault("get", kind))
    store.put("empty", b"")
    store.put("full", b"ab")
    assert backend.get("empty", length=9) == b""
    assert len(backend.missed) == 1
    assert backend.get("full", length=9) != b"ab"
    backend.assert_all_hit()


def test_get_many_counts_as_one_get_a_key():
    store, backend = faulty(Fault("get", FaultKind.FLIP_BIT, call=1))
    for key in "abc":
        store.put(key, b"0000")
    assert [data == b"0000" for data in backend.get_many(["a", "b", "c"], length=4)] == [True, False, True]
    backend.assert_all_hit()


def test_get_many_fails_as_a_whole():
    _, backend = faulty(Fault("get", FaultKind.FAIL_BEFORE, key="b"))
    with pytest.raises(BackendError):
        backend.get_many(["a", "b"], length=4)
    assert backend.get_many(["a", "b"], length=4) == [None, None]


def test_a_fault_is_chosen_by_key_and_by_call():
    store, backend = faulty(Fault("stat", FaultKind.FAIL_BEFORE, key="refs/", call=1, times=2))
    store.put("refs/m/1", b"")
    store.put("packs/1", b"")
    outcomes = []
    for key in ["refs/m/1", "packs/1", "refs/m/1", "packs/1", "refs/m/1", "refs/m/1"]:
        try:
            backend.stat(key)
            outcomes.append("ok")
        except BackendError:
            outcomes.append("fails")
    assert outcomes == ["ok", "ok", "fails", "ok", "fails", "ok"]
    backend.assert_all_hit()


def test_a_fault_for_ever_keeps_failing_and_one_hit_is_enough():
    _, backend = faulty(Fault("flush", FaultKind.FAIL_BEFORE, times=None))
    assert len(backend.missed) == 1
    for _ in range(3):
        with pytest.raises(BackendError):
            backend.flush()
    backend.assert_all_hit()


def test_a_listing_can_break_at_its_end():
    store, backend = faulty(Fault("list", FaultKind.FAIL_AFTER))
    store.put("a", b"")
    listing = backend.list("")
    assert next(listing).key == "a"
    with pytest.raises(BackendError):
        next(listing)


def test_of_two_faults_due_at_once_the_first_is_hit():
    _, backend = faulty(Fault("stat", FaultKind.DENY), Fault("stat", FaultKind.FAIL_BEFORE))
    with pytest.raises(AccessError):
        backend.stat("k")
    with pytest.raises(NotFoundError):
        backend.stat("k")
    assert backend.missed == (Fault("stat", FaultKind.FAIL_BEFORE),)


def test_a_fault_never_hit_or_hit_too_seldom_is_reported():
    _, backend = faulty(Fault("put", FaultKind.FAIL_BEFORE, key="nowhere"), Fault("put", FaultKind.FAIL_BEFORE, times=2))
    with pytest.raises(BackendError):
        backend.put("k", b"")
    with pytest.raises(AssertionError, match="nowhere") as caught:
        backend.assert_all_hit()
    assert "times=2" in str(caught.value)


@pytest.mark.parametrize(
    ("method", "kind"), [("gett", FaultKind.DENY), ("put", FaultKind.FLIP_BIT), ("list", FaultKind.TRUNCATE)]
)
def test_a_script_that_can_never_run_is_refused(method, kind):
    with pytest.raises(ValueError):
        Fault(method, kind)
