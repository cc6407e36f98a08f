"""Retiring: versions, or a whole model, that nobody should find any more. One log entry; what only they needed goes with the next collection.

A version that was retired by mistake comes back (`restore`) as long as no collection means to delete what it needs. Its commit, number and
place in history stay for ever.

What somebody else needs is not retired: a version that a release names, or that a living version was made from. They may come to need it while it is
retired, so one looks again afterwards, and takes it back.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from cas_registry.errors import (
    ConflictError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    OutcomeUnknownError,
    RegistryError,
)
from cas_registry.model.entry import Entry, Operation, Ref, RefKind, RefTable
from cas_registry.model.ids import CommitId, MapName
from cas_registry.model.remap import RemapTable
from cas_registry.operations.rules import check_removal
from cas_registry.operations.uses import Use, Uses
from cas_registry.store.epochs import Threats
from cas_registry.store.log import BATCH, Recorded
from cas_registry.store.refs import ModelRefs, Version
from cas_registry.store.stores import Stores

_NAMED = 5  # refs told in a refusal


@dataclass(frozen=True, slots=True)
class RetireRequest:
    """Of which model, who does it, when and why. With `force` branches and tags that stand at what is retired are deleted, and releases and
    versions that need it do without."""

    model: str
    who: str
    time_ms: int
    why: str = ""
    force: bool = False


class Action(StrEnum):
    """What was done: some VERSIONS retired, a whole MODEL, or a version RESTORED."""

    VERSIONS = "versions"
    MODEL = "model"
    RESTORED = "restored"


@dataclass(frozen=True, slots=True)
class RetireReport:
    """What was retired (or restored): the commits, the branches and tags that were deleted with them, and who needed one all the same."""

    model: str
    action: Action
    commits: tuple[CommitId, ...]
    refs: tuple[str, ...]
    breaks: tuple[Use, ...] = ()


def retire_versions(
    stores: Stores, request: RetireRequest, versions: Sequence[Version], *, uses: Uses | None = None
) -> RetireReport:
    """Retire these versions of one model. ConflictError where a branch or tag stands at one of them, a release names it, or a living version was
    made from it, unless `force`; RuleError where the rules of a tag do not let it be deleted. `uses` may be kept by whoever retires several times."""
    strangers = [version for version in versions if version.log != request.model]
    if strangers:
        raise InvalidInputError(f"{strangers[0].commit.short} is a version of model {strangers[0].log!r}; retire it there")
    wanted = {version.at: version for version in versions}

    def choose(_: Recorded, now: RemapTable) -> Iterator[Version]:
        for at, version in wanted.items():
            current = now.of(at, version.map)
            if current is not None:
                yield replace(version, map=current)

    return _retire(stores, request, choose, uses or Uses(stores))


def retire_model(stores: Stores, request: RetireRequest) -> RetireReport:
    """Retire every version of a model, delete its branches and tags, and take it off the list of models. A later commit begins it anew.

    ConflictError where it has tags, unless `force`; RuleError where their rules do not let them be deleted. NotFoundError for a model that is
    not there.
    """
    row = stores.catalogue.models().get(request.model)
    if row is None or row.retired:
        raise NotFoundError(f"there is no model {request.model!r}; reg models lists them", model=request.model)
    refs = stores.refs(request.model)
    report = _retire(stores, request, lambda head, _: refs.versions(head), Uses(stores), whole=True)
    stores.catalogue.retire(request.model, time_ms=request.time_ms, who=request.who, why=request.why)
    found = refs.head()
    if found and found[1].is_live:  # somebody has committed meanwhile, and may have looked at the list before
        stores.catalogue.ensure(request.model, time_ms=request.time_ms, who=request.who)
    return report


def restore_version(stores: Stores, request: RetireRequest, commit: CommitId) -> RetireReport:
    """Take back that a version was retired. ConflictError where a collection may delete, or has deleted, what it needs."""
    refs = stores.refs(request.model)
    recorded = refs.introduction(commit)
    if recorded.entry.log != request.model:
        taken_over = _taken_over(refs, commit)
        if taken_over is None:
            raise InvalidInputError(f"{commit.short} is a version of model {recorded.entry.log!r}; restore it there")
        recorded = taken_over
    threats: Threats | None = None
    while True:
        head, table = refs.existing_head()
        now = refs.remap(head)
        introduced = recorded.entry.map
        assert introduced is not None  # noqa: S101 - it introduces a commit
        if now.of(recorded.n, introduced) is not None:
            raise ConflictError(f"{request.model}@{commit.short} is not retired", commit=commit.hex)
        root = _map_before(refs, head, recorded.n, introduced)
        threats = threats or stores.threats(head.entry)
        threats.catch_up(head.entry)
        if not threats.spares_version(root) or not _is_whole(stores, root):
            raise ConflictError(
                f"a collection may delete what {request.model}@{commit.short} needs, or has done so; if it waits yet, call it off first "
                "(reg gc lists them, reg gc --undo EPOCH)",
                commit=commit.hex,
            )
        if _append(stores, refs, head, table, {**now.maps, recorded.n: root}, request):
            return RetireReport(request.model, Action.RESTORED, (commit,), ())


def _retire(
    stores: Stores, request: RetireRequest, choose: Callable[[Recorded, RemapTable], Iterator[Version]], uses: Uses,
    *, whole: bool = False,
) -> RetireReport:  # fmt: skip
    """Retire what `choose` says of the log's head."""
    refs = stores.refs(request.model)
    action = Action.MODEL if whole else Action.VERSIONS
    while True:
        head, table = refs.existing_head()
        now = refs.remap(head)
        gone = {version.at: version for version in choose(head, now)}
        standing = [
            (kind, name)
            for kind in RefKind
            for name, ref in table.of(kind).items()
            if ref.version and (whole or ref.version.at in gone)
        ]
        in_the_way = [f"{kind.value} {name}" for kind, name in standing if not whole or kind is RefKind.TAG]
        if in_the_way and not request.force:
            names = ", ".join(in_the_way[:_NAMED]) + (", …" if len(in_the_way) > _NAMED else "")
            raise ConflictError(
                f"{names} of model {request.model!r} would stand at nothing; move or delete what stands there first, or --force deletes it",
                refs=in_the_way,
            )
        if not gone and not standing:
            return RetireReport(request.model, action, (), ())
        if tags := [name for kind, name in standing if kind is RefKind.TAG]:
            check_removal(stores, request.model, tags, request.who)
        commits = {version.commit for version in gone.values()}
        needed = uses.of(request.model, commits)
        if needed and not request.force:
            raise ConflictError(
                f"{_told(needed)}; let them go first, or --force retires it all the same", uses=[str(use) for use in needed]
            )
        after = table
        for kind, name in standing:
            after = after.with_ref(kind, name, Ref(None, head.n + 1))
        if not _append(stores, refs, head, after, {**now.maps, **dict.fromkeys(gone)}, request):
            continue
        if not request.force:
            _look_again(stores, request, uses, gone, table, head.n + 1)
        done = tuple(gone[at].commit for at in (sorted(gone) if whole else gone))
        return RetireReport(request.model, action, done, tuple(name for _, name in standing), tuple(needed))


def _look_again(
    stores: Stores, request: RetireRequest, uses: Uses, gone: Mapping[int, Version], before: RefTable, entry: int
) -> None:
    """Give back what that entry retired where somebody needs it by now, and say so: ConflictError. OutcomeUnknownError where that cannot be seen
    or done, since the entry stands."""
    try:
        overtaken = uses.of(request.model, {version.commit for version in gone.values()})
        if overtaken:
            _take_back(stores, request, gone, before, entry)
    except ConflictError:
        raise
    except RegistryError as error:
        raise OutcomeUnknownError(
            f"entry {entry} of model {request.model!r} retires them, but whether somebody needs them by now could not be settled ({error.message}). "
            "Run reg fsck, which names releases of retired versions; reg retire --undo takes it back",
            model=request.model,
        ) from error
    if overtaken:
        raise ConflictError(f"{_told(overtaken)} by now: nothing was retired", uses=[str(use) for use in overtaken])


def _take_back(stores: Stores, request: RetireRequest, gone: Mapping[int, Version], before: RefTable, entry: int) -> None:
    """Give back what that entry retired, with the refs that it deleted. ConflictError where a collection may delete it already."""
    refs = stores.refs(request.model)
    while True:
        head, table = refs.existing_head()
        now = refs.remap(head)
        maps = {at: version.map for at, version in gone.items() if now.of(at, version.map) is None}
        threats = stores.threats(head.entry)
        lost = [at for at, root in maps.items() if not threats.spares_version(root) or not _is_whole(stores, root)]
        if lost:
            names = ", ".join(gone[at].commit.short for at in lost)
            raise ConflictError(
                f"{names} of model {request.model!r} is retired and needed again, and a collection may delete it, or has done so; if it waits yet, "
                "call it off (reg gc --undo EPOCH), then take it back (reg retire --undo)",
                commits=[gone[at].commit.hex for at in lost],
            )
        after = table
        for kind in RefKind:
            for name, ref in before.of(kind).items():
                if table.of(kind).get(name) == Ref(None, entry) and ref.version and ref.version.at in maps:
                    after = after.with_ref(kind, name, Ref(ref.version, head.n + 1))
        why = f"taken back: entry {entry} retired what is needed"
        if not maps or _append(stores, refs, head, after, {**now.maps, **maps}, replace(request, why=why)):
            return


def _told(uses: Sequence[Use]) -> str:
    return ", ".join(map(str, uses[:_NAMED])) + (", …" if len(uses) > _NAMED else "")


def _append(
    stores: Stores, refs: ModelRefs, head: Recorded, table: RefTable, maps: Mapping[int, MapName | None], request: RetireRequest
) -> bool:
    entry: Entry = refs.next_entry(
        head, table, registry=stores.format.registry, time_ms=request.time_ms, who=request.who, why=request.why
    )
    identity = stores.objects.write_remap_table(RemapTable(maps)) if maps else None
    stores.objects.flush()
    if refs.log.append(replace(entry, op=Operation.RETIRE, remap=identity)) is None:
        return False
    refs.log.write_hint(entry.n)
    return True


def _taken_over(refs: ModelRefs, commit: CommitId) -> Recorded | None:
    """The last entry of a log that introduces a commit made in another one: a fork's first, or that of a ref set at another model's version."""
    head = refs.log.head()
    for start in range(head.n, 0, -BATCH) if head else ():
        for recorded in refs.log.read_many(range(start, max(0, start - BATCH), -1)):
            if recorded.entry.commit == commit:
                return recorded
    return None


def _map_before(refs: ModelRefs, head: Recorded, at: int, introduced: MapName) -> MapName:
    """The map that a version had before it was retired: of the last entry that gave it one."""
    for start in range(head.n, at, -BATCH):
        entries = refs.log.read_many(range(start, max(at, start - BATCH), -1))
        tables = dict.fromkeys(entry.entry.remap for entry in entries)
        for recorded in entries:
            if recorded.entry.remap in tables:
                del tables[recorded.entry.remap]
                root = refs.remap(recorded).of(at, introduced)
                if root is not None:
                    return root
    return introduced


def _is_whole(stores: Stores, root: MapName) -> bool:
    """Whether all maps and packs of a version are there."""
    try:
        chunk_map, _ = stores.objects.read_map(root)
        below = stores.objects.read_maps(list(dict.fromkeys(chunk_map.references.values())))
    except IntegrityError:
        return False
    packs = dict.fromkeys(pack for found in (chunk_map, *below) for pack in found.packs)
    return all(map(stores.objects.pack_is_there, packs))
