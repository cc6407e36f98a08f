"""An exhaustive model of the protocol of docs/design/011-collection.md: every state that committers, collectors and a retirement reach.

Two logs, one old pack P alive in log 0, committers that name P (as their own parent's, or from elsewhere) or a pack of their own,
collectors that condemn, fence, mark again, decide, delete and finish. Every request is a step of its own, anybody may stop for ever
between two. No step knows a time. `explore` walks all of it and says whether a version that is alive ever lacks its pack; the
weakenings leave out one rule each, and each of them must be found.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

P = "P"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Weakening:
    """Which rule is left out. None of them: the protocol as it is."""

    no_fence: bool = False
    one_log_unfenced: bool = False
    no_second_mark: bool = False
    no_check_after_losing: bool = False
    no_check_at_the_beginning: bool = False
    lists_before_head: bool = False
    own_packs_unchecked: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """`pack` is what a version needs, None for another entry; `retires` all versions before it; every entry carries on what its log knows."""

    pack: str | None
    retires: bool
    seen: int
    settled: int


@dataclass(frozen=True, slots=True)
class Committer:
    """`at` is the next step; `head` the last head that was read, by its number, with what it told; `lists` what is known to be threatened."""

    at: str = "begin"
    log: int = 0
    pack: str | None = None
    head: int = 0
    seen: int = 0
    settled: int = 0
    lists: frozenset[str] = frozenset()
    own: int = 0


@dataclass(frozen=True, slots=True)
class Collector:
    """`fences` are the heads that it marks up to in its second mark."""

    at: str = "mark"
    epoch: int = 0
    condemned: frozenset[str] = frozenset()
    fences: tuple[int, ...] = ()
    doomed: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Epoch:
    condemned: frozenset[str]
    doomed: frozenset[str] | None = None
    done: bool = False

    @property
    def threatens(self) -> frozenset[str]:
        return self.condemned if self.doomed is None else self.doomed


@dataclass(frozen=True, slots=True)
class State:
    logs: tuple[tuple[Entry, ...], ...]
    packs: frozenset[str]
    epochs: tuple[Epoch, ...]
    committers: tuple[Committer, ...]
    collectors: tuple[Collector, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`dangling` is a state in which a version lacks its pack, None if there is none."""

    states: int
    dangling: State | None


def explore(*, committers: int, collectors: int, weakening: Weakening = Weakening(), entries: int = 6) -> Outcome:  # noqa: B008 - frozen
    """Every state, breadth first, with at most so many entries in a log."""
    first = State(((Entry(P, False, 0, 0),), ()), frozenset({P}), (), (Committer(),) * committers, (Collector(),) * collectors)
    seen, waiting = {first}, deque([first])
    while waiting:
        state = waiting.popleft()
        if any(not alive(log) <= state.packs for log in state.logs):
            return Outcome(len(seen), state)
        for following in _steps(state, weakening, entries):
            if following not in seen:
                seen.add(following)
                waiting.append(following)
    return Outcome(len(seen), None)


def alive(log: tuple[Entry, ...]) -> frozenset[str]:
    """The packs that the versions of a log need which are not retired."""
    found: set[str] = set()
    for entry in log:
        if entry.retires:
            found.clear()
        elif entry.pack:
            found.add(entry.pack)
    return frozenset(found)


def _steps(state: State, weak: Weakening, entries: int) -> Iterator[State]:
    log = state.logs[0]
    if len(log) < entries and not any(entry.retires for entry in log):
        yield _append(state, 0, Entry(None, True, log[-1].seen, log[-1].settled))
    for number, committer in enumerate(state.committers):
        for changed, after in _commit(state, committer, f"own{number}", weak, entries):
            yield replace(changed, committers=_put(state.committers, number, after))
    for number, collector in enumerate(state.collectors):
        for changed, after in _collect(state, collector, weak, entries):
            yield replace(changed, collectors=_put(state.collectors, number, after))


def _commit(state: State, me: Committer, name: str, weak: Weakening, entries: int) -> Iterator[tuple[State, Committer]]:
    log = state.logs[me.log]
    match me.at:
        case "begin":
            for number, chosen in enumerate(state.logs):
                seen, settled = (chosen[-1].seen, chosen[-1].settled) if chosen else (0, 0)
                if weak.lists_before_head:
                    yield state, Committer("read head", number, lists=_threatened(state, settled, len(state.epochs)))
                else:
                    yield state, Committer("choose", number, head=len(chosen), seen=seen, settled=settled)
        case "read head":
            seen, settled = (log[-1].seen, log[-1].settled) if log else (0, 0)
            yield state, replace(me, at="choose", head=len(log), seen=seen, settled=settled)
        case "choose":
            if P in alive(log[: me.head]):
                yield state, replace(me, at="append", pack=P)  # its parent's: no list is asked
            if P in state.packs:
                yield state, replace(me, at="ask", pack=P)
            fresh = f"{name}.0"
            yield replace(state, packs=state.packs | {fresh}), replace(me, at="append", pack=fresh)
        case "ask":  # P was there a moment ago; is it threatened?
            lists = me.lists if weak.lists_before_head else _threatened(state, me.settled, me.seen)
            if weak.no_check_at_the_beginning or P not in lists:
                yield state, replace(me, at="append")
        case "append":
            if len(log) == me.head:
                if len(log) < entries:
                    yield _append(state, me.log, Entry(me.pack, False, me.seen, me.settled)), replace(me, at="end", pack=None)
            else:
                yield state, replace(me, at="lost", head=len(log))
        case "lost":
            head = log[me.head - 1]
            if head.seen <= me.seen or weak.no_check_after_losing:
                yield state, replace(me, at="append", seen=max(head.seen, me.seen), settled=head.settled)
                return
            lists = _threatened(state, me.seen, head.seen)
            me = replace(me, at="append", seen=head.seen, settled=head.settled)
            if me.pack not in lists or (weak.own_packs_unchecked and me.pack != P):
                yield state, me
            elif me.own < 2:  # noqa: PLR2004 - twice is as often as it can happen with two collectors
                fresh = f"{name}.{me.own + 1}"
                yield replace(state, packs=state.packs | {fresh}), replace(me, pack=fresh, own=me.own + 1)


def _collect(state: State, me: Collector, weak: Weakening, entries: int) -> Iterator[tuple[State, Collector]]:
    match me.at:
        case "mark":
            live = frozenset[str]().union(*map(alive, state.logs))
            if garbage := state.packs - live - _taken(state):
                yield state, replace(me, at="condemn", condemned=garbage)
        case "condemn":
            yield (
                replace(state, epochs=(*state.epochs, Epoch(me.condemned))),
                replace(me, at="fence", epoch=len(state.epochs) + 1),
            )
        case "fence":
            number = len(me.fences)
            log = state.logs[number]
            knows = bool(log) and log[-1].seen >= me.epoch
            if weak.no_fence or (weak.one_log_unfenced and number == 1) or knows:
                yield state, _fenced(state, me, len(log))
            elif len(log) < entries:
                settled = max(log[-1].settled if log else 0, _settled(state))
                changed = _append(state, number, Entry(None, False, me.epoch, settled))
                yield changed, _fenced(state, me, len(log) + 1)
        case "mark again":
            live = frozenset[str]().union(*(alive(log[:end]) for log, end in zip(state.logs, me.fences, strict=True)))
            yield state, replace(me, at="decide", doomed=me.condemned if weak.no_second_mark else me.condemned - live)
        case "decide":
            yield _epoch(state, me.epoch, doomed=me.doomed), replace(me, at="delete")
        case "delete":
            left = (me.doomed or frozenset()) & state.packs
            for pack in left:
                yield replace(state, packs=state.packs - {pack}), me
            if not left:
                yield _epoch(state, me.epoch, done=True), replace(me, at="end")


def _fenced(state: State, me: Collector, head: int) -> Collector:
    fences = (*me.fences, head)
    return replace(me, at="mark again" if len(fences) == len(state.logs) else "fence", fences=fences)


def _threatened(state: State, after: int, upto: int) -> frozenset[str]:
    """What the collections after one, up to another, threaten by now."""
    return frozenset[str]().union(*(epoch.threatens for epoch in state.epochs[after:upto]))


def _taken(state: State) -> frozenset[str]:
    return frozenset[str]().union(*(epoch.threatens for epoch in state.epochs if not epoch.done))


def _settled(state: State) -> int:
    settled = 0
    for epoch in state.epochs:
        if not epoch.done:
            break
        settled += 1
    return settled


def _epoch(state: State, number: int, **fields: object) -> State:
    return replace(state, epochs=_put(state.epochs, number - 1, replace(state.epochs[number - 1], **fields)))  # type: ignore[arg-type]


def _append(state: State, number: int, entry: Entry) -> State:
    return replace(state, logs=_put(state.logs, number, (*state.logs[number], entry)))


def _put(items: tuple[T, ...], number: int, item: T) -> tuple[T, ...]:
    return (*items[:number], item, *items[number + 1 :])
