"""The life of a commit: scan, identify, place, write, and one create-only log entry at the end.

Everything before the entry is invisible; whatever stops a commit leaves at most packs and objects that nothing names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cas_registry.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError, RegistryError
from cas_registry.model.canonical import Scalar
from cas_registry.model.commit import Commit
from cas_registry.model.entry import CommitStats, Entry, Ref, RefKind, RefTable, VersionRow
from cas_registry.model.ids import CommitId, TreeId
from cas_registry.model.inputs import Input
from cas_registry.model.names import check_ref
from cas_registry.operations.progress import Progress
from cas_registry.store.log import Recorded
from cas_registry.store.refs import ModelRefs, Version
from cas_registry.store.stores import Stores
from cas_registry.worktree.scan import Snapshot, scan
from cas_registry.worktree.stat_cache import StatCache

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from cas_registry.model.schema import Schema
    from cas_registry.model.signature import KeyId
    from cas_registry.operations.capture import Captured
    from cas_registry.operations.trust import Trust
    from cas_registry.operations.writing import Written
    from cas_registry.store.epochs import Threats

DELTAS = ("auto", "never", "always")


@dataclass(frozen=True, slots=True)
class CommitRequest:
    """What to commit, and what to say of it.

    `author` and `time_ms` say who commits and when; where another made the version, earlier, its commit tells `made_by` and `made_ms`, and the log
    who commits. `expect` is the commit that the branch must stand at (a ConflictError if it does not); without it the commit follows
    whatever the branch stands at when it lands, unless `expect_new` wants there to be no such branch. `base` is a further version in which to look for duplicates and for what tensors may be deltas to.
    `delta` is one of `DELTAS`. `endorse` is called with the entry and its table before it is appended; `trust` tells whose signatures count
    where rules of the tags ask for any. `capture` is called once, as soon as the version is known to be new; what it finds is told where
    nothing else was said of it.
    """

    model: str
    paths: Sequence[Path]
    author: str
    time_ms: int
    branch: str = "main"
    message: str = ""
    params: Mapping[str, Scalar] = field(default_factory=dict)
    metrics: Mapping[str, Scalar] = field(default_factory=dict)
    labels: Mapping[str, Scalar] = field(default_factory=dict)
    framework: Mapping[str, Scalar] = field(default_factory=dict)
    packages: Mapping[str, Scalar] = field(default_factory=dict)
    environment: Mapping[str, Scalar] = field(default_factory=dict)
    code: Mapping[str, Scalar] = field(default_factory=dict)
    inputs: Sequence[Input] = ()
    schema: Schema | None = None
    tags: Sequence[str] = ()
    base: Version | None = None
    delta: str = "auto"
    allow_empty: bool = False
    expect: CommitId | None = None
    expect_new: bool = False
    endorse: Callable[[Entry, RefTable], None] | None = None
    trust: Callable[[], Trust] | None = None
    capture: Callable[[], Captured | None] | None = None
    made_by: str | None = None
    made_ms: int | None = None


@dataclass(frozen=True, slots=True)
class CommitReport:
    """What a commit did. `created` is False where the branch held exactly these files already: `commit` is then its head.

    `new_bytes` are raw bytes that the registry did not have, `stored_bytes` what they take in packs; `files_read` counts the
    files whose content had to be read. `identical_to` is the number of an earlier version of the model with the very same files.
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
    signed_by: KeyId | None = None
    identical_to: int | None = None

    @property
    def reused_bytes(self) -> int:
        return self.raw_bytes - self.new_bytes


def check_delta(name: str) -> str:
    """One of `DELTAS`. Raises InvalidInputError."""
    if name not in DELTAS:
        raise InvalidInputError(f"delta is {name!r}; choose one of {', '.join(DELTAS)}")
    return name


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

    Raises ConflictError, RuleError, ChangedDuringCommitError, HostileNameError, LimitError, OutcomeUnknownError and what the store raises;
    the branch is then as it was (after OutcomeUnknownError: read it).
    """
    for name in (request.branch, *request.tags):
        check_ref(name)
    snapshot = scan(request.paths)
    refs = stores.refs(request.model)
    while True:
        head = refs.head()
        try:
            return _commit(stores, refs, head, request, snapshot, stat_cache, clock_ns, progress, executor)
        except IntegrityError as error:
            if not error.fields.get("missing"):
                raise
            if request.base and _is_retired(stores, request.base):
                request = replace(request, base=None)
            elif not _has_moved(refs, head):
                raise  # nothing was retired and collected meanwhile: it is lost


def _commit(
    stores: Stores, refs: ModelRefs, head: tuple[Recorded, RefTable] | None, request: CommitRequest, snapshot: Snapshot,
    stat_cache: StatCache, clock_ns: Callable[[], int], progress: Progress, executor: Executor | None,
) -> CommitReport:  # fmt: skip
    """Commit onto that head of the log, or onto one that follows it."""
    _check_names(request, head[1] if head else RefTable())
    parent = _branch_version(refs, head, request.branch)
    if _is_nothing_new(request, parent, stat_cache.tree(snapshot)):
        assert parent is not None  # noqa: S101 - nothing is new only against something
        check_expected(request, parent.commit)
        return _report_nothing_new(request, parent, snapshot, 0)
    if parent is None and not snapshot.count and not request.allow_empty:
        raise InvalidInputError(f"nothing to commit: {', '.join(str(path) for path in request.paths)} holds no files")
    check_expected(request, parent.commit if parent else None)
    if request.tags:
        from cas_registry.operations.rules import check_prospect  # noqa: PLC0415 - where tags are to move

        check_prospect(stores, request.model, request.tags, request.author)
    from cas_registry.operations.facts import Facts  # noqa: PLC0415 - an unchanged folder tells of nothing
    from cas_registry.operations.writing import VersionWriter  # noqa: PLC0415 - 0.1 s that no unchanged folder waits for

    nearest = parent or _newest_version(refs, head)
    threats = stores.threats(head[0].entry if head else None)
    writer = VersionWriter(stores, snapshot, request.paths, nearest, request.base, threats, delta=request.delta)
    facts = Facts(request, snapshot)

    def write_again(nearest: Version | None) -> Written:
        anew = VersionWriter(stores, snapshot, request.paths, nearest, None, threats, delta=request.delta)
        written = anew.write(stat_cache, clock_ns, progress, executor, lambda _: False)
        assert written is not None  # noqa: S101 - it was told that nothing of it is known
        return written

    def is_nothing_new(tree: TreeId) -> bool:
        if _is_nothing_new(request, parent, tree):
            return True
        facts.find()
        return False

    written = writer.write(stat_cache, clock_ns, progress, executor, is_nothing_new)
    if written is None:
        assert parent is not None  # noqa: S101 - nothing is new only against something
        return _report_nothing_new(request, parent, snapshot, writer.files_read)
    return publish(stores, refs, head, facts.find(), written, threats, write_again)


def publish(
    stores: Stores, refs: ModelRefs, head: tuple[Recorded, RefTable] | None, request: CommitRequest, written: Written,
    threats: Threats, write_again: Callable[[Version | None], Written],
) -> CommitReport:  # fmt: skip
    """Append the log entry of a version that is written; when another writer was faster, follow it and try again.

    Where a collection began since the head was read that `threats` knows of, whatever it may delete of the version is written anew.
    """
    while True:
        recorded, table = head or (None, RefTable())
        before = recorded.entry if recorded else None
        catalogue: Recorded | None = None
        if not table.is_live:  # a new model, or one that was retired
            catalogue = stores.catalogue.ensure(request.model, time_ms=request.time_ms, who=request.author)
            before = before or catalogue.entry
        _check_names(request, table)
        parent = _branch_version(refs, head, request.branch)
        if before and threats.catch_up(before) and not threats.spares_version(written.root):
            written = write_again(parent or _newest_version(refs, head))
        check_expected(request, parent.commit if parent else None)
        if _is_nothing_new(request, parent, written.tree):
            assert parent is not None  # noqa: S101 - nothing is new only against something
            return _report(
                request, written.tree, written.stats, written.packs, written.files_read, parent.commit, parent.number
            )
        number = recorded.n + 1 if recorded else 1
        commit = _commit_of(request, written, parent, number - 1)
        versions = recorded.entry.versions + 1 if recorded else 1
        _check_rules(stores, request, head, commit, written, versions, catalogue)
        identity = stores.objects.write_commit(commit)
        ref = Ref(VersionRow(identity, number, versions, written.tree, written.root), number)
        table = table.with_ref(RefKind.BRANCH, request.branch, ref)
        for tag in request.tags:
            table = table.with_ref(RefKind.TAG, tag, ref)
        why = request.message.partition("\n")[0]
        entry = refs.next_entry(
            recorded,
            table,
            registry=stores.format.registry,
            time_ms=request.time_ms,
            who=request.author,
            why=why,
            before=before,
        )
        entry = replace(entry, commit=identity, tree=written.tree, map=written.root, versions=versions, stats=written.stats)
        if request.endorse is not None:
            request.endorse(entry, table)
        stores.objects.flush()
        if refs.log.append(entry):
            refs.log.write_hint(number)
            _write_hints(stores, written)
            report = _report(
                request, written.tree, written.stats, written.packs, written.files_read, identity, versions,
                parent=parent.commit if parent else None, created=True,
            )  # fmt: skip
            return (
                report if written.is_new_tree or head is None else replace(report, identical_to=_identical(refs, head, written))
            )
        head = refs.head()


def _check_rules(
    stores: Stores, request: CommitRequest, head: tuple[Recorded, RefTable] | None, commit: Commit, written: Written, number: int,
    catalogue: Recorded | None,
) -> None:  # fmt: skip
    """Whether the tags may move to the version, and a new branch have its name."""
    recorded, table = head or (None, RefTable())
    branch = table.branches.get(request.branch)
    is_new = branch is None or branch.commit is None
    if not is_new and not request.tags:
        return
    from cas_registry.operations import rules  # noqa: PLC0415 - the next commit to a branch asks for none

    catalogue = catalogue or stores.catalogue.head()
    if is_new:
        rules.check_branch(stores, request.model, request.branch, catalogue=catalogue)
    if request.tags:
        mover = rules.Mover(request.author, request.time_ms, signs=request.endorse is not None, trust=request.trust)
        scene = rules.Scene(request.model, recorded, table, mover)
        candidate = rules.Candidate(commit, written.root, number, stats=written.stats)
        rules.check_move(stores, scene, request.tags, candidate, catalogue=catalogue)


def _commit_of(request: CommitRequest, written: Written, parent: Version | None, position: int) -> Commit:
    return Commit(
        tree=written.tree,
        parents=(parent.commit,) if parent else (),
        author=request.author if request.made_by is None else request.made_by,
        time_ms=request.time_ms if request.made_ms is None else request.made_ms,
        message=request.message,
        log=request.model,
        position=position,
        params=request.params,
        metrics=request.metrics,
        labels=request.labels,
        framework=request.framework,
        packages=request.packages,
        environment=request.environment,
        code=request.code,
        inputs=tuple(request.inputs),
        schema=request.schema,
    )


def _identical(refs: ModelRefs, head: tuple[Recorded, RefTable], written: Written) -> int | None:
    from cas_registry.operations.identical import find_identical  # noqa: PLC0415 - seldom needed

    try:
        return find_identical(refs, *head, written.tree)
    except RegistryError:
        return None  # the commit is acknowledged; that it repeats another is a remark


def _is_retired(stores: Stores, version: Version) -> bool:
    try:
        stores.refs(version.model).find_entry(version.commit)
    except NotFoundError:
        return True
    return False


def _has_moved(refs: ModelRefs, head: tuple[Recorded, RefTable] | None) -> bool:
    now = refs.log.head()
    return now is not None and (head is None or now.id != head[0].id)


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


def check_expected(request: CommitRequest, actual: CommitId | None) -> None:
    """ConflictError where the branch stands elsewhere than the request expects."""
    if request.expect_new and actual is not None:
        raise ConflictError(
            f"branch {request.branch!r} of model {request.model!r} stands at {actual.short}, and was not expected to be there; look at what came "
            f"in (reg log {request.branch}), then commit again",
            expected=None,
            actual=actual.hex,
        )
    if request.expect is not None and actual != request.expect:
        raise ConflictError(
            f"branch {request.branch!r} of model {request.model!r} stands at {actual.short if actual else 'nothing'}, not at the expected "
            f"{request.expect.short}; look at what came in (reg log {request.branch}), then commit again",
            expected=request.expect.hex,
            actual=actual.hex if actual else None,
        )


def _is_nothing_new(request: CommitRequest, parent: Version | None, tree: TreeId | None) -> bool:
    return parent is not None and parent.tree == tree and not request.allow_empty


def _report_nothing_new(request: CommitRequest, parent: Version, snapshot: Snapshot, files_read: int) -> CommitReport:
    stats = CommitStats(snapshot.count, snapshot.size_bytes, 0, 0)
    return _report(request, parent.tree, stats, 0, files_read, parent.commit, parent.number)


def _report(
    request: CommitRequest, tree: TreeId, stats: CommitStats, packs: int, files_read: int, commit: CommitId, number: int,
    *, parent: CommitId | None = None, created: bool = False,
) -> CommitReport:  # fmt: skip
    return CommitReport(
        model=request.model,
        branch=request.branch,
        commit=commit,
        number=number,
        created=created,
        parent=parent,
        tree=tree,
        files=stats.files,
        raw_bytes=stats.raw_bytes,
        new_bytes=stats.new_bytes,
        stored_bytes=stats.stored_bytes,
        packs=packs,
        files_read=files_read,
        tags=tuple(request.tags) if created else (),
    )


def _write_hints(stores: Stores, written: Written) -> None:
    from cas_registry.operations.placing import write_hints  # noqa: PLC0415 - as above

    try:
        write_hints(stores, written.hints)
    except RegistryError:
        return  # the commit is acknowledged; a missing hint costs a duplicate some day
