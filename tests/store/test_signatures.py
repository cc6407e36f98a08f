"""Signatures in the store: by entry and key, once, and nothing that is none."""

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import UnsupportedFormatError
from cas_registry.model.ids import EntryId
from cas_registry.model.signature import KeyId, encode_signature
from cas_registry.store.layout import signature_key, signatures_prefix
from cas_registry.store.signatures import SignatureStore
from tests.model.test_signature import _sealed, make_signature
from tests.support.simulated import RoundTripBackend, objects_of

ONE = make_signature()
OTHER_KEY = KeyId(b"\7" * 32)


@pytest.fixture
def backend() -> MemoryBackend:
    return MemoryBackend()


def test_what_is_written_is_read_once_for_each_key(backend: MemoryBackend) -> None:
    store = SignatureStore(backend)
    assert store.write(ONE)
    assert not store.write(make_signature(time_ms=ONE.time_ms + 1))  # the first one stays
    assert store.read(ONE.entry, [OTHER_KEY, ONE.key]) == {ONE.key: ONE}
    assert store.read(EntryId(b"\2" * 32), [ONE.key]) == {}
    assert store.read(ONE.entry, []) == {}
    assert store.find_keys(ONE.entry) == [ONE.key]


def test_reading_takes_one_round_trip_and_no_listing(backend: MemoryBackend) -> None:
    SignatureStore(backend).write(ONE)
    counting = RoundTripBackend(backend)
    SignatureStore(counting).read(ONE.entry, [KeyId(bytes([number]) * 32) for number in range(50)])
    assert counting.round_trips == 1


@pytest.mark.parametrize("data", [b"", b"garbage", encode_signature(ONE)[:-1], encode_signature(ONE) + b" ", b"x" * 100_000])
def test_bytes_that_are_none_count_as_absent_and_give_way(backend: MemoryBackend, data: bytes) -> None:
    key = signature_key(ONE.entry, ONE.key)
    backend.put(key, data)
    store = SignatureStore(backend)
    assert store.read(ONE.entry, [ONE.key]) == {}
    assert store.write(ONE)
    assert store.read(ONE.entry, [ONE.key]) == {ONE.key: ONE}
    assert objects_of(backend)[f"quarantine/{key}"] == data[:32769]


def test_a_signature_in_anothers_place_counts_as_absent(backend: MemoryBackend) -> None:
    store = SignatureStore(backend)
    backend.put(signature_key(ONE.entry, OTHER_KEY), encode_signature(ONE))
    backend.put(signature_key(EntryId(b"\2" * 32), ONE.key), encode_signature(ONE))
    assert store.read(ONE.entry, [OTHER_KEY]) == {}
    assert store.read(EntryId(b"\2" * 32), [ONE.key]) == {}


def test_a_newer_one_says_so(backend: MemoryBackend) -> None:
    backend.put(signature_key(ONE.entry, ONE.key), _sealed(v=2))
    with pytest.raises(UnsupportedFormatError):
        SignatureStore(backend).read(ONE.entry, [ONE.key])


def test_a_listing_shows_keys_alone(backend: MemoryBackend) -> None:
    prefix = signatures_prefix(ONE.entry)
    for name in ("nothing", "AB" * 32, ONE.key.hex, f"{ONE.key.hex}x", "a/b"):
        backend.put(f"{prefix}{name}", b"")
    assert SignatureStore(backend).find_keys(ONE.entry) == [ONE.key]
