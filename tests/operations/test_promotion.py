"""Promotions, rollbacks and stages."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import ConflictError, InvalidInputError, NotFoundError, RuleError
from cas_registry.model.entry import RefKind
from cas_registry.model.ids import CommitId
from cas_registry.model.rules import TagRule
from cas_registry.operations.promotion import _path
from cas_registry.operations.stages import order_stages
from cas_registry.registry import Model, Move, Registry, registry_over
from cas_registry.store.layout import entry_key
from tests.support.folders import File, write_folder
from tests.support.simulated import HookedBackend, make_registry, make_world


@dataclass
class Bench:
    work: Path
    store: MemoryBackend

    def registry(self, who: str = "ana@lab") -> Registry:
        return registry_over(self.store, make_world(author=who))

    def as_(self, who: str) -> Model:
        return self.registry(who).model("m")

    @property
    def model(self) -> Model:
        return self.as_("ana@lab")

    def meanwhile(self, n: int, action: Callable[[], object]) -> Model:
        """The model through a store in which somebody else acts right before entry `n` is written."""
        left = [action]

        def hook(method: str, key: str) -> None:
            if method == "create" and key == entry_key("m", n) and left:
                left.pop()()

        return registry_over(HookedBackend(self.store, hook), make_world(author="slow@lab")).model("m")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """v1, v2, v3; prod went from one to the next: entries 4, 5, 6."""
    found = Bench(tmp_path / "work", MemoryBackend("promotion"))
    make_registry(found.store)
    for number in (1, 2, 3):
        write_folder(found.work, {"c.json": File(str(number).encode())})
        found.model.commit(found.work, metrics={"auc": 0.9 + number / 100})
    for number in (1, 2, 3):
        found.model.promote(f"v{number}", "prod", reason=f"better than v{number - 1}")
    return found


def _stands(bench: Bench, tag: str = "prod") -> int:
    return bench.model.resolve(tag).number


# Promote


def test_a_promotion_is_a_move_that_says_why(bench: Bench) -> None:
    report = bench.as_("bob@lab").promote("v1", "prod", reason="the others are broken", expect="v3")
    assert (report.moved, report.kind, report.name) == (True, RefKind.TAG, "prod")
    newest, before, *_ = bench.model.history(RefKind.TAG, "prod")
    assert (newest.number, newest.previous_number, newest.who, newest.why) == (1, 3, "bob@lab", "the others are broken")
    assert (before.number, before.previous_number) == (3, 2)
    with pytest.raises(ConflictError, match="not at the expected"):
        bench.model.promote("v2", "prod", reason="again", expect="v3")
    with pytest.raises(InvalidInputError, match="says why"):
        bench.model.promote("v2", "prod", reason=" ")


def test_an_assessment_tells_each_demand_and_moves_nothing(bench: Bench) -> None:
    bench.registry().protect("prod", TagRule(who=("*@lab",), approvals=1, when="metrics.auc > prod", after=("staging",)))
    found = bench.model.assess("v2", "prod")
    assert [(verdict.asked, verdict.passed) for verdict in found.verdicts] == [
        ("a move by *@lab", True),
        ("1 approval", False),
        ("metrics.auc > prod", False),
        ("a version that stood at 'staging' before", False),
    ]
    assert (found.passed, found.number, found.tag, found.previous) == (False, 2, "prod", bench.model.resolve("v3").commit)
    assert all(verdict.remedy for verdict in found.verdicts if not verdict.passed)
    assert _stands(bench) == 3
    free = bench.model.assess("v2", "dev")
    assert (free.passed, free.verdicts, free.previous) == (True, (), None)


def test_an_approval_that_arrives_while_somebody_promotes_is_counted(bench: Bench) -> None:
    bench.registry().protect("prod", TagRule(approvals=1))
    bench.as_("bob@lab").approve("v1", "prod")
    slow = bench.meanwhile(8, lambda: bench.as_("cy@lab").approve("v2", "prod"))
    assert slow.promote("v1", "prod", reason="approved").moved
    assert bench.model.promote("v2", "prod", reason="approved meanwhile").moved


def test_of_two_promoters_at_once_one_wins_and_the_other_follows(bench: Bench) -> None:
    slow = bench.meanwhile(7, lambda: bench.as_("bob@lab").promote("v2", "prod", reason="bob"))
    assert slow.promote("v1", "prod", reason="slow").moved
    assert [move.why for move in bench.model.history(RefKind.TAG, "prod")][:2] == ["slow", "bob"]
    slow = bench.meanwhile(9, lambda: bench.as_("bob@lab").promote("v3", "prod", reason="bob"))
    with pytest.raises(ConflictError, match="not at the expected"):
        slow.promote("v2", "prod", reason="slow", expect="prod")
    assert _stands(bench) == 3


def test_many_at_once_never_put_a_worse_one_there(bench: Bench) -> None:
    bench.model.promote("v1", "prod", reason="start low")
    for number in range(4, 10):
        write_folder(bench.work, {"c.json": File(str(number).encode())})
        bench.model.commit(bench.work, metrics={"auc": 0.9 + (number * 7 % 11) / 100})
    bench.registry().protect("prod", TagRule(when="metrics.auc > prod"))

    def promote(number: int) -> bool:
        try:
            return bench.as_(f"{number}@lab").promote(f"v{number}", "prod", reason="mine").moved
        except RuleError:
            return False

    with ThreadPoolExecutor(8) as pool:
        moved = list(pool.map(promote, range(2, 10)))
    auc = {number: bench.model.show(f"v{number}").commit.metrics["auc"] for number in range(1, 10)}
    stops = [auc[move.number] for move in bench.model.history(RefKind.TAG, "prod")[: sum(moved) + 1] if move.number]
    assert stops == sorted(set(stops), reverse=True)
    assert stops[0] == max(auc.values())


# Rollback


def test_rolling_back_goes_where_it_stood_before_and_twice_goes_further(bench: Bench) -> None:
    report = bench.model.rollback("prod", reason="p99 doubled")
    assert (report.moved, _stands(bench)) == (True, 2)
    bench.model.rollback("prod", reason="this one too")
    assert _stands(bench) == 1
    with pytest.raises(NotFoundError, match="reg tag --history prod"):
        bench.model.rollback("prod", reason="and this")
    bench.model.promote("v3", "prod", reason="fixed the balancer")
    bench.model.rollback("prod", reason="not it")
    assert _stands(bench) == 1
    assert [move.why for move in bench.model.history(RefKind.TAG, "prod")][:2] == ["not it", "fixed the balancer"]


def test_rolling_back_several_steps_or_to_a_version(bench: Bench) -> None:
    bench.model.rollback("prod", reason="far", steps=2)
    assert _stands(bench) == 1
    bench.model.rollback("prod", reason="forth", to="v3")
    assert _stands(bench) == 3
    bench.model.commit(write_folder(bench.work, {"c.json": File(b"4")}))
    with pytest.raises(NotFoundError, match="never stood at"):
        bench.model.rollback("prod", reason="x", to="v4")
    with pytest.raises(InvalidInputError, match="one step"):
        bench.model.rollback("prod", reason="x", steps=0)
    with pytest.raises(InvalidInputError, match="says why"):
        bench.model.rollback("prod", reason="")
    with pytest.raises(NotFoundError, match="never existed"):
        bench.model.rollback("nope", reason="x")
    assert _stands(bench) == 3


def test_a_deleted_tag_comes_back_where_it_stood(bench: Bench) -> None:
    bench.model.delete_tag("prod")
    bench.model.rollback("prod", reason="it was needed")
    assert _stands(bench) == 3
    bench.model.delete_tag("prod")
    bench.model.rollback("prod", reason="two", steps=2)
    assert _stands(bench) == 2


def test_a_rollback_does_not_move_a_tag_that_moved_meanwhile(bench: Bench) -> None:
    slow = bench.meanwhile(7, lambda: bench.as_("bob@lab").promote("v1", "prod", reason="faster"))
    with pytest.raises(ConflictError, match="moved meanwhile"):
        slow.rollback("prod", reason="slow")
    assert _stands(bench) == 1
    bench.model.promote("v2", "prod", reason="again")
    slow = bench.meanwhile(9, lambda: bench.as_("bob@lab").note("main", "of something else"))
    assert slow.rollback("prod", reason="nobody moved it").moved
    assert _stands(bench) == 1


def test_a_rollback_to_where_it_was_put_back_meanwhile_is_noticed_too(bench: Bench) -> None:
    """Away and back: it stands where it stood, and was moved all the same."""

    def away_and_back() -> None:
        bench.as_("bob@lab").promote("v1", "prod", reason="away")
        bench.as_("bob@lab").promote("v3", "prod", reason="back")

    with pytest.raises(ConflictError, match="moved meanwhile, by entry 8"):
        bench.meanwhile(7, away_and_back).rollback("prod", reason="slow")


def test_a_retired_version_is_not_rolled_back_to(bench: Bench) -> None:
    second = bench.model.resolve("v2").commit
    bench.model.retire("v2", reason="leaked labels")
    with pytest.raises(NotFoundError, match=rf"v2 \({second.short}\).*retired.*reg retire --undo {second.short}.*--to REV"):
        bench.model.rollback("prod", reason="x")
    bench.model.rollback("prod", reason="x", steps=2)
    assert _stands(bench) == 1


def test_of_the_rules_a_rollback_asks_who_alone(bench: Bench) -> None:
    bench.registry().protect("prod", TagRule(who=("*@ops",), approvals=2, when="metrics.auc > 1"))
    with pytest.raises(RuleError, match=r"a move by \*@ops"):
        bench.model.rollback("prod", reason="x")
    assert bench.as_("eve@ops").rollback("prod", reason="outage").moved
    with pytest.raises(RuleError, match="2 approvals"):
        bench.as_("eve@ops").promote("v1", "prod", reason="x")


@given(st.lists(st.none() | st.integers(1, 4), max_size=12))
def test_the_way_to_where_a_tag_stands_has_no_version_twice_and_ends_there(stops: list[int | None]) -> None:
    ids = {number: CommitId.of(bytes([number])) for number in range(1, 5)}
    moves = [
        Move(n, RefKind.TAG, "t", ids[stop] if stop else None, None, 0, "", "", stop) for n, stop in enumerate(stops, start=1)
    ]
    path = _path(moves[::-1])
    assert len(set(path)) == len(path)
    standing = [stop for stop in stops if stop]
    assert [number for _, number in path][-1:] == standing[-1:]
    assert [number for _, number in path][:1] == standing[:1]


# Stages


def test_stages_are_rules_and_the_one_in_use_asks_for_the_one_before(bench: Bench) -> None:
    registry = bench.registry()
    registry.protect("prod", TagRule(approvals=1))
    registry.set_stages(["dev", "staging", "prod", "archived"])
    assert registry.rules() == {
        "*": {"dev": TagRule(), "staging": TagRule(), "prod": TagRule(approvals=1, after=("staging",)), "archived": TagRule()}
    }
    assert registry._stores.catalogue.head().entry.why == "stages dev, staging, prod, archived"
    before = registry._stores.catalogue.head().n
    registry.set_stages(["dev", "staging", "prod"], model="m", strict=True)
    assert registry._stores.catalogue.head().n == before + 1
    assert registry.rules()["m"] == {"dev": TagRule(), "staging": TagRule(after=("dev",)), "prod": TagRule(after=("staging",))}
    with pytest.raises(InvalidInputError, match="twice"):
        registry.set_stages(["dev", "dev"])


def test_a_stage_without_demands_is_free(bench: Bench) -> None:
    bench.registry().set_stages(["dev", "staging", "prod"])
    bench.model.tag("dev", "v1")
    assert bench.model.delete_tag("dev").moved
    with pytest.raises(RuleError):
        bench.model.promote("v1", "prod", reason="x")


def test_the_board_shows_what_stands_where_since_when(bench: Bench) -> None:
    registry = bench.registry()
    other = bench.registry("bob@lab").model("other")
    other.commit(bench.work, tags=["dev"])
    board = registry.stages()
    assert board.stages == ("dev", "staging", "prod", "archived")
    assert [(standing.stage, standing.number, standing.who, standing.why) for standing in board.models["m"]] == [
        ("prod", 3, "ana@lab", "better than v2")
    ]
    assert board.models["m"][0].since_ms == bench.model.history(RefKind.TAG, "prod")[0].time_ms
    assert [standing.stage for standing in board.models["other"]] == ["dev"]
    registry.set_stages(["canary", "prod"], model="m")
    assert registry.stages("m").stages == ("canary", "prod")
    with pytest.raises(NotFoundError, match="no model 'nobody'"):
        registry.stages("nobody")


def test_stages_come_behind_those_that_they_come_after() -> None:
    chain = {"b": TagRule(after=("a",)), "a": TagRule(after=("z",)), "env/*": TagRule(after=("b",))}
    assert order_stages([chain]) == ("z", "a", "b")
    assert order_stages([]) == ("dev", "staging", "prod", "archived")
    assert set(order_stages([{"a": TagRule(after=("b",)), "b": TagRule(after=("a",))}])) == {"a", "b"}
