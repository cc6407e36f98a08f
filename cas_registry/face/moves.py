"""Branches, tags, and what is taken away."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cas_registry.errors import NotFoundError
from cas_registry.face.infos import RefInfo
from cas_registry.face.trust import Trust
from cas_registry.face.world import AnyPath
from cas_registry.model.entry import RefKind
from cas_registry.model.ids import CommitId
from cas_registry.store.refs import Move

if TYPE_CHECKING:
    from cas_registry.operations.refs import MoveReport, MoveRequest
    from cas_registry.operations.retire import RetireReport


class Moves(Trust):
    """The refs of a model."""

    def tag(
        self,
        name: str,
        revision: str,
        *,
        reason: str = "",
        expect: str | None = None,
        sign: bool = False,
        key: AnyPath | None = None,
    ) -> MoveReport:
        """Create or move a tag. With `expect` (a revision) it must stand there, else ConflictError and nothing moves. RuleError where the tag's
        rules ask for more (`Model.assess` tells what).

        With `sign` the log entry is signed, as by `Model.sign`, before it is there; where the tag stands there already, the one that
        put it there.
        """
        from cas_registry.operations.refs import set_ref

        endorser = self._endorser(key, wanted=sign)
        version = self.resolve(revision)
        report = set_ref(self._stores, replace(self._move(RefKind.TAG, name, reason, expect), endorse=endorser), version)
        if endorser is None:
            return report
        return replace(report, signed_by=endorser.key if report.moved else self._sign(name, key, expect=version.commit).key)

    def delete_tag(self, name: str, *, reason: str = "") -> MoveReport:
        """Delete a tag; its history stays. RuleError where its rules do not let it be taken away."""
        from cas_registry.operations.refs import delete_ref

        return delete_ref(self._stores, self._move(RefKind.TAG, name, reason, None))

    def branch(
        self, name: str, revision: str, *, force: bool = False, reason: str = "", expect: str | None = None
    ) -> MoveReport:
        """Create a branch at a version; with `force` an existing one is moved there."""
        from cas_registry.operations.refs import set_ref

        request = self._move(RefKind.BRANCH, name, reason, expect)
        return set_ref(self._stores, request, self.resolve(revision), may_move=force)

    def delete_branch(self, name: str, *, reason: str = "") -> MoveReport:
        """Delete a branch; its history stays."""
        from cas_registry.operations.refs import delete_ref

        return delete_ref(self._stores, self._move(RefKind.BRANCH, name, reason, None))

    def branches(self) -> list[RefInfo]:
        """The live branches, sorted by name."""
        return self._refs(RefKind.BRANCH)

    def tags(self) -> list[RefInfo]:
        """The live tags, sorted by name."""
        return self._refs(RefKind.TAG)

    def history(self, kind: RefKind, name: str) -> list[Move]:
        """Every move of a branch or tag, newest first: who, when, why, from where to where."""
        return self._reading.refs(self._name).history(kind, name)

    def retire(self, *revisions: str, reason: str = "", force: bool = False) -> RetireReport:
        """Take versions away: nobody finds them any more, and what only they needed goes with the next collection.

        ConflictError where a branch or tag stands at one of them, unless `force` deletes it (RuleError where the tag's rules do not let
        it). Commit, number and history stay.
        """
        from cas_registry.operations.retire import RetireRequest, retire_versions

        request = RetireRequest(self._name, self._world.author, self._now_ms, reason, force)
        return retire_versions(self._stores, request, [self.resolve(revision) for revision in revisions])

    def restore(self, revision: str, *, reason: str = "") -> RetireReport:
        """Take back that a version was retired, by its commit's id. ConflictError once a collection may delete what it needs."""
        from cas_registry.operations.retire import RetireRequest, restore_version

        try:
            commit = self.resolve(revision).commit
        except NotFoundError as error:
            if "retired" not in error.fields:
                raise
            commit = CommitId.parse(error.fields["commit"])
        return restore_version(self._stores, RetireRequest(self._name, self._world.author, self._now_ms, reason), commit)

    def _refs(self, kind: RefKind) -> list[RefInfo]:
        found = self._reading.refs(self._name).head()
        table = found[1].of(kind) if found else {}
        return [
            RefInfo(kind, name, ref.version.commit, ref.version.number, ref.moved)
            for name, ref in sorted(table.items())
            if ref.version
        ]

    def _move(self, kind: RefKind, name: str, reason: str, expect: str | None) -> MoveRequest:
        from cas_registry.operations.refs import MoveRequest

        return MoveRequest(
            model=self._name,
            kind=kind,
            name=name,
            who=self._world.author,
            time_ms=self._now_ms,
            why=reason,
            expect=self.resolve(expect).commit if expect else None,
            trust=self._trusted,
        )
