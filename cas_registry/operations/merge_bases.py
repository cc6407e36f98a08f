"""Where two histories meet: their best common ancestors, of which no other common ancestor descends from any.

Mostly that is one. After a criss-cross (each side has merged the other's earlier version) there are several, all of them returned.
Entries are read backwards, in batches, and only as far as it takes: nothing below the last version that could still be in question.
"""

import heapq
from collections.abc import Set
from dataclasses import dataclass
from enum import IntFlag

from cas_registry.model.ids import CommitId
from cas_registry.operations.history import KnownCommit, KnownCommits


class _Seen(IntFlag):
    """From where a commit is reached: by the one version, by the other, or by way of a common ancestor."""

    LEFT = 1
    RIGHT = 2
    BELOW = 4


_COMMON = _Seen.LEFT | _Seen.RIGHT


@dataclass(frozen=True, slots=True)
class MergeBases:
    """The best common ancestors of two versions, sorted by id, and whether either version is the other's ancestor."""

    commits: tuple[CommitId, ...]
    left: CommitId
    right: CommitId

    @property
    def has_all_of_right(self) -> bool:
        """Whether the right version is the left one, or an ancestor of it."""
        return self.commits == (self.right,)

    @property
    def has_all_of_left(self) -> bool:
        """Whether the left version is the right one, or an ancestor of it."""
        return self.commits == (self.left,)


def find_merge_bases(known: KnownCommits, left: CommitId, right: CommitId) -> MergeBases:
    """The best common ancestors of two commits, of one model or of two that share a history. None where they share none."""
    walk = _Walk(known)
    walk.reach(known.find(left), left, _Seen.LEFT)
    walk.reach(known.find(right), right, _Seen.RIGHT)
    return MergeBases(tuple(sorted(walk.meet(), key=lambda commit: commit.digest)), left, right)


class _Walk:
    """Histories read backwards: of each log the later entries first, of several logs in turn, for their positions say nothing of each other.

    What is learned of a commit late is handed on to its parents again.
    """

    def __init__(self, known: KnownCommits) -> None:
        self._known = known
        self._seen: dict[CommitId, _Seen] = {}
        self._found: dict[CommitId, KnownCommit] = {}
        self._best: set[CommitId] = set()
        self._waiting: dict[str, list[tuple[int, bytes]]] = {}

    def reach(self, found: KnownCommit, commit: CommitId, how: _Seen) -> None:
        """Note how a commit is reached."""
        before = self._seen.get(commit, _Seen(0))
        if before | how == before:
            return
        self._found[commit] = found
        self._seen[commit] = before | how
        if before | how == _COMMON:
            self._best.add(commit)
        else:
            self._best.discard(commit)
        heapq.heappush(self._waiting.setdefault(found.commit.log, []), (-found.commit.position, commit.digest))

    def meet(self) -> Set[CommitId]:
        """Walk until nothing more can change which common ancestors are the best ones."""
        while not self._is_decided():
            for log in list(self._waiting):
                if self._waiting[log]:
                    self._step(CommitId(heapq.heappop(self._waiting[log])[1]))
        return self._best

    def _step(self, identity: CommitId) -> None:
        seen, found = self._seen[identity], self._found[identity]
        handed_on = seen | _Seen.BELOW if seen & _COMMON == _COMMON else seen
        for parent in found.commit.parents:
            self.reach(self._known.read(found.commit.log, parent, below=found.commit.position), parent, handed_on)

    def _is_decided(self) -> bool:
        """Whether all that waits lies below a common ancestor, and was made before every one of the best: it is no descendant of any.

        Of two commits made on one log the position tells which was first. Of two logs nothing tells that: then all is read.
        """
        waiting = {CommitId(digest) for heap in self._waiting.values() for _, digest in heap}
        if any(not self._seen[commit] & _Seen.BELOW for commit in waiting):
            return False
        oldest: dict[str, int] = {}
        for candidate in self._best:
            commit = self._found[candidate].commit
            oldest[commit.log] = min(oldest.get(commit.log, commit.position), commit.position)
        return all(
            log == self._found[commit].commit.log and self._found[commit].commit.position < position
            for commit in waiting
            for log, position in oldest.items()
        )
