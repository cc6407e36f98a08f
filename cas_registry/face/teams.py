"""Working on a model with others: forks of it, and merges."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cas_registry.face.trust import Trust
from cas_registry.face.world import AnyPath

if TYPE_CHECKING:
    from cas_registry.operations.fork import ForkReport
    from cas_registry.operations.merge import MergeReport


class Teams(Trust):
    """The lines of work on a model, apart and together."""

    def fork(self, name: str, revision: str = "main", *, branch: str = "main", reason: str = "") -> ForkReport:
        """Make a model `name` whose first version is this one. No bytes are copied, and the history goes on behind it.

        The version lives on there where this model retires it. AlreadyExistsError where there is such a model.
        """
        from cas_registry.operations.fork import ForkRequest, fork_version

        request = ForkRequest(name, self._world.author, self._now_ms, branch, reason)
        return fork_version(self._stores, request, self.resolve(revision))

    def merge(
        self,
        revision: str,
        *,
        into: str = "main",
        message: str = "",
        take: str | Iterable[str] = (),
        fast_forward: bool = True,
        unrelated: bool = False,
        sign: bool = False,
        key: AnyPath | None = None,
    ) -> MergeReport:
        """Merge a version, also of a fork of this model or of its origin, into a branch; no file is read, stored or fetched.

        What one side changed since their common ancestor is taken, what both changed alike is taken once. Where they changed a path differently,
        MergeConflictError lists both sides and nothing is merged, unless `take` says whose to have: `"ours"`, `"theirs"`, or `"theirs:PATH"` for a
        file or folder. A branch that the other version goes on from moves there, unless `fast_forward` is False.
        """
        from cas_registry.operations.merge import MergeRequest, merge_version
        from cas_registry.operations.merge_trees import parse_preference

        wishes = [take] if isinstance(take, str) else take
        request = MergeRequest(
            model=self._name,
            who=self._world.author,
            time_ms=self._now_ms,
            branch=into,
            message=message,
            prefer=[parse_preference(wish) for wish in wishes],
            fast_forward=fast_forward,
            unrelated=unrelated,
            endorse=self._endorser(key, wanted=sign),
        )
        return merge_version(self._stores, request, self.resolve(revision))
