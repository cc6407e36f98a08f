"""A rehearsal reads what is there and what was written to it, and writes nothing."""

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.rehearsal import RehearsalBackend
from cas_registry.errors import AlreadyExistsError, NotFoundError
from tests.support.simulated import memory_with, objects_of


@pytest.fixture
def inner() -> MemoryBackend:
    return memory_with({"a": b"one", "b/c": b"two"})


def test_it_reads_through(inner: MemoryBackend) -> None:
    rehearsal = RehearsalBackend(inner)
    assert rehearsal.url == inner.url
    assert rehearsal.get("a", start=1, length=5) == b"ne"
    assert rehearsal.get_many(["a", "x"], length=2) == [b"on", None]
    assert rehearsal.stat("b/c").size_bytes == 3
    with pytest.raises(NotFoundError):
        rehearsal.get("x", length=1)


def test_what_is_written_is_read_back_and_stays_out_of_the_store(inner: MemoryBackend) -> None:
    rehearsal = RehearsalBackend(inner)
    before = objects_of(inner)
    rehearsal.create("b/d", memoryview(b"three"))
    rehearsal.put("a", b"other")
    rehearsal.flush()
    assert rehearsal.get("b/d", start=2, length=9) == b"ree"
    assert rehearsal.get_many(["a", "b/d", "b/c"], length=9) == [b"other", b"three", b"two"]
    assert {info.key: info.size_bytes for info in rehearsal.list("")} == {"a": 5, "b/c": 3, "b/d": 5}
    assert [info.key for info in rehearsal.list("b/d")] == ["b/d"]
    assert rehearsal.stat("b/d").size_bytes == 5
    for taken in ("a", "b/c", "b/d"):
        with pytest.raises(AlreadyExistsError):
            rehearsal.create(taken, b"")
    with pytest.raises(NotImplementedError):
        rehearsal.delete("a")
    assert objects_of(inner) == before
