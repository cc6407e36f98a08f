"""Bisection: which version was the first to be bad, found in about log2 tests, over histories that branch and merge.

What is left to look at are the versions behind the bad one, itself included, that are behind no good one. The one to test next is that
which halves them whatever it turns out to be. It must not know how versions are tested.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from graphlib import TopologicalSorter
from itertools import count
from typing import Generic, TypeVar

from cas_registry.errors import InvalidInputError
from cas_registry.model.ids import CommitId
from cas_registry.operations.history import LogRecord, walk_history
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores

T = TypeVar("T", bound=Hashable)
_GOLDEN = 0.6180339887498949  # multiples of it, modulo 1, are spread evenly however many there are
_TOWARDS_BEST = 1.5  # an exponent above 1 leans to those that halve best


class Judgement(StrEnum):
    """What a test says of a version; SKIP where it cannot tell."""

    GOOD = "good"
    BAD = "bad"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class BisectStep:
    """One test: of which version, what it said, and how many versions were left to look at before it."""

    record: LogRecord
    judgement: Judgement
    left: int


@dataclass(frozen=True, slots=True)
class BisectReport:
    """The first bad version, or (`first_bad` is None) the `suspects` among which it is, where those between could not be tested."""

    bad: CommitId
    goods: tuple[CommitId, ...]
    first_bad: LogRecord | None
    suspects: tuple[LogRecord, ...]
    steps: tuple[BisectStep, ...]


@dataclass(frozen=True, slots=True)
class BisectNext:
    """What to test next; None where nothing more can be told, and the first bad version is the one of those `left`, or among them."""

    following: LogRecord | None
    left: tuple[LogRecord, ...]


@dataclass(frozen=True, slots=True)
class Choice(Generic[T]):
    """What to test next, None where nothing more can be told, and what is left to look at."""

    following: T | None
    left: tuple[T, ...]


Judge = Callable[[LogRecord, int, int], Judgement]
"""Tests a version; told the number of the test and how many versions are left."""


def choose(
    parents: Mapping[T, Sequence[T]], bad: T, goods: Collection[T], skipped: AbstractSet[T], *, avoided: int = 0
) -> Choice[T]:
    """The version to test next: of those left, the one with about half of them behind it.

    `parents` has at least every version that is left. Those in `skipped` cannot be tested. Where `avoided` of them turned out so, what follows lies away from them: next
    to one that cannot be tested lie others.
    """
    before_bad, before_good = _behind(parents, [bad]), _behind(parents, goods)
    left = before_bad - before_good
    weights = _weights(parents, left)
    worth = {commit: min(weight, len(left) - weight) for commit, weight in weights.items() if commit != bad}
    ranked = sorted((commit for commit in worth if commit not in skipped), key=lambda commit: -worth[commit])
    if not ranked:
        return Choice(None, tuple(weights))
    spread = (avoided * _GOLDEN) % 1
    return Choice(ranked[int(len(ranked) * spread**_TOWARDS_BEST)], tuple(weights))


def merge_bases(parents: Mapping[T, Sequence[T]], bad: T, goods: Collection[T]) -> list[T]:
    """The last versions that are behind the bad one and a good one, the good ones left out. `parents` has the whole history of both."""
    before_bad, before_good = _behind(parents, [bad]), _behind(parents, goods)
    common = before_bad & before_good
    below = _behind(parents, {parent for commit in common for parent in parents[commit]})
    return [commit for commit in parents if commit in common and commit not in below and commit not in goods]


def find_first_bad(
    stores: Stores, bad: Version, goods: Sequence[Version], judge: Judge, *, first_parent: bool = False,
    on_step: Callable[[BisectStep], None] = lambda _: None,
) -> BisectReport:  # fmt: skip
    """Test versions between the good ones and the bad one until the first bad one is known; `on_step` hears of each test.

    Where a good one is not behind the bad one, the versions from which both came are tested first: they must be good. Retired
    versions cannot be tested. With `first_parent` only first parents are followed, so that a merge stands for all that it brought.
    InvalidInputError where the ends do not fit each other.
    """
    graph = read_between(stores, bad, goods, first_parent=first_parent)
    marks = _Marks(bad.commit, [good.commit for good in goods])
    marks.skipped |= {commit for commit, record in graph.records.items() if record.retired}
    steps: list[BisectStep] = []
    numbers = count(1)

    def test(commit: CommitId, left: int) -> Judgement:
        record = graph.records[commit]
        step = BisectStep(record, judge(record, next(numbers), left), left)
        steps.append(step)
        on_step(step)
        return step.judgement

    for base in graph.bases:
        if base in marks.skipped:
            continue
        judgement = test(base, len(choose(graph.parents, marks.bad, marks.goods, marks.skipped).left))
        if judgement is Judgement.BAD:
            raise InvalidInputError(
                f"version {graph.records[base].number} ({base.short}), from which both ends came, is bad as well: something was mended on "
                "the way to the good one, nothing broken on the way to the bad one",
                commit=base.hex,
            )
        marks.note(base, judgement)
    while True:
        choice = choose(graph.parents, marks.bad, marks.goods, marks.skipped, avoided=marks.avoided)
        if choice.following is None:
            break
        marks.note(choice.following, test(choice.following, len(choice.left)))
    suspects = tuple(graph.records[commit] for commit in graph.parents if commit in set(choice.left))
    first_bad = suspects[0] if len(suspects) == 1 else None
    return BisectReport(bad.commit, tuple(good.commit for good in goods), first_bad, suspects, tuple(steps))


def find_next(
    stores: Stores, bad: Version, goods: Sequence[Version], skipped: Collection[CommitId], *, first_parent: bool = False
) -> BisectNext:
    """One step of what `find_first_bad` does, for a test that somebody else makes. Raises as it does."""
    graph = read_between(stores, bad, goods, first_parent=first_parent)
    untold = {commit for commit, record in graph.records.items() if record.retired or commit in skipped}
    good_ids = [good.commit for good in goods]
    choice = choose(graph.parents, bad.commit, good_ids, untold, avoided=len(skipped))
    following = next((base for base in graph.bases if base not in untold), choice.following)
    left = set(choice.left)
    return BisectNext(
        graph.records[following] if following else None,
        tuple(graph.records[commit] for commit in graph.parents if commit in left),
    )


@dataclass(frozen=True, slots=True)
class Between:
    """The history between ends, newest first: the records, their parents, and what has to be good before anything can be told."""

    records: Mapping[CommitId, LogRecord]
    parents: Mapping[CommitId, Sequence[CommitId]]
    bases: tuple[CommitId, ...]


def read_between(stores: Stores, bad: Version, goods: Sequence[Version], *, first_parent: bool = False) -> Between:
    """Read history down to where everything is behind a good version. Memory grows with the versions read."""
    if not goods:
        raise InvalidInputError("name a good version and a bad one")
    if bad.commit in {good.commit for good in goods}:
        raise InvalidInputError(f"{bad.commit.short} cannot be both good and bad", commit=bad.commit.hex)
    good_ids = [good.commit for good in goods]
    walk = walk_history(stores, bad, *goods)
    records: dict[CommitId, LogRecord] = {}
    parents: dict[CommitId, Sequence[CommitId]] = {}
    behind_bad, behind_good = {bad.commit}, set(good_ids)
    waiting = {bad.commit, *good_ids}
    logs: set[str] = set()
    # A log tells of a version before those behind it; where there are several, nothing is sure before the end.
    while waiting and (len(logs) > 1 or not waiting <= behind_good):
        record = next(walk)
        logs.add(record.commit.log)
        followed = record.commit.parents[:1] if first_parent else record.commit.parents
        records[record.id], parents[record.id] = record, followed
        waiting.discard(record.id)
        waiting |= {parent for parent in followed if parent not in records}
        for reached in (behind_bad, behind_good):
            if record.id in reached:
                _spread(parents, reached, followed)
    if bad.commit in behind_good:
        raise InvalidInputError(
            f"the bad version {bad.commit.short} is behind a good one; the first to be bad can only come after one that is good. "
            "Are they the wrong way round?",
            commit=bad.commit.hex,
        )
    bases: list[CommitId] = []
    if not behind_bad.issuperset(good_ids):
        for record in walk:
            records[record.id] = record
            parents[record.id] = record.commit.parents[:1] if first_parent else record.commit.parents
        before_bad, before_good = _behind(parents, [bad.commit]), _behind(parents, good_ids)
        if before_bad.isdisjoint(before_good):
            raise InvalidInputError("the good and the bad version have no history in common")
        bases = merge_bases(parents, bad.commit, good_ids)
    return Between(records, parents, tuple(bases))


@dataclass(slots=True)
class _Marks:
    """What is known so far."""

    bad: CommitId
    goods: list[CommitId]
    skipped: set[CommitId] = field(default_factory=set)
    avoided: int = 0

    def note(self, commit: CommitId, judgement: Judgement) -> None:
        match judgement:
            case Judgement.GOOD:
                self.goods.append(commit)
            case Judgement.BAD:
                self.bad = commit
            case Judgement.SKIP:
                self.skipped.add(commit)
                self.avoided += 1


def _behind(parents: Mapping[T, Sequence[T]], starts: Iterable[T]) -> set[T]:
    """These and everything behind them."""
    reached = set(starts)
    _spread(parents, reached, [parent for start in reached for parent in parents.get(start, ())])
    return reached


def _spread(parents: Mapping[T, Sequence[T]], reached: set[T], further: Iterable[T]) -> None:
    """Reach these as well, and everything behind them."""
    waiting = list(further)
    while waiting:
        commit = waiting.pop()
        if commit not in reached:
            reached.add(commit)
            waiting += parents.get(commit, ())


def _weights(parents: Mapping[T, Sequence[T]], left: AbstractSet[T]) -> dict[T, int]:
    """How many of those left are behind each, itself included; parents come first.

    One more than its parent has, as long as there is one; behind a merge they are counted, as histories may share what comes before.
    """
    inside = {
        commit: [parent for parent in dict.fromkeys(behind) if parent in left]
        for commit, behind in parents.items()
        if commit in left
    }
    weights: dict[T, int] = {}
    for commit in TopologicalSorter(inside).static_order():
        behind = inside[commit]
        weights[commit] = weights[behind[0]] + 1 if len(behind) == 1 else len(_behind(inside, [commit]))
    return weights
