import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import AlreadyExistsError, NotFoundError


def test_two_stores_share_nothing_even_under_one_name():
    first, second = MemoryBackend("same"), MemoryBackend("same")
    first.create("k", b"x")
    with pytest.raises(NotFoundError):
        second.get("k", length=1)
    assert first.url == second.url == "memory://same"


def test_a_listing_is_of_one_moment():
    backend = MemoryBackend()
    for key in "abc":
        backend.create(key, b"x")
    listing = backend.list("")
    next(listing)
    for key in "abcd":
        backend.put(key, b"longer")
    backend.delete("b")
    assert [info.size_bytes for info in listing] == [1, 1]


def test_errors_name_the_key_and_the_store():
    backend = MemoryBackend("store")
    backend.create("refs/m/1", b"")
    with pytest.raises(AlreadyExistsError, match=r"^refs/m/1 exists already in memory://store$"):
        backend.create("refs/m/1", b"")
    with pytest.raises(NotFoundError, match=r"^refs/m/2 is not in memory://store$"):
        backend.stat("refs/m/2")
