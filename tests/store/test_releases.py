"""The logs of releases: what a revision means in them, and what it costs."""

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.wrappers import CountingBackend
from cas_registry.errors import HostileNameError, IntegrityError, NotFoundError
from cas_registry.model.entry import Entry, ReleaseRow
from cas_registry.model.ids import CommitId, TreeId
from cas_registry.model.revision import parse_revision
from cas_registry.store.log import BATCH
from cas_registry.store.releases import ReleaseLog, rows_of
from cas_registry.store.stores import Stores
from tests.support.simulated import make_registry


def _row(n: int) -> ReleaseRow:
    return ReleaseRow(CommitId.of(b"%d" % n), n, n, TreeId.of(b"%d" % n))


def _append(stores: Stores, log: ReleaseLog, n: int, time_ms: int) -> Entry:
    entry = log.next_entry(
        log.head(), {"fraud": _row(n)}, registry=stores.format.registry, time_ms=time_ms, who="ada", why=f"move {n}"
    )
    assert log.log.append(entry)
    log.log.write_hint(entry.n)
    return entry


@pytest.fixture
def stores() -> Stores:
    return make_registry(CountingBackend(MemoryBackend()))._stores


def test_moves_are_found_by_number_and_by_time(stores: Stores) -> None:
    log = stores.release("prod")
    assert log.head() is None
    with pytest.raises(NotFoundError, match="there is no release 'prod'"):
        log.existing_head()
    count = 2 * BATCH + 3
    for n in range(1, count + 1):
        entry = _append(stores, log, n, time_ms=n * 86_400_000)
    assert (entry.n, entry.log) == (count, "release:prod")
    assert [recorded.n for recorded in log.back_from(log.existing_head())] == list(range(count, 0, -1))
    for back in (0, 1, count - 1):
        found = log.find(parse_revision(f"release:prod/fraud@{{{back}}}"), now_ms=0)
        assert found == {"fraud": _row(count - back)}
    with pytest.raises(NotFoundError, match=f"moved {count - 1} times only"):
        log.find(parse_revision(f"release:prod/fraud@{{{count}}}"), now_ms=0)
    assert log.find(parse_revision("release:prod/fraud@{1970-01-03}"), now_ms=0) == {"fraud": _row(2)}
    assert log.find(parse_revision("release:prod/fraud@{yesterday}"), now_ms=11 * 86_400_000) == {"fraud": _row(10)}
    with pytest.raises(NotFoundError, match="did not exist then"):
        log.find(parse_revision("release:prod/fraud@{1970-01-01}"), now_ms=0)
    assert rows_of(None) == {}


def test_finding_what_it_names_now_takes_three_reads(stores: Stores) -> None:
    log = stores.release("prod")
    for n in range(1, 40):
        _append(stores, log, n, time_ms=n)
    assert isinstance(stores.backend, CountingBackend)
    stores.backend.reset()
    log.find(parse_revision("release:prod/fraud"), now_ms=0)
    assert stores.backend.requests.total() == 3


def test_a_model_may_have_the_name_of_a_release(stores: Stores) -> None:
    _append(stores, stores.release("prod"), 1, time_ms=1)
    assert stores.log("prod").head() is None
    with pytest.raises(HostileNameError):
        stores.release("a/b")


def test_a_release_that_does_not_fit_its_models_log_is_damage(stores: Stores) -> None:
    """It names an entry of a log that is not there, or that introduces another commit."""
    _append(stores, stores.release("prod"), 1, time_ms=1)
    with pytest.raises(NotFoundError):
        stores.refs("fraud").resolve(parse_revision("release:prod/fraud"), now_ms=0)
    head = stores.catalogue.ensure("fraud", time_ms=0, who="ada")
    stores.log("fraud").fence(1, 0, time_ms=0, who="ada")
    assert head
    with pytest.raises(IntegrityError, match="does not introduce the version that release 'prod' has from it"):
        stores.refs("fraud").resolve(parse_revision("release:prod/fraud"), now_ms=0)
