"""Rollback and forks: a log goes on from what was seen of it, or RollbackError says what was seen, and when."""

from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import IntegrityError, RollbackError
from cas_registry.model.entry import decode_entry, encode_entry
from cas_registry.model.ids import EntryId
from cas_registry.store.layout import entry_key, hint_key
from cas_registry.store.log import Log, Recorded
from cas_registry.store.watch import Watch
from tests.store.test_log import REGISTRY, _entry, _fill
from tests.support.simulated import RoundTripBackend, objects_of

NOON_NS = 1_764_590_400_000_000_000  # 2025-12-01T12:00:00Z


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


def _watched(store: object, folder: Path) -> Log:
    return Log(store, REGISTRY, "m", sleep=lambda _: None, watch=Watch(folder, clock_ns=lambda: NOON_NS))


def _store(length: int, *, forked_at: int | None = None) -> MemoryBackend:
    """A log of so many entries; from `forked_at` on they are others than they would have been."""
    store = MemoryBackend()
    prev = _fill(store, (forked_at or length + 1) - 1)
    for n in range(forked_at or length + 1, length + 1):
        data = encode_entry(_entry(n, prev, nonce=f"{n + 1000:032x}"))
        prev, _ = decode_entry(data)
        store.create(entry_key("m", n), data)
    return store


def test_a_log_that_goes_on_is_as_before(folder: Path) -> None:
    for length in (1, 2, 2, 3, 7, 50):
        head = _watched(_store(length), folder).head()
        assert head is not None
        assert head.n == length
        assert Watch(folder, clock_ns=lambda: 0).owed("m") is not None


@pytest.mark.parametrize("length", [0, 1, 4])
def test_a_log_that_lost_its_tail_is_refused(folder: Path, length: int) -> None:
    _watched(_store(5), folder).head()
    with pytest.raises(RollbackError, match=r"was at entry 5 .* on 2025-12-01 12:00:00 UTC") as caught:
        _watched(_store(length), folder).head()
    assert (caught.value.fields["log"], caught.value.fields["seen"]) == ("m", 5)
    assert Path(str(caught.value.fields["remembered"])) == folder / "m.json"
    assert str(folder / "m.json") in caught.value.message
    with pytest.raises(RollbackError):  # it is not taken for the truth the second time
        _watched(_store(length), folder).head()


@pytest.mark.parametrize(("length", "forked_at"), [(5, 5), (5, 3), (6, 5), (6, 1)])
def test_a_fork_is_refused_where_it_shows_at_once(folder: Path, length: int, forked_at: int) -> None:
    _watched(_store(5), folder).head()
    with pytest.raises(RollbackError, match="another one now"):
        _watched(_store(length, forked_at=forked_at), folder).head()


def test_a_fork_further_on_is_owed_until_somebody_follows_the_chain(folder: Path) -> None:
    _watched(_store(5), folder).head()
    store = _store(9, forked_at=4)
    log = _watched(store, folder)
    assert log.head() is not None
    watch = Watch(folder, clock_ns=lambda: NOON_NS)
    owed = watch.owed("m")
    assert owed is not None
    assert owed.n == 5
    with pytest.raises(RollbackError, match="entry 5 is another one now"):
        watch.check_chain("m", owed, log.read(5))


def test_what_was_followed_is_owed_no_longer(folder: Path) -> None:
    log = _watched(_store(9), folder)
    _watched(_store(5), folder).head()
    head = log.head()
    assert head is not None
    watch = Watch(folder, clock_ns=lambda: NOON_NS)
    assert watch.owed("m").n == 5
    watch.check_chain("m", watch.owed("m"), log.read(5))
    watch.followed(head)
    assert watch.owed("m").n == 9


def test_following_an_older_head_forgets_no_newer_one(folder: Path) -> None:
    older = _watched(_store(5), folder).head()
    _watched(_store(9), folder).head()
    Watch(folder, clock_ns=lambda: NOON_NS).followed(older)
    with pytest.raises(RollbackError, match="was at entry 9"):
        _watched(_store(8), folder).head()


def test_ones_own_entry_is_remembered(folder: Path) -> None:
    store = _store(3)
    log = _watched(store, folder)
    head = log.head()
    assert isinstance(head, Recorded)
    assert log.append(_entry(4, head.id)) is not None
    store.delete(entry_key("m", 4))
    with pytest.raises(RollbackError, match="was at entry 4"):
        log.head()


def test_accepting_begins_anew(folder: Path) -> None:
    _watched(_store(5), folder).head()
    Watch(folder, clock_ns=lambda: 0).accept("m")
    head = _watched(_store(2), folder).head()
    assert head is not None
    assert head.n == 2


def test_what_others_see_meanwhile_is_no_rollback(folder: Path) -> None:
    """Between the reading of a head and the look at what was seen, another process may have seen more."""
    store = _store(3)

    class Slow(RoundTripBackend):
        def get_many(self, keys, *, length):
            found = super().get_many(keys, length=length)
            if hint_key("m") not in keys and len(store_objects := objects_of(store)) == 3:
                head = decode_entry(store_objects[entry_key("m", 3)])
                Watch(folder, clock_ns=lambda: 0).keep(Recorded(head[0], _entry(9, head[0])))
            return found

    _watched(store, folder).head()
    assert _watched(Slow(store), folder).head().n == 3


def test_watching_costs_no_request(folder: Path) -> None:
    store = _store(20)
    store.put(hint_key("m"), b"20")
    plain, watched = RoundTripBackend(store), RoundTripBackend(store)
    Log(plain, REGISTRY, "m").head()
    for _ in range(2):
        _watched(watched, folder).head()
    assert watched.round_trips == 2 * plain.round_trips


@pytest.mark.parametrize("damage", ["unlink", "truncate", "garbage", "folder"])
def test_a_state_that_is_lost_or_damaged_fails_nothing(folder: Path, damage: str) -> None:
    _watched(_store(5), folder).head()
    path = folder / "m.json"
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "unlink":
        path.write_bytes(b"" if damage == "truncate" else b"\0garbage")
    assert _watched(_store(2), folder).head().n == 2


def test_a_home_that_cannot_be_written_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file in the way")
    assert _watched(_store(5), tmp_path / "state").head().n == 5
    assert _watched(_store(2), tmp_path / "state").head().n == 2


def test_a_model_with_the_longest_name_is_watched_too(folder: Path) -> None:
    names = ["ü" * 127, "ü" * 126 + "x", "m" * 200, "m" * 201]
    watch = Watch(folder, clock_ns=lambda: NOON_NS)
    for number, name in enumerate(names, start=1):
        watch.keep(Recorded(EntryId(bytes([number]) * 32), _entry(number, None, log=name)))
    assert [watch.owed(name).n for name in names] == [1, 2, 3, 4]


def test_a_rollback_is_told_apart_from_damage() -> None:
    assert RollbackError.code != IntegrityError.code
    assert issubclass(RollbackError, IntegrityError)
