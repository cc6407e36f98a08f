"""Which chunks of a lineage are stored whole, and which of those each other one is a delta to.

A lineage is the same piece of the same tensor through the versions of a model: chunks that resemble each other, in the order in which
they came. A commit knows the past alone; here all versions are known, so a base may lie later than its deltas. A window of versions is
looked at together: a few of its chunks, evenly spread, are tried as bases, what every other chunk takes as a delta to each is
encoded to be known, and of all choices among them the smallest is taken (docs/design/006-repack.md). It must not know where chunks lie.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from cas_registry.codecs import Base, Buffer, encode_delta, encode_whole
from cas_registry.model.maps import Located
from cas_registry.model.placement import Codec
from cas_registry.model.tensors import ElementType

WINDOW_CHUNKS = 8  # versions looked at together
WINDOW_RAW_BYTES = 32 * 1024 * 1024  # and their bytes in memory
CANDIDATES = 3  # tried as bases in a window; every one costs an encoding of the whole window
WORTH_CHANGING = 0.99  # a window that would become less than 1 % smaller stays as it is

Fetch = Callable[[Sequence[Located]], Sequence[Buffer]]


@dataclass(frozen=True, slots=True)
class Member:
    """A chunk of a lineage, under its number in the ledger, as it is stored now; `base` is the number of what it is a delta to.

    One that is `fixed` belongs to no version at hand: it is the base of some, and stays as it is.
    """

    number: int
    located: Located
    base: int | None
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """How a chunk is to be stored: whole, or as a delta to the chunk of number `base`. `kept`: as it is now."""

    number: int
    base: int | None
    stored_bytes: int
    kept: bool
    age: int = 0
    spent: int = 0


@dataclass(slots=True)
class _Line:
    """What the windows so far have settled: chunks stored whole, the last of them, and what the deltas to each base took."""

    wholes: set[int] = field(default_factory=set)
    carried: Member | None = None
    spent: dict[int, tuple[int, int]] = field(default_factory=dict)


def plan_lineage(members: Sequence[Member], fetch: Fetch) -> list[Form]:
    """The form of every member that is not fixed. `fetch` gives the bytes of chunks; those of one window are held at a time."""
    line = _Line()
    for member in members:
        if member.fixed:
            line.wholes.add(member.number)
            line.carried = member
            line.spent[member.number] = (0, member.located.placement.stored_bytes)
    forms: list[Form] = []
    for window in _windows([member for member in members if not member.fixed]):
        forms += _plan_window(window, line, fetch)
    return forms


def _windows(members: Sequence[Member]) -> Iterator[list[Member]]:
    window: list[Member] = []
    raw_bytes = 0
    for member in members:
        raw_bytes += member.located.placement.raw_bytes
        if window and (len(window) == WINDOW_CHUNKS or raw_bytes > WINDOW_RAW_BYTES):
            yield window
            window, raw_bytes = [], member.located.placement.raw_bytes
        window.append(member)
    if window:
        yield window


def _plan_window(window: Sequence[Member], line: _Line, fetch: Fetch) -> list[Form]:
    present = _present_bytes(window, line.wholes)
    if len(window) == 1 and line.carried is None and present is not None:
        return _settle(window, {}, {window[0].number: window[0].located.placement.stored_bytes}, line, kept=True)
    around = [line.carried, *window] if line.carried else list(window)
    free = 1 if line.carried else 0
    sizes = _Sizes(around, fetch([member.located for member in around]), free)
    chosen, total = _choose(sizes, free)
    if present is not None and total >= present * WORTH_CHANGING:
        stored = {member.number: member.located.placement.stored_bytes for member in window}
        return _settle(window, {member.number: member.base for member in window}, stored, line, kept=True)
    bases: dict[int, int | None] = {}
    stored = {}
    for place in range(free, len(around)):
        base, length = sizes.best(place, chosen)
        bases[around[place].number] = None if base is None else around[base].number
        stored[around[place].number] = length
    return _settle(window, bases, stored, line, kept=False)


def _present_bytes(window: Sequence[Member], wholes: set[int]) -> int | None:
    """What the window takes as it is; None where it cannot stay so, for a base is a delta itself from now on."""
    there = wholes | {member.number for member in window if member.base is None}
    if any(member.base is not None and member.base not in there for member in window):
        return None
    return sum(member.located.placement.stored_bytes for member in window)


class _Sizes:
    """What each chunk of a window takes, whole or as a delta to each candidate; encoded, unless it is stored so already."""

    def __init__(self, members: Sequence[Member], data: Sequence[Buffer], free: int) -> None:
        self._members = members
        self._data = data
        self.whole = [self._whole(place) for place in range(len(members))]
        self.candidates = self._spread(free)
        self.deltas = {
            base: [None if place == base else self._delta(place, base) for place in range(len(members))]
            for base in self.candidates
        }

    def best(self, place: int, bases: Sequence[int]) -> tuple[int | None, int]:
        """The smallest form of a chunk, given which ones are stored whole: its base, if any, and its size."""
        whole = self.whole[place]
        if place in bases:
            return None, whole
        lengths = [(length, base) for base in bases if (length := self.deltas[base][place]) is not None]
        length, base = min(lengths, default=(whole, -1))
        return (base, length) if length < whole else (None, whole)

    def _spread(self, free: int) -> list[int]:
        """What is there already, and a few of each element type, evenly spaced."""
        by_element: dict[ElementType, list[int]] = {}
        for place in range(free, len(self._members)):
            by_element.setdefault(self._members[place].located.placement.element, []).append(place)
        found = set(range(free))
        for places in by_element.values():
            count = min(max(2, CANDIDATES // len(by_element)), len(places))
            found |= {places[(2 * number + 1) * len(places) // (2 * count)] for number in range(count)}
        return sorted(found)

    def _whole(self, place: int) -> int:
        placement = self._members[place].located.placement
        if placement.codec is not Codec.DELTA:
            return placement.stored_bytes
        return len(encode_whole(self._data[place], placement.element)[1])

    def _delta(self, place: int, base: int) -> int | None:
        member, under = self._members[place], self._members[base]
        if member.base == under.number:
            return member.located.placement.stored_bytes
        form = encode_delta(
            self._data[place], member.located.placement.element, Base(self._data[base], under.located.placement.element)
        )
        return None if form is None else len(form)


def _choose(sizes: _Sizes, free: int) -> tuple[tuple[int, ...], int]:
    """The candidates to store whole, and the bytes that the window then takes. The first `free` chunk costs nothing: it is there."""
    given = tuple(range(free))
    others = [candidate for candidate in sizes.candidates if candidate >= free]
    best: tuple[tuple[int, ...], int] | None = None
    for count in range(len(others) + 1):
        for picked in combinations(others, count):
            chosen = (*given, *picked)
            total = sum(sizes.best(place, chosen)[1] for place in range(free, len(sizes.whole)))
            if best is None or total < best[1]:
                best = (chosen, total)
    assert best is not None  # noqa: S101 - the choice of none is one
    return best


def _settle(
    window: Sequence[Member], bases: dict[int, int | None], stored: dict[int, int], line: _Line, *, kept: bool
) -> list[Form]:
    """The forms, with the notes that the next commit's rule goes by; what is whole may carry deltas of later windows."""
    forms: list[Form] = []
    for member in window:
        if bases.get(member.number) is None:
            line.wholes.add(member.number)
            line.spent[member.number] = (0, stored[member.number])
    used = {base for base in bases.values() if base is not None}
    for member in window:
        base, length = bases.get(member.number), stored[member.number]
        if base is None:
            forms.append(Form(member.number, None, length, kept or member.base is None))
            if line.carried is None or member.number in used or not used:
                line.carried = member
            continue
        age, spent = line.spent.get(base, (0, 0))
        line.spent[base] = (age + 1, spent + length)
        forms.append(Form(member.number, base, length, kept or member.base == base, age + 1, spent + length))
    return forms
