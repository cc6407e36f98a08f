"""Retention policies: what any rule keeps stays, and so does whatever a ref stands at."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import InvalidInputError
from cas_registry.model.keep import Best, Keep
from cas_registry.registry import Registry, registry_over
from cas_registry.store.layout import entry_key
from tests.support.folders import File, write_folder
from tests.support.simulated import Clock, HookedBackend, make_registry, make_world

DAY_NS = 24 * 3600 * 10**9
NOW_NS = 1_764_590_400 * 10**9


def make(work: Path, metrics: list[object], store: MemoryBackend | None = None) -> Registry:
    """A registry with a version a day, the last one today, each with its auc."""
    store = store or MemoryBackend()
    make_registry(store)
    for number, auc in enumerate(metrics):
        ago = len(metrics) - 1 - number
        registry = registry_over(store, make_world(clock=Clock(frozen_ns=NOW_NS - ago * DAY_NS)))
        write_folder(work, {"c.json": File(str(number).encode())})
        registry.model("m").commit(work, metrics={} if auc is None else {"auc": auc})  # type: ignore[dict-item]
    return registry_over(store, make_world(clock=Clock(frozen_ns=NOW_NS)))


def expired(registry: Registry) -> list[int]:
    return [version.number for expiry in registry.expired() for version in expiry.expired]


@pytest.mark.parametrize(
    ("keep", "gone"),
    [
        (Keep(last=2), [1, 2, 3, 4]),
        (Keep(last=100), []),
        (Keep(days=3), [1, 2, 3]),
        (Keep(tagged=True), [1, 2, 3, 4, 5]),
        (Keep(best=(Best("auc", 1),)), [1, 2, 3, 4, 5]),  # the later of equal ones, which main stands at
        (Keep(best=(Best("auc", 1, smallest=True),)), [1, 2, 4, 5]),
        (Keep(best=(Best("auc", 100),)), [2, 5]),
        (Keep(best=(Best("loss", 5),)), [1, 2, 3, 4, 5]),
        (Keep(last=1, days=2, best=(Best("auc", 2),)), [1, 2, 3]),
    ],
)
def test_the_rules(tmp_path: Path, keep: Keep, gone: list[int]) -> None:
    registry = make(tmp_path / "work", [0.5, float("nan"), 0.1, 0.9, "high", 0.9])
    assert registry.expired() == []
    registry.set_policy(keep)
    assert expired(registry) == gone


def test_what_a_ref_stands_at_stays(tmp_path: Path) -> None:
    registry = make(tmp_path / "work", [1, 2, 3, 4])
    registry.model("m").tag("prod", "main~3")
    registry.model("m").branch("old", "main~2")
    registry.set_policy(Keep(last=1), model="m")
    assert expired(registry) == [3]


def test_a_models_own_policy_comes_first_and_can_be_dropped(tmp_path: Path) -> None:
    registry = make(tmp_path / "work", [1, 2, 3])
    registry.set_policy(Keep(last=1))
    registry.set_policy(Keep(last=2), model="m")
    assert expired(registry) == [1]
    registry.set_policy(None, model="m")
    assert expired(registry) == [1, 2]
    registry.set_policy(None)
    assert registry.policies() == {}
    assert registry.expired() == []


def test_applied_by_a_collection_it_retires_and_says_why(tmp_path: Path) -> None:
    registry = make(tmp_path / "work", [1, 2, 3])
    registry.set_policy(Keep(last=1))
    assert registry.gc(policy=True).versions == 3
    registry.gc(policy=True, delete=True, grace_s=3600)
    assert [record.retired for record in registry.model("m").log("main")] == [False, True, True]
    head = registry._stores.log("m").read(4)
    assert head.entry.why == "retention policy"
    assert registry.fsck().exit_code == 0


def test_a_version_that_gets_a_tag_meanwhile_stays(tmp_path: Path) -> None:
    store = MemoryBackend()
    registry = make(tmp_path / "work", [1, 2, 3], store)
    registry.set_policy(Keep(last=1))
    left = [lambda: registry.model("m").tag("prod", "main~1")]

    def hook(method: str, key: str) -> None:
        if (method, key) == ("create", entry_key("m", 4)) and left:
            left.pop()()

    over = registry_over(HookedBackend(store, hook), make_world(clock=Clock(frozen_ns=NOW_NS)))
    over.gc(policy=True, delete=True, grace_s=3600)
    assert [record.retired for record in registry.model("m").log("main")] == [False, False, True]


@pytest.mark.parametrize(
    "keep", [Keep(), Keep(last=-1), Keep(days=10**10), Keep(best=tuple(Best(str(number), 1) for number in range(17)))]
)
def test_what_cannot_be_stored_is_refused(tmp_path: Path, keep: Keep) -> None:
    registry = make_registry(MemoryBackend())
    with pytest.raises(InvalidInputError):
        registry.set_policy(keep)
    assert registry.policies() == {}


@settings(max_examples=20, deadline=None)
@given(last=st.none() | st.integers(1, 6), days=st.none() | st.integers(1, 6), count=st.integers(1, 6), smallest=st.booleans())
def test_more_rules_never_let_more_go(
    tmp_path_factory: pytest.TempPathFactory, last: int | None, days: int | None, count: int, smallest: bool
) -> None:
    registry = make(tmp_path_factory.mktemp("m") / "work", [3, 1, 2, 5, 4])
    gone: list[set[int]] = []
    for keep in (
        Keep(tagged=True),
        Keep(last, tagged=True),
        Keep(last, days, tagged=True),
        Keep(last, days, True, (Best("auc", count, smallest),)),
    ):
        registry.set_policy(keep)
        gone.append(set(expired(registry)))
    assert gone == sorted(gone, key=len, reverse=True)
    assert all(later <= earlier for earlier, later in pairwise(gone))
    assert 5 not in set.union(*gone)
