"""Moving branches and tags: one log entry each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cas_registry.errors import ConflictError, NotFoundError
from cas_registry.model.entry import Entry, Ref, RefKind, RefTable, VersionRow
from cas_registry.model.ids import CommitId
from cas_registry.model.names import check_ref
from cas_registry.model.signature import KeyId
from cas_registry.operations.rules import Mover, Scene, check_branch, check_move, check_removal
from cas_registry.store.epochs import Threats
from cas_registry.store.log import Recorded
from cas_registry.store.refs import ModelRefs, Version, retired_error
from cas_registry.store.stores import Stores

if TYPE_CHECKING:
    from cas_registry.operations.trust import Trust


@dataclass(frozen=True, slots=True)
class MoveReport:
    """A ref that was moved (or created, or deleted). `moved` is False where it stood there already."""

    model: str
    kind: RefKind
    name: str
    commit: CommitId | None
    previous: CommitId | None
    moved: bool
    signed_by: KeyId | None = None


@dataclass(frozen=True, slots=True)
class MoveRequest:
    """Which ref to move, who does it and why. `expect` is where it must stand, `expect_moved` the entry that must have moved it last (a
    ConflictError if it does not); `endorse` is called with the entry and its table before it is appended.

    The rules of a tag are checked for the head that its entry follows, by what `trust` says of signatures. `returning` says that the tag goes
    back to a version where it stood: only who may move it is asked then.
    """

    model: str
    kind: RefKind
    name: str
    who: str
    time_ms: int
    why: str = ""
    expect: CommitId | None = None
    endorse: Callable[[Entry, RefTable], None] | None = None
    expect_moved: int | None = None
    trust: Callable[[], Trust] | None = None
    returning: bool = False


def set_ref(stores: Stores, request: MoveRequest, version: Version, *, may_move: bool = True) -> MoveReport:
    """Point a branch or tag at a version. ConflictError if the name is taken by the other kind, or exists and may not move;
    RuleError where the rules of a tag ask for more."""
    check_ref(request.name)

    threats: Threats | None = None  # of the head that was read first

    def change(head: Recorded, table: RefTable) -> RefTable | None:
        nonlocal threats, version
        other = RefKind.TAG if request.kind is RefKind.BRANCH else RefKind.BRANCH
        taken = table.of(other).get(request.name)
        if taken and taken.commit:
            raise ConflictError(f"{request.name!r} is a {other.value} of model {request.model!r}; choose another name")
        current = table.of(request.kind).get(request.name)
        if current and current.commit == version.commit:
            return None
        if current and current.commit and not may_move:
            raise ConflictError(f"{request.kind.value} {request.name!r} of model {request.model!r} exists; delete it first")
        refs = stores.refs(request.model)
        row = _own_row(refs, head, version)
        if row is None:
            threats = threats or stores.threats(head.entry)
            threats.catch_up(head.entry)
            version = stores.refs(version.model).find_entry(
                version.commit
            )  # once the head is read: not what a collection took before
            if not threats.spares_version(version.map):
                raise ConflictError(
                    f"{version.log}@{version.commit.short} is among what a collection may delete; try again when it is through, or call it "
                    "off (reg gc --undo)",
                    commit=version.commit.hex,
                )
            row = _taken_over(head, table, version)
        return table.with_ref(request.kind, request.name, Ref(row, head.n + 1))

    return _move(stores, request, change, version)


def delete_ref(stores: Stores, request: MoveRequest) -> MoveReport:
    """Delete a branch or tag; its history stays readable. NotFoundError if there is none, RuleError where a tag's rules do not let it."""

    def change(head: Recorded, table: RefTable) -> RefTable:
        current = table.of(request.kind).get(request.name)
        if current is None or current.commit is None:
            raise NotFoundError(f"model {request.model!r} has no {request.kind.value} {request.name!r}", ref=request.name)
        return table.with_ref(request.kind, request.name, Ref(None, head.n + 1))

    return _move(stores, request, change, None)


def _own_row(refs: ModelRefs, head: Recorded, version: Version) -> VersionRow | None:
    """The row of a version that was made in this log, also where it was found by way of a model that took it over; None for another's."""
    if version.log != refs.model:
        own = refs.home_version(version.commit, head)
        return own.row if own else None
    current = refs.remap(head).of(version.at, version.map)  # it may have been repacked since it was resolved
    if current is None:
        raise retired_error(version.log, version.commit, version.number)
    return replace(version.row, map=current)


def _taken_over(head: Recorded, table: RefTable, version: Version) -> VersionRow:
    """The row of another model's version: the entry to come introduces it to this one, unless a ref stands at it already."""
    rows = (ref.version for kind in RefKind for ref in table.of(kind).values())
    introduced = next((row for row in rows if row and row.commit == version.commit), None)
    return introduced or replace(version.row, at=head.n + 1, number=head.entry.versions + 1)


def _move(
    stores: Stores,
    request: MoveRequest,
    change: Callable[[Recorded, RefTable], RefTable | None],
    version: Version | None,
) -> MoveReport:
    refs = stores.refs(request.model)
    target = version.commit if version else None
    while True:
        head, table = refs.existing_head()
        current = table.of(request.kind).get(request.name)
        previous = current.commit if current else None
        _check_expected(request, current)
        changed = change(head, table)
        if changed is None:
            return MoveReport(request.model, request.kind, request.name, target, previous, moved=False)
        _check_rules(stores, request, head, table, version)
        if _append(stores, request, head, changed):
            return MoveReport(request.model, request.kind, request.name, target, previous, moved=True)


def _append(stores: Stores, request: MoveRequest, head: Recorded, table: RefTable) -> bool:
    refs = stores.refs(request.model)
    entry = refs.next_entry(
        head, table, registry=stores.format.registry, time_ms=request.time_ms, who=request.who, why=request.why
    )
    row = table.of(request.kind)[request.name].version
    if row is not None and row.at == entry.n:  # from now on a version of this model too
        entry = replace(entry, commit=row.commit, tree=row.tree, map=row.map, versions=row.number)
    if request.endorse is not None:
        request.endorse(entry, table)
    stores.objects.flush()
    if refs.log.append(entry) is None:
        return False
    refs.log.write_hint(entry.n)
    return True


def _check_rules(stores: Stores, request: MoveRequest, head: Recorded, table: RefTable, version: Version | None) -> None:
    """Rules are about tags; a branch may not take the place of one."""
    if request.kind is RefKind.BRANCH:
        current = table.branches.get(request.name)
        if version is not None and (current is None or current.commit is None):
            check_branch(stores, request.model, request.name)
    elif version is None:
        check_removal(stores, request.model, [request.name], request.who)
    else:
        mover = Mover(request.who, request.time_ms, signs=request.endorse is not None, trust=request.trust)
        check_move(stores, Scene(request.model, head, table, mover), [request.name], version, returning=request.returning)


def _check_expected(request: MoveRequest, current: Ref | None) -> None:
    actual = current.commit if current else None
    moved = current.moved if current else None
    what = f"{request.kind.value} {request.name!r} of model {request.model!r}"
    if request.expect is not None and actual != request.expect:
        raise ConflictError(
            f"{what} stands at {actual.short if actual else 'nothing'}, not "
            f"at the expected {request.expect.short}; look at its history (reg tag --history {request.name})",
            expected=request.expect.hex,
            actual=actual.hex if actual else None,
        )
    if request.expect_moved is not None and moved != request.expect_moved:
        raise ConflictError(
            f"{what} was moved meanwhile, by entry {moved}; look at its history (reg tag --history {request.name})",
            expected=request.expect_moved,
            actual=moved,
        )
