"""Promoting: a tag moves to a version once its rules are met, and back to where it stood before where that was a mistake.

A promotion is a move of a tag as any other, `refs.set_ref`, which checks the rules; here is what people ask before it and after.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cas_registry.errors import InvalidInputError, NotFoundError
from cas_registry.model.entry import RefKind
from cas_registry.model.ids import CommitId
from cas_registry.model.names import check_ref
from cas_registry.operations.judging import judge
from cas_registry.operations.refs import MoveReport, MoveRequest, set_ref
from cas_registry.operations.rules import Mover, Scene, Verdict, current_rules
from cas_registry.store.refs import ModelRefs, Move, Version
from cas_registry.store.stores import Stores


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the rules of a tag ask for before it moves to a version, and whether each is met. Without verdicts the tag is under no rule."""

    model: str
    tag: str
    commit: CommitId
    number: int
    previous: CommitId | None
    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> bool:
        """Whether the tag may move there."""
        return all(verdict.passed for verdict in self.verdicts)


@dataclass(frozen=True, slots=True)
class RollbackRequest:
    """How far back: to the version before, `steps` times, or `to` one at which the tag stood once."""

    steps: int = 1
    to: CommitId | None = None


def assess(stores: Stores, model: str, tag: str, version: Version, mover: Mover) -> Assessment:
    """Judge a move without making it."""
    check_ref(tag)
    head, table = stores.refs(model).existing_head()
    rules = current_rules(stores, model, [tag]).get(tag, ())
    verdicts = judge(stores, Scene(model, head, table, mover), tag, version, rules)
    current = table.tags.get(tag)
    return Assessment(model, tag, version.commit, version.number, current.commit if current else None, verdicts)


def roll_back(stores: Stores, move: MoveRequest, request: RollbackRequest) -> MoveReport:
    """Move a tag back to where it stood before. Of its rules only `who` is asked: the version stood there, and an outage waits for nobody's
    approval. It must not have moved since its history was read (ConflictError).

    NotFoundError where it stood nowhere else before, or the version was retired since.
    """
    refs = stores.refs(move.model)
    moves = list(refs.moves(RefKind.TAG, move.name))
    target = _target(moves, move.name, request)
    version = _standing_version(refs, move.name, *target)
    return set_ref(stores, replace(move, expect_moved=moves[0].n, returning=True), version)


def _target(moves: list[Move], tag: str, request: RollbackRequest) -> tuple[CommitId, int]:
    """Where to go back to: the commit and the number of its version."""
    if request.to is not None:
        found = next((move for move in moves if move.commit == request.to), None)
        if found is None or found.commit is None or found.number is None:
            raise NotFoundError(
                f"tag {tag!r} never stood at {request.to.short}: that is a promotion (reg promote); reg tag --history {tag} tells where it did",
                commit=request.to.hex,
            )
        return found.commit, found.number
    if request.steps < 1:
        raise InvalidInputError("a rollback goes one step back at least")
    before = _path(moves)
    live = moves[0].commit is not None
    back = request.steps if live else request.steps - 1  # what was deleted comes back first
    if back >= len(before):
        others = len(before) - 1 if live else len(before)
        raise NotFoundError(
            f"tag {tag!r} stood at {others or 'no'} version{'' if others == 1 else 's'} before this one, and {request.steps} back was asked for; "
            f"reg tag --history {tag} tells where it stood, reg rollback {tag} --to REV goes there",
            ref=tag,
        )
    return before[-1 - back]


def _path(moves: list[Move]) -> list[tuple[CommitId, int]]:
    """The versions on the way to where a tag stands: what it was moved back from is none of them, so that rolling back twice goes further
    back, never to what the first time went away from."""
    path: list[tuple[CommitId, int]] = []
    for move in reversed(moves):
        if move.commit is None or move.number is None:
            continue
        stop = (move.commit, move.number)
        path = [*path[: path.index(stop)], stop] if stop in path else [*path, stop]
    return path


def _standing_version(refs: ModelRefs, tag: str, commit: CommitId, number: int) -> Version:
    try:
        return refs.find_entry(commit)
    except NotFoundError as error:
        if "retired" not in error.fields:
            raise
        raise NotFoundError(
            f"tag {tag!r} stood at v{number} ({commit.short}) before, which was retired since: bring it back (reg retire --undo {commit.short}), or "
            f"name another one (reg rollback {tag} --to REV)",
            **error.fields,
        ) from error
