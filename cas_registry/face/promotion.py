"""Notes, approvals, promotions and rollbacks of a model; the rules of tags and the stages of a registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cas_registry.errors import InvalidInputError
from cas_registry.face.moves import Moves
from cas_registry.face.world import AnyPath, World
from cas_registry.model.canonical import Scalar
from cas_registry.model.entry import RefKind
from cas_registry.model.names import check_model, check_ref
from cas_registry.model.rules import TagRule, TagRules
from cas_registry.store.stores import Stores

if TYPE_CHECKING:
    from cas_registry.operations.notes import NoteRecord, NoteReport
    from cas_registry.operations.promotion import Assessment
    from cas_registry.operations.refs import MoveReport
    from cas_registry.operations.stages import Board


class Promotion(Moves):
    """What is said of a model's versions after they were made, and the tags that are moved by rules."""

    def note(
        self,
        revision: str,
        text: str = "",
        *,
        labels: Mapping[str, Scalar] | None = None,
        metrics: Mapping[str, Scalar] | None = None,
        sign: bool = False,
        key: AnyPath | None = None,
    ) -> NoteReport:
        """Say something of a version: a text, `labels` to set (None: to take away), `metrics` measured since. An entry of the model's log; the
        commit's id stays what it is. With `sign` the entry is signed, as by `Model.sign`, before it is there.

        InvalidInputError for a note that says nothing.
        """
        return self._note(revision, text, labels=labels, metrics=metrics, sign=sign, key=key)

    def notes(self, revision: str | None = None) -> list[NoteRecord]:
        """The notes about a version (None: about all of the model), oldest first. Reads the entries that are notes; nothing where there are
        none."""
        from cas_registry.operations.notes import read_notes

        if revision is None:
            return read_notes(self._reading, self._name)
        return read_notes(self._reading, self._name, self.resolve(revision).commit)

    def approve(
        self,
        revision: str,
        tag: str,
        reason: str = "",
        *,
        refuse: bool = False,
        sign: bool = False,
        key: AnyPath | None = None,
    ) -> NoteReport:
        """Approve that a tag moves to a version, or with `refuse` say that it must not: a note. Of each person the last word counts.

        The word of the version's own author is no approval (`report.by_author`).
        """
        return self._note(revision, reason, tag=check_ref(tag), approved=not refuse, sign=sign, key=key)

    def promote(
        self,
        revision: str,
        tag: str,
        *,
        reason: str,
        expect: str | None = None,
        sign: bool = False,
        key: AnyPath | None = None,
    ) -> MoveReport:
        """Move a tag to a version, as `Model.tag` does, and say why. RuleError where its rules ask for more; `assess` tells beforehand."""
        if not reason.strip():
            raise InvalidInputError("a promotion says why: give a reason")
        return self.tag(tag, revision, reason=reason, expect=expect, sign=sign, key=key)

    def assess(self, revision: str, tag: str, *, sign: bool = False) -> Assessment:
        """What the rules of a tag ask for before it moves to a version, and whether each is met; `sign` says that the move would be signed.
        Nothing moves."""
        from cas_registry.operations.promotion import assess
        from cas_registry.operations.rules import Mover

        mover = Mover(self._world.author, self._now_ms, signs=sign, trust=self._trusted)
        return assess(self._stores, self._name, tag, self.resolve(revision), mover)

    def rollback(
        self,
        tag: str,
        *,
        reason: str,
        steps: int = 1,
        to: str | None = None,
        sign: bool = False,
        key: AnyPath | None = None,
    ) -> MoveReport:
        """Move a tag back to where it stood before, `steps` times, or `to` a version at which it stood once. Rolling back twice goes further
        back. Of its rules only who may move it is asked.

        ConflictError where it moved meanwhile, NotFoundError where it stood nowhere before or the version was retired.
        """
        from cas_registry.operations.promotion import RollbackRequest, roll_back

        if not reason.strip():
            raise InvalidInputError("a rollback says why: give a reason")
        endorser = self._endorser(key, wanted=sign)
        move = replace(self._move(RefKind.TAG, tag, reason, None), endorse=endorser)
        report = roll_back(self._stores, move, RollbackRequest(steps, self.resolve(to).commit if to else None))
        return replace(report, signed_by=endorser.key) if endorser else report

    def _note(
        self,
        revision: str,
        text: str,
        *,
        labels: Mapping[str, Scalar] | None = None,
        metrics: Mapping[str, Scalar] | None = None,
        tag: str | None = None,
        approved: bool | None = None,
        sign: bool,
        key: AnyPath | None,
    ) -> NoteReport:
        from cas_registry.operations.notes import NoteRequest, write_note

        endorser = self._endorser(key, wanted=sign)
        request = NoteRequest(
            self._name, self._world.author, self._now_ms, text, dict(labels or {}), dict(metrics or {}), tag, approved, endorser
        )  # fmt: skip
        report = write_note(self._stores, request, self.resolve(revision))
        return replace(report, signed_by=endorser.key) if endorser else report


class Rules:
    """The rules of tags of a registry, and the stages that they make."""

    _stores: Stores
    _world: World

    def rules(self) -> Mapping[str, TagRules]:
        """The rules of tags by model, `"*"` those of all: by the tag's name or a pattern of names (`env/*`)."""
        return self._stores.reading.catalogue.rules()

    def protect(self, tag: str, rule: TagRule, *, model: str | None = None, reason: str = "") -> None:
        """Put a tag, or all of a pattern, under a rule: of one model, or (None) of every model that has none of the same pattern.

        It holds for every move that begins from now on, by whatever verb. InvalidInputError for a condition or check that makes no sense.
        """
        from cas_registry.operations.rules import set_rules

        name = None if model is None else check_model(model)
        set_rules(self._stores, {tag: rule}, model=name, time_ms=self._time_ms, who=self._world.author, why=reason)

    def unprotect(self, tag: str, *, model: str | None = None, reason: str = "") -> None:
        """Take a rule away; the catalogue's log keeps who did. NotFoundError if there is none."""
        from cas_registry.operations.rules import drop_rule

        name = None if model is None else check_model(model)
        drop_rule(self._stores, tag, model=name, time_ms=self._time_ms, who=self._world.author, why=reason)

    def set_stages(self, stages: Sequence[str], *, model: str | None = None, strict: bool = False) -> None:
        """Make tags stages, in this order. The stage in use (prod) asks for the one before it, with `strict` every stage does."""
        from cas_registry.operations.stages import set_stages

        name = None if model is None else check_model(model)
        set_stages(self._stores, stages, model=name, strict=strict, time_ms=self._time_ms, who=self._world.author)

    def stages(self, model: str | None = None) -> Board:
        """Which version stands at which stage, and for how long: of one model or of all."""
        from cas_registry.operations.stages import find_board

        return find_board(self._stores.reading, None if model is None else [check_model(model)])

    @property
    def _time_ms(self) -> int:
        return self._world.clock_ns() // 1_000_000
