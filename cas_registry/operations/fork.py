"""Forking: a new model whose first version is one of another's. One log entry; no bytes of any file are read or written."""

from dataclasses import dataclass, replace

from cas_registry.errors import AlreadyExistsError, ConflictError
from cas_registry.model.entry import Ref, RefKind, RefTable, VersionRow
from cas_registry.model.ids import CommitId, TreeId
from cas_registry.model.names import check_model, check_ref
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores


@dataclass(frozen=True, slots=True)
class ForkRequest:
    """The new model's name, the branch that it begins with, and who forks it, when and why."""

    model: str
    who: str
    time_ms: int
    branch: str = "main"
    why: str = ""


@dataclass(frozen=True, slots=True)
class ForkReport:
    """A model that was made, and the version of another that is its version `number`."""

    model: str
    branch: str
    origin: str
    commit: CommitId
    tree: TreeId
    number: int


def fork_version(stores: Stores, request: ForkRequest, version: Version) -> ForkReport:
    """Make a model of a version. Its history goes on behind it, and the version lives on here where its own model retires it.

    AlreadyExistsError where there is such a model, or where somebody makes one at the same time; NotFoundError where the version is retired
    meanwhile; ConflictError where a collection may delete what it needs.
    """
    check_model(request.model)
    check_ref(request.branch)
    refs = stores.refs(request.model)
    source = stores.refs(version.model)
    while True:
        head = refs.head()
        recorded, table = head or (None, RefTable())
        if table.is_live:
            raise AlreadyExistsError(
                f"there is a model {request.model!r} already; choose another name, or merge into it with reg merge",
                model=request.model,
            )
        catalogue = stores.catalogue.ensure(request.model, time_ms=request.time_ms, who=request.who)
        before = recorded.entry if recorded else catalogue.entry
        threats = stores.threats(before)
        found = source.find_entry(version.commit)  # once the head is read: what a collection took before is not found
        if not threats.spares_version(found.map):
            raise ConflictError(
                f"{found.model}@{found.commit.short} is among what a collection may delete; fork it when that is through, or call it off "
                "(reg gc --undo)",
                commit=found.commit.hex,
            )
        number = recorded.n + 1 if recorded else 1
        row = VersionRow(found.commit, number, recorded.entry.versions + 1 if recorded else 1, found.tree, found.map)
        entry = refs.next_entry(
            recorded,
            table.with_ref(RefKind.BRANCH, request.branch, Ref(row, number)),
            registry=stores.format.registry,
            time_ms=request.time_ms,
            who=request.who,
            why=request.why or f"fork of {found.model}@{found.commit.short}",
            before=before,
        )
        stores.objects.flush()
        if refs.log.append(replace(entry, commit=row.commit, tree=row.tree, map=row.map, versions=row.number)):
            refs.log.write_hint(number)
            return ForkReport(request.model, request.branch, found.model, row.commit, row.tree, row.number)
