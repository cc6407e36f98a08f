"""Lines that show how commits follow each other: one lane for each line of history still open."""

from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

_UNICODE = {"node": "●", "lane": "│", "join": "╯", "into": "├", "across": "─", "cross": "┼"}
_ASCII = {"node": "*", "lane": "|", "join": "/", "into": "+", "across": "-", "cross": "+"}


class Graph(Generic[T]):
    """Draws commits that come children first. Two columns a lane; a lane ends where its commit is a parent already waited for."""

    def __init__(self, *, unicode: bool = True) -> None:
        self._marks = _UNICODE if unicode else _ASCII
        self._lanes: list[T | None] = []

    def add(self, commit: T, parents: Sequence[T]) -> tuple[str, list[str]]:
        """The drawing beside a commit's first line, and lines that follow its last one: lanes that join or open."""
        if commit not in self._lanes:
            self._open(commit)
        lane = self._lanes.index(commit)
        node = " ".join(
            self._marks["node"] if position == lane else self._lane(waiting) for position, waiting in enumerate(self._lanes)
        )
        self._lanes[lane] = parents[0] if parents else None
        after = [self._join(lane, self._open(parent), joins=False) for parent in parents[1:] if parent not in self._lanes]
        for position in range(len(self._lanes) - 1, 0, -1):
            waiting = self._lanes[position]
            earlier = self._lanes.index(waiting)
            if waiting is not None and earlier < position:
                after.append(self._join(earlier, position, joins=True))
                self._lanes[position] = None
        self._close()
        return node, after

    def beside(self, *, width: int = 0) -> str:
        """The lanes beside a line that is no commit's first, at least `width` columns wide."""
        return " ".join(self._lane(waiting) for waiting in self._lanes).ljust(width)

    def _open(self, commit: T | None) -> int:
        if None in self._lanes:
            free = self._lanes.index(None)
            self._lanes[free] = commit
            return free
        self._lanes.append(commit)
        return len(self._lanes) - 1

    def _close(self) -> None:
        while self._lanes and self._lanes[-1] is None:
            self._lanes.pop()

    def _lane(self, waiting: T | None) -> str:
        return " " if waiting is None else self._marks["lane"]

    def _join(self, left: int, right: int, *, joins: bool) -> str:
        """A line from lane `right` into lane `left`."""
        left, right = min(left, right), max(left, right)
        drawn = ""
        for position, waiting in enumerate(self._lanes):
            inside = left < position < right
            if position == left:
                mark = self._marks["into"]
            elif position == right:
                mark = self._marks["join"] if joins else {"╯": "╮", "/": "\\"}[self._marks["join"]]
            elif inside:
                mark = self._marks["across"] if waiting is None else self._marks["cross"]
            else:
                mark = self._lane(waiting)
            drawn += mark + (self._marks["across"] if left <= position < right else " ")
        return drawn.rstrip()
