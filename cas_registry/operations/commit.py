"""The life of a commit: scan, identify, place, write, and one create-only log entry at the end.

Everything before the entry is invisible; whatever stops a commit leaves at most packs and objects that nothing names.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from pathlib import Path

from cas_registry.errors import ConflictError, InvalidInputError, RegistryError
from cas_registry.model.canonical import Scalar
from cas_registry.model.commit import Commit
from cas_registry.model.entry import CommitStats, Ref, RefKind, RefTable, VersionRow
from cas_registry.model.ids import CommitId, FileId, MapName, TreeId
from cas_registry.model.maps import Reference
from cas_registry.model.names import check_ref
from cas_registry.operations.known import Known
from cas_registry.operations.placing import Placed, is_read_once, place_files, store_unread, write_hints, write_maps
from cas_registry.operations.progress import Progress
from cas_registry.operations.snapshot import BuiltTrees, build_trees, check_unchanged, identify
from cas_registry.operations.storing import Delta, Intake, Rows
from cas_registry.operations.transfer import PackWriter, worker_pool
from cas_registry.store.log import Recorded
from cas_registry.store.refs import ModelRefs, Version
from cas_registry.store.stores import Stores
from cas_registry.worktree.scan import Snapshot, scan
from cas_registry.worktree.stat_cache import StatCache


@dataclass(frozen=True, slots=True)
class CommitRequest:
    """What to commit, and what to say of it.

    `expect` is the commit that the branch must stand at (a ConflictError if it does not); without it the commit follows
    whatever the branch stands at when it lands. `base` is a further version in which to look for duplicates and for what tensors may be deltas to.
    """

    model: str
    paths: Sequence[Path]
    author: str
    time_ms: int
    branch: str = "main"
    message: str = ""
    params: Mapping[str, Scalar] = field(default_factory=dict)
    metrics: Mapping[str, Scalar] = field(default_factory=dict)
    framework: Mapping[str, Scalar] = field(default_factory=dict)
    inputs: Sequence[str] = ()
    tags: Sequence[str] = ()
    base: Version | None = None
    delta: Delta = Delta.AUTO
    allow_empty: bool = False
    expect: CommitId | None = None


@dataclass(frozen=True, slots=True)
class CommitReport:
    """What a commit did. `created` is False where the branch held exactly these files already: `commit` is then its head.

    `new_bytes` are raw bytes that the registry did not have, `stored_bytes` what they take in packs; `files_read` counts the
    files whose content had to be read.
    """

    model: str
    branch: str
    commit: CommitId
    number: int
    created: bool
    parent: CommitId | None
    tree: TreeId
    files: int
    raw_bytes: int
    new_bytes: int
    stored_bytes: int
    packs: int
    files_read: int
    tags: tuple[str, ...]

    @property
    def reused_bytes(self) -> int:
        return self.raw_bytes - self.new_bytes


@dataclass(frozen=True, slots=True)
class _Written:
    """A version whose objects are all durable: what is left is to make it known."""

    built: BuiltTrees
    root: MapName
    stats: CommitStats
    hints: Mapping[FileId, Reference]
    packs: int
    files_read: int


def commit_files(
    stores: Stores,
    request: CommitRequest,
    *,
    stat_cache: StatCache,
    clock_ns: Callable[[], int],
    progress: Progress,
    executor: Executor | None = None,
) -> CommitReport:
    """Commit what is on disk. Acknowledged (returned) only when durable; whoever reads the branch then sees it.

    Raises ConflictError, ChangedDuringCommitError, HostileNameError, LimitError, OutcomeUnknownError and what the store raises;
    the branch is then as it was (after OutcomeUnknownError: read it).
    """
    for name in (request.branch, *request.tags):
        check_ref(name)
    snapshot = scan(request.paths)
    refs = stores.refs(request.model)
    head = refs.head()
    _check_names(request, head[1] if head else RefTable())
    parent = _branch_version(refs, head, request.branch)
    _check_expected(request, parent.commit if parent else None)
    if parent is None and not snapshot.files and not request.allow_empty:
        raise InvalidInputError(f"nothing to commit: {', '.join(str(path) for path in request.paths)} holds no files")
    with worker_pool(executor) as pool:
        ids, files_read = identify(snapshot, stat_cache, pool, clock_ns=clock_ns, progress=progress, leave=is_read_once)
        stat_cache.save()
        unread = [file for file in snapshot.files if file.path not in ids]
        if not unread and _is_nothing_new(request, parent, built := build_trees(snapshot, ids)):
            assert parent is not None  # noqa: S101 - nothing is new only against something
            return _report_nothing_new(request, parent, snapshot, files_read)
        known = Known(stores, parent or _newest_version(refs, head), request.base)
        rows = Rows()
        with PackWriter(stores.objects, pool, pack_bytes=stores.format.pack_bytes, known=known.has_chunk) as writer:
            intake = Intake(stores, snapshot, known, writer, pool, rows, delta=request.delta)
            if unread:
                read_at_ns = clock_ns()
                found = store_unread(unread, ids, known, intake, progress)
                for file in unread:
                    stat_cache.put(file.disk, file.stat, found[file.path], read_at_ns=read_at_ns)
                stat_cache.save()
                ids |= found
                built = build_trees(snapshot, ids)
                if _is_nothing_new(request, parent, built):
                    assert parent is not None  # noqa: S101 - nothing is new only against something
                    return _report_nothing_new(request, parent, snapshot, files_read + len(unread))
            placed = place_files(snapshot, ids, built, known, intake, rows, pool, progress=progress)
            writer.finish()
        written = _write(stores, request, snapshot, built, known, placed, writer, files_read + len(unread))
    return _publish(stores, refs, head, request, written)


def _write(
    stores: Stores, request: CommitRequest, snapshot: Snapshot, built: BuiltTrees, known: Known, placed: Placed, writer: PackWriter,
    files_read: int,
) -> _Written:  # fmt: skip
    """Write maps and trees, in that order, and make sure that the folder held still."""
    root, hints = write_maps(stores, placed, built, writer.packs, lambda: os.urandom(16))
    for identity, tree in built.trees.items():
        if identity.digest not in known.trees:
            stores.objects.write_tree(tree)
    check_unchanged(snapshot, request.paths)
    stats = CommitStats(
        files=len(snapshot.files),
        raw_bytes=snapshot.size_bytes,
        new_bytes=writer.new_bytes,
        stored_bytes=sum(pack.size_bytes for pack in writer.packs),
    )
    return _Written(built, root, stats, hints, len(writer.packs), files_read)


def _publish(
    stores: Stores, refs: ModelRefs, head: tuple[Recorded, RefTable] | None, request: CommitRequest, written: _Written
) -> CommitReport:
    """Append the log entry; when another writer was faster, follow it and try again."""
    if head is None:
        stores.catalogue.ensure(request.model, time_ms=request.time_ms, who=request.author)
    while True:
        recorded, table = head or (None, RefTable())
        _check_names(request, table)
        parent = _branch_version(refs, head, request.branch)
        _check_expected(request, parent.commit if parent else None)
        if _is_nothing_new(request, parent, written.built):
            assert parent is not None  # noqa: S101 - nothing is new only against something
            return _report(request, written, parent.commit, parent.number, parent=None, created=False)
        number = recorded.n + 1 if recorded else 1
        commit = Commit(
            tree=written.built.root,
            parents=(parent.commit,) if parent else (),
            author=request.author,
            time_ms=request.time_ms,
            message=request.message,
            log=request.model,
            position=number - 1,
            params=request.params,
            metrics=request.metrics,
            framework=request.framework,
            inputs=tuple(request.inputs),
        )
        identity = stores.objects.write_commit(commit)
        versions = recorded.entry.versions + 1 if recorded else 1
        ref = Ref(VersionRow(identity, number, versions, written.built.root, written.root), number)
        table = table.with_ref(RefKind.BRANCH, request.branch, ref)
        for tag in request.tags:
            table = table.with_ref(RefKind.TAG, tag, ref)
        why = request.message.partition("\n")[0]
        entry = refs.next_entry(
            recorded, table, registry=stores.format.registry, time_ms=request.time_ms, who=request.author, why=why
        )
        entry = replace(
            entry, commit=identity, tree=written.built.root, map=written.root, versions=versions, stats=written.stats
        )
        stores.objects.flush()
        if refs.log.append(entry):
            refs.log.write_hint(number)
            _write_hints(stores, written)
            return _report(request, written, identity, versions, parent=parent.commit if parent else None, created=True)
        head = refs.head()


def _branch_version(refs: ModelRefs, head: tuple[Recorded, RefTable] | None, branch: str) -> Version | None:
    """The version that the branch stands at; a new branch of an old model starts from nothing it must follow."""
    if head is None:
        return None
    ref = head[1].branches.get(branch)
    return refs.version(ref.version) if ref and ref.version else None


def _newest_version(refs: ModelRefs, head: tuple[Recorded, RefTable] | None) -> Version | None:
    """Where the first commit of a new branch looks for what is there already. It does not become its parent."""
    rows = [ref.version for kind in RefKind for ref in (head[1].of(kind).values() if head else ()) if ref.version]
    return refs.version(max(rows, key=lambda row: row.at)) if rows else None


def _check_names(request: CommitRequest, table: RefTable) -> None:
    found = table.tags.get(request.branch)
    if found and found.commit:
        raise ConflictError(
            f"{request.branch!r} is a tag of model {request.model!r}; choose another branch", ref=request.branch
        )
    for tag in request.tags:
        branch = table.branches.get(tag)
        if tag == request.branch or (branch and branch.commit):
            raise ConflictError(f"{tag!r} is a branch of model {request.model!r}; choose another tag", ref=tag)


def _check_expected(request: CommitRequest, actual: CommitId | None) -> None:
    if request.expect is not None and actual != request.expect:
        raise ConflictError(
            f"branch {request.branch!r} of model {request.model!r} stands at {actual.short if actual else 'nothing'}, not at the expected "
            f"{request.expect.short}; look at what came in (reg log {request.branch}), then commit again",
            expected=request.expect.hex,
            actual=actual.hex if actual else None,
        )


def _is_nothing_new(request: CommitRequest, parent: Version | None, built: BuiltTrees) -> bool:
    return parent is not None and parent.tree == built.root and not request.allow_empty


def _report_nothing_new(request: CommitRequest, parent: Version, snapshot: Snapshot, files_read: int) -> CommitReport:
    stats = CommitStats(len(snapshot.files), snapshot.size_bytes, 0, 0)
    unwritten = _Written(BuiltTrees(parent.tree, {}, {}), parent.map, stats, {}, 0, files_read)
    return _report(request, unwritten, parent.commit, parent.number, parent=None, created=False)


def _report(
    request: CommitRequest, written: _Written, commit: CommitId, number: int, *, parent: CommitId | None, created: bool
) -> CommitReport:
    return CommitReport(
        model=request.model,
        branch=request.branch,
        commit=commit,
        number=number,
        created=created,
        parent=parent,
        tree=written.built.root,
        files=written.stats.files,
        raw_bytes=written.stats.raw_bytes,
        new_bytes=written.stats.new_bytes,
        stored_bytes=written.stats.stored_bytes,
        packs=written.packs,
        files_read=written.files_read,
        tags=tuple(request.tags) if created else (),
    )


def _write_hints(stores: Stores, written: _Written) -> None:
    try:
        write_hints(stores, written.hints)
    except RegistryError:
        return  # the commit is acknowledged; a missing hint costs a duplicate some day
