"""Merging: two histories of a model, or of a fork and its origin, become one again. No file is read, stored or fetched.

The merged version's trees are those of its two sides but for folders in which both changed something, and its maps say where the files lie
already. Everything before the log's entry is invisible; when another writer moves the branch meanwhile, the merge is made again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from cas_registry.errors import ConflictError, IntegrityError, InvalidInputError, LimitError, MergeConflictError, NotFoundError
from cas_registry.model.canonical import Scalar
from cas_registry.model.commit import Commit
from cas_registry.model.entry import CommitStats, Entry, Ref, RefKind, RefTable, VersionRow
from cas_registry.model.ids import CommitId, MapName, TreeId
from cas_registry.model.tree import MAX_VERSION_ENTRIES, Tree, TreeEntry
from cas_registry.operations.history import KnownCommits
from cas_registry.operations.merge_bases import MergeBases, find_merge_bases
from cas_registry.operations.merge_maps import MergeSide, write_merged_maps
from cas_registry.operations.merge_trees import (
    EMPTY_TREE_ID,
    Clash,
    Conflict,
    MergedTree,
    Preference,
    Side,
    merge_bases_into_one,
    merge_trees,
)
from cas_registry.operations.refs import MoveRequest, set_ref
from cas_registry.operations.version_files import VersionFile, VersionFiles, list_files
from cas_registry.store.log import Recorded
from cas_registry.store.objects import walk_tree
from cas_registry.store.refs import ModelRefs, Version
from cas_registry.store.stores import Stores

_TOLD = 10  # conflicts spelled out in a refusal; its fields have all
_MAX_NESTED = 32  # criss-crosses below criss-crosses; beyond, bases are taken to share nothing: more conflicts, none missed


@dataclass(frozen=True, slots=True)
class MergeRequest:
    """Into which branch of which model, who merges, and what to say of it.

    Conflicts go to the sides that `prefer` names. Without `fast_forward` there is a merge commit even where the branch could simply move on. With
    `unrelated` versions that share no history are merged as if they had begun with nothing. `endorse` is called with the entry and its table before it is
    appended.
    """

    model: str
    who: str
    time_ms: int
    branch: str = "main"
    message: str = ""
    prefer: Sequence[Preference] = ()
    fast_forward: bool = True
    unrelated: bool = False
    endorse: Callable[[Entry, RefTable], None] | None = None


class Outcome(StrEnum):
    """What a merge came to: a MERGED version, the branch moved on to the other (FAST_FORWARD), or nothing to do (UP_TO_DATE)."""

    MERGED = "merged"
    FAST_FORWARD = "fast-forward"
    UP_TO_DATE = "up-to-date"


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What a merge did. `ours` is where the branch stood, `theirs` what came in, `commit` where the branch stands now.

    `added`, `changed` and `removed` are the paths in which the branch's new version differs from `ours`; `decided` the conflicts that were
    given to a side. `bases` are the best common ancestors: several after a criss-cross, none of unrelated versions.
    """

    model: str
    branch: str
    outcome: Outcome
    commit: CommitId
    number: int
    tree: TreeId
    ours: CommitId
    theirs: CommitId
    bases: tuple[CommitId, ...]
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    decided: tuple[tuple[Conflict, Side], ...] = ()


def merge_version(stores: Stores, request: MergeRequest, theirs: Version) -> MergeReport:
    """Merge a version into a branch. Returned only when durable; whoever reads the branch then sees it.

    MergeConflictError, and nothing changed, where both sides changed a path differently and nothing was preferred; ConflictError for
    versions that share no history, unless `unrelated`.
    """
    refs = stores.refs(request.model)
    source = stores.refs(theirs.model)
    known = KnownCommits(stores)
    while True:
        head, table = refs.existing_head()
        theirs = source.find_entry(theirs.commit, head)  # once the head is read: what a collection took before is not found
        ours = _branch_version(refs, request, table)
        bases = find_merge_bases(known, ours.commit, theirs.commit)
        if bases.has_all_of_right:
            return _report(request, Outcome.UP_TO_DATE, ours.row, ours, theirs, bases)
        if not bases.commits and not request.unrelated:
            raise ConflictError(
                f"{request.branch!r} of model {request.model!r} and {theirs.model}@{theirs.commit.short} share no history; --unrelated merges "
                "them all the same, as if both had begun with nothing",
                ours=ours.commit.hex,
                theirs=theirs.commit.hex,
            )
        if bases.has_all_of_left and request.fast_forward:
            if report := _fast_forward(stores, request, ours, theirs, bases):
                return report
            continue
        try:
            report = _merge(stores, refs, (head, table), request, ours, theirs, bases, known)
        except IntegrityError as error:
            if not error.fields.get("missing") or not _has_moved(refs, head):
                raise
            continue  # it was retired and collected while it was read, and is not found next time
        if report is not None:
            return report


def _has_moved(refs: ModelRefs, head: Recorded) -> bool:
    now = refs.log.head()
    return now is not None and now.id != head.id


def _branch_version(refs: ModelRefs, request: MergeRequest, table: RefTable) -> Version:
    ref = table.branches.get(request.branch)
    if ref is None or ref.version is None:
        raise NotFoundError(
            f"model {request.model!r} has no branch {request.branch!r} to merge into; make it with reg branch",
            ref=request.branch,
        )
    return refs.version(ref.version)


def _fast_forward(
    stores: Stores, request: MergeRequest, ours: Version, theirs: Version, bases: MergeBases
) -> MergeReport | None:
    """Move the branch on to the other version; None where somebody moved it meanwhile."""
    move = MoveRequest(
        request.model, RefKind.BRANCH, request.branch, request.who, request.time_ms, request.message or _title(request, theirs),
        expect=ours.commit, endorse=request.endorse,
    )  # fmt: skip
    try:
        set_ref(stores, move, theirs)
    except ConflictError as error:
        if "actual" not in error.fields:
            raise
        return None
    table = stores.refs(request.model).existing_head()[1]
    rows = (ref.version for kind in RefKind for ref in table.of(kind).values() if ref.version)
    row = next((row for row in rows if row.commit == theirs.commit), theirs.row)
    return _report(
        request,
        Outcome.FAST_FORWARD,
        row,
        ours,
        theirs,
        bases,
        *_differences(_files(stores, ours.tree), _files(stores, theirs.tree)),
    )


def _merge(
    stores: Stores, refs: ModelRefs, head: tuple[Recorded, RefTable], request: MergeRequest, ours: Version, theirs: Version,
    bases: MergeBases, known: KnownCommits,
) -> MergeReport | None:  # fmt: skip
    """Make the merged version and append its entry; None where another writer was faster."""
    threats = stores.threats(head[0].entry)
    base, virtual = _base_tree(stores, known, bases.commits)
    merged = merge_trees(stores.objects, base, ours.tree, theirs.tree, prefer=request.prefer, virtual=virtual)
    _check_decided(request, merged, theirs)
    sides = [MergeSide(_files(stores, side.tree), VersionFiles(stores.objects, side.map)) for side in (ours, theirs)]
    if len({file.path for side in sides for file in side.files}) > MAX_VERSION_ENTRIES:
        raise LimitError(f"the files of both versions together are over the limit of {MAX_VERSION_ENTRIES:,}")
    for tree in merged.trees.values():
        stores.objects.write_tree(tree)
    folders = [merged.root]
    files: list[VersionFile] = []
    for path, entry, folder in walk_tree(stores.objects, merged.root):
        if isinstance(entry.id, TreeId):
            folders.append(entry.id)
        else:
            files.append(VersionFile(path, entry, folder))
    root = write_merged_maps(stores.objects, files, folders, merged.trees, sides)
    if not threats.spares_version(root):
        raise ConflictError(
            f"{theirs.model}@{theirs.commit.short} is among what a collection may delete; merge again when it is through, or call it off "
            "(reg gc --undo)",
            commit=theirs.commit.hex,
        )
    row = _append(stores, refs, head, request, (ours, theirs), (merged.root, root), files)
    if row is None:
        return None
    report = _report(request, Outcome.MERGED, row, ours, theirs, bases, *_differences(sides[0].files, files))
    return replace(report, decided=merged.decided)


def _base_tree(
    stores: Stores, known: KnownCommits, bases: Sequence[CommitId], *, nested: int = 0
) -> tuple[TreeId, dict[TreeId, Tree]]:
    """The tree to compare both sides with: that of the merge base, of several their own merge (by the bases that they have in turn)."""
    if not bases or nested > _MAX_NESTED:
        return EMPTY_TREE_ID, {}
    first, *others = bases
    tree, virtual = known.find(first).commit.tree, dict[TreeId, Tree]()
    for other in others:
        below, more = _base_tree(stores, known, find_merge_bases(known, first, other).commits, nested=nested + 1)
        tree, virtual = merge_bases_into_one(
            stores.objects, below, tree, known.find(other).commit.tree, virtual={**virtual, **more}
        )
    return tree, virtual


def _check_decided(request: MergeRequest, merged: MergedTree, theirs: Version) -> None:
    if merged.conflicts:
        told = "; ".join(map(_told, merged.conflicts[:_TOLD])) + ("; …" if len(merged.conflicts) > _TOLD else "")
        raise MergeConflictError(
            f"{theirs.model}@{theirs.commit.short} and {request.branch!r} changed {len(merged.conflicts)} path"
            f"{'s' * (len(merged.conflicts) != 1)} differently, and nothing was merged. Take one side's with --take ours:PATH or theirs:PATH, "
            f"or commit what is to stand there to {request.branch!r} first: {told}",
            conflicts=[_row(conflict) for conflict in merged.conflicts],
        )
    idle = [
        wish.path
        for wish in request.prefer
        if wish.path and not any(_covers(wish.path, conflict) for conflict, _ in merged.decided)
    ]
    if idle:
        raise InvalidInputError(
            f"there is no conflict at {', '.join(map(repr, idle))}; without --take all conflicts are listed"
        )


def _covers(wanted: str, conflict: Conflict) -> bool:
    path = conflict.path
    names = {path, f"{path.rpartition('/')[0]}/{conflict.theirs.name}".lstrip("/")} if conflict.theirs else {path}
    return any(name == wanted or name.startswith(f"{wanted}/") for name in names)


def _told(conflict: Conflict) -> str:
    if conflict.clash is Clash.NAMES and conflict.ours and conflict.theirs:
        return f"{conflict.path} (ours) and {conflict.theirs.name} (theirs) are one name on some file systems"
    return f"{conflict.path} (base {_what(conflict.base)}, ours {_what(conflict.ours)}, theirs {_what(conflict.theirs)})"


def _what(entry: TreeEntry | None) -> str:
    if entry is None:
        return "nothing"
    return f"{'a folder' if entry.is_folder else f'{entry.size_bytes:,} bytes'} {entry.id.short}"


def _row(conflict: Conflict) -> tuple[str | None, ...]:
    sides = (conflict.base, conflict.ours, conflict.theirs)
    return (conflict.path, conflict.clash.value, *(entry.id.hex if entry else None for entry in sides))


def _append(
    stores: Stores, refs: ModelRefs, head: tuple[Recorded, RefTable], request: MergeRequest, parents: tuple[Version, Version],
    merged: tuple[TreeId, MapName], files: Sequence[VersionFile],
) -> VersionRow | None:  # fmt: skip
    recorded, table = head
    ours, theirs = stores.objects.read_commits([version.commit for version in parents])
    number, versions = recorded.n + 1, recorded.entry.versions + 1
    message = request.message or _title(request, parents[1])
    commit = Commit(
        tree=merged[0],
        parents=tuple(version.commit for version in parents),
        author=request.who,
        time_ms=request.time_ms,
        message=message,
        log=request.model,
        position=recorded.n,
        params=_agreed(ours.params, theirs.params),
        labels=_agreed(ours.labels, theirs.labels),
        framework=_agreed(ours.framework, theirs.framework),
        packages=_agreed(ours.packages, theirs.packages),
        inputs=tuple(dict.fromkeys((*ours.inputs, *theirs.inputs))),  # it holds files of both
        schema=ours.schema if ours.schema == theirs.schema else None,
    )
    identity = stores.objects.write_commit(commit)
    row = VersionRow(identity, number, versions, *merged)
    table = table.with_ref(RefKind.BRANCH, request.branch, Ref(row, number))
    entry = refs.next_entry(
        recorded,
        table,
        registry=stores.format.registry,
        time_ms=request.time_ms,
        who=request.who,
        why=message.partition("\n")[0],
    )
    stats = CommitStats(len(files), sum(file.entry.size_bytes for file in files), 0, 0)
    entry = replace(entry, commit=identity, tree=row.tree, map=row.map, versions=versions, stats=stats)
    if request.endorse is not None:
        request.endorse(entry, table)
    stores.objects.flush()
    if refs.log.append(entry) is None:
        return None
    refs.log.write_hint(number)
    return row


def _agreed(ours: Mapping[str, Scalar], theirs: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """What both versions say, and so does their merge; of what was measured on either nothing holds for the merge."""
    return {name: value for name, value in ours.items() if name in theirs and theirs[name] == value}


def _title(request: MergeRequest, theirs: Version) -> str:
    return f"Merge {theirs.model}@{theirs.commit.short} into {request.branch}"


def _files(stores: Stores, tree: TreeId) -> Sequence[VersionFile]:
    return list_files(stores.objects, tree)[0]


def _differences(before: Sequence[VersionFile], after: Sequence[VersionFile]) -> tuple[tuple[str, ...], ...]:
    """Paths added, changed and removed."""
    old, new = ({file.path: file.entry for file in files} for files in (before, after))
    return (
        tuple(sorted(new.keys() - old.keys())),
        tuple(sorted(path for path in new.keys() & old.keys() if new[path] != old[path])),
        tuple(sorted(old.keys() - new.keys())),
    )


def _report(
    request: MergeRequest, outcome: Outcome, row: VersionRow, ours: Version, theirs: Version, bases: MergeBases,
    added: tuple[str, ...] = (), changed: tuple[str, ...] = (), removed: tuple[str, ...] = (),
) -> MergeReport:  # fmt: skip
    return MergeReport(
        request.model, request.branch, outcome, row.commit, row.number, row.tree, ours.commit, theirs.commit, bases.commits, added,
        changed, removed,
    )  # fmt: skip
