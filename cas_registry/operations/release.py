"""Releases: versions of several models that move together, all or none, by one entry of the release's own log.

A release names only versions that are there: whoever writes it looks again afterwards, and takes it back where one was retired meanwhile.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial

from cas_registry.errors import ConflictError, InvalidInputError, NotFoundError, OutcomeUnknownError, RegistryError
from cas_registry.model.entry import Entry, RefTable, ReleaseRow
from cas_registry.model.names import check_model
from cas_registry.model.signature import KeyId
from cas_registry.store.log import Recorded
from cas_registry.store.refs import Version
from cas_registry.store.releases import ReleaseLog, rows_of
from cas_registry.store.stores import Stores


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """Which release to move, who does it, when and why.

    `expect` is the number of the entry that must be its last one (0: it does not exist yet), else ConflictError. `endorse` is called with the entry
    before it is appended.
    """

    name: str
    who: str
    time_ms: int
    why: str = ""
    expect: int | None = None
    endorse: Callable[[Entry, RefTable], None] | None = None


@dataclass(frozen=True, slots=True)
class ReleaseChange:
    """A model whose version in a release is another one now; None where it had, or has, none."""

    model: str
    before: ReleaseRow | None
    after: ReleaseRow | None


@dataclass(frozen=True, slots=True)
class ReleaseReport:
    """A release that was written as entry `entry` of its log; `moved` is False where it named these versions already."""

    name: str
    entry: int
    moved: bool
    versions: Mapping[str, ReleaseRow]
    changes: tuple[ReleaseChange, ...]
    signed_by: KeyId | None = None


@dataclass(frozen=True, slots=True)
class ReleaseInfo:
    """What an entry of a release's log says: the versions by model, who wrote it, when and why. `retired` are the models whose version is not
    there any more; None where that was not asked."""

    name: str
    entry: int
    versions: Mapping[str, ReleaseRow]
    time_ms: int
    who: str
    why: str
    retired: tuple[str, ...] | None = None


def set_release(
    stores: Stores, request: ReleaseRequest, versions: Mapping[str, Version], *, only: bool = False, drop: Collection[str] = ()
) -> ReleaseReport:
    """Let a release name these versions; models that are not among them keep theirs, unless `only`, or where they are dropped.

    ConflictError where a version of it is retired, or was retired while this was written: the release is then as it was before.
    """
    if not versions and not drop and not only:
        raise InvalidInputError("a release of what? Name versions: MODEL@REV")
    named = {model: _row(stores, check_model(model), version) for model, version in versions.items()}

    def change(before: Mapping[str, ReleaseRow]) -> Mapping[str, ReleaseRow]:
        missing = [model for model in drop if model not in before]
        if missing:
            raise NotFoundError(f"release {request.name!r} has no model {missing[0]!r}", release=request.name)
        kept = {} if only else {model: row for model, row in before.items() if model not in drop}
        return {**kept, **named}

    return _write(stores, request, change)


def roll_back_release(stores: Stores, request: ReleaseRequest) -> ReleaseReport:
    """Let a release name again what it named before its last entry. Rolling back twice changes nothing."""
    log = stores.release(request.name)
    head = log.existing_head()
    if head.n == 1:
        raise NotFoundError(f"release {request.name!r} has never moved: there is nothing to go back to", release=request.name)
    before = rows_of(log.log.read(head.n - 1))
    if request.expect is None:  # it goes back from what was read here, or not at all
        request = ReleaseRequest(request.name, request.who, request.time_ms, request.why, head.n, request.endorse)
    return _write(stores, request, lambda _: before)


def list_releases(stores: Stores) -> list[ReleaseInfo]:
    """Every release as it is now, sorted by name."""
    heads = ((name, stores.release(name).head()) for name in stores.catalogue.releases())
    return [_info(name, head) for name, head in heads if head]


def show_release(stores: Stores, name: str) -> ReleaseInfo:
    """A release as it is now, and which of its versions are not there any more. NotFoundError if there is none."""
    head = stores.release(name).existing_head()
    return _info(name, head, tuple(retired_in(stores, rows_of(head))))


def release_history(stores: Stores, name: str) -> list[ReleaseInfo]:
    """Every entry of a release's log, newest first. NotFoundError if there is none."""
    log = stores.release(name)
    return [_info(name, recorded) for recorded in log.back_from(log.existing_head())]


def retired_in(stores: Stores, rows: Mapping[str, ReleaseRow]) -> list[str]:
    """The models whose version in a release is retired, or in no log, sorted."""
    return sorted(model for model, row in rows.items() if not _is_there(stores, model, row))


def _write(
    stores: Stores, request: ReleaseRequest, change: Callable[[Mapping[str, ReleaseRow]], Mapping[str, ReleaseRow]]
) -> ReleaseReport:
    log = stores.release(request.name)
    while True:
        head = log.head()
        before = rows_of(head)
        _check_expected(request, head)
        rows = change(before)
        gone = retired_in(stores, rows)
        if gone:
            raise ConflictError(
                f"{_told(gone, rows)} was retired: name another version for release {request.name!r}, or leave the model out (--drop)",
                release=request.name,
                models=gone,
            )
        report = partial(ReleaseReport, request.name, versions=rows, changes=_changes(before, rows))
        if head is not None and rows == before:
            return report(entry=head.n, moved=False)
        if head is None:
            stores.catalogue.ensure_release(request.name, time_ms=request.time_ms, who=request.who)
        recorded = _append(stores, log, head, rows, request, request.why)
        if recorded is None:
            continue
        _look_again(stores, log, request, rows)
        return report(entry=recorded.n, moved=True)


def _look_again(stores: Stores, log: ReleaseLog, request: ReleaseRequest, rows: Mapping[str, ReleaseRow]) -> None:
    """Take a release that is written back where a version of it was retired meanwhile, and say so: ConflictError. OutcomeUnknownError where that
    cannot be seen or done, since the entry stands."""
    try:
        gone = retired_in(stores, rows)
        if gone:
            _take_back(stores, log, request)
    except RegistryError as error:
        raise OutcomeUnknownError(
            f"release {request.name!r} is written, but whether all of its versions are still there could not be settled ({error.message}). "
            f"Look at it (reg release {request.name}), or write it again",
            release=request.name,
        ) from error
    if gone:
        raise ConflictError(
            f"{_told(gone, rows)} was retired while release {request.name!r} was written; the release was taken back",
            release=request.name,
            models=gone,
        )


def _append(
    stores: Stores, log: ReleaseLog, head: Recorded | None, rows: Mapping[str, ReleaseRow], request: ReleaseRequest, why: str
) -> Recorded | None:
    entry = log.next_entry(head, rows, registry=stores.format.registry, time_ms=request.time_ms, who=request.who, why=why)
    if request.endorse is not None:
        request.endorse(entry, RefTable())
    stores.objects.flush()
    recorded = log.log.append(entry)
    if recorded is not None:
        log.log.write_hint(recorded.n)
    return recorded


def _take_back(stores: Stores, log: ReleaseLog, request: ReleaseRequest) -> None:
    """Let the release name what it named when all of that was there, by one more entry; and look again, for that may have been retired since."""
    while True:
        head = log.existing_head()
        if not retired_in(stores, rows_of(head)):
            return
        earlier = (rows_of(recorded) for recorded in log.back_from(head))
        whole = next((rows for rows in earlier if not retired_in(stores, rows)), {})
        _append(
            stores,
            log,
            head,
            whole,
            request,
            f"taken back: {_told(retired_in(stores, rows_of(head)), rows_of(head))} was retired",
        )


def _check_expected(request: ReleaseRequest, head: Recorded | None) -> None:
    actual = head.n if head else 0
    if request.expect is not None and actual != request.expect:
        raise ConflictError(
            f"release {request.name!r} is at entry {actual}, not at the expected {request.expect}; look at what moved it "
            f"(reg release {request.name} --history)",
            expected=request.expect,
            actual=actual,
        )


def _row(stores: Stores, model: str, version: Version) -> ReleaseRow:
    """The version as a release names it: by the entry of the model's own log that introduced it."""
    own: Version | None = version
    if version.log != model:  # an ancestor made in another model, or one found by its id
        refs = stores.refs(model)
        head = refs.head()
        own = next((found for found in refs.versions(head[0]) if found.commit == version.commit), None) if head else None
    if own is None:
        raise InvalidInputError(
            f"{version.commit.short} is a version of model {version.log!r}; release {version.log}@…, or give it a tag of model {model!r} first",
            commit=version.commit.hex,
        )
    return ReleaseRow(own.commit, own.at, own.number, own.tree)


def _is_there(stores: Stores, model: str, row: ReleaseRow) -> bool:
    refs = stores.refs(model)
    head = refs.log.head()
    return head is not None and head.n >= row.at and refs.remap(head).maps.get(row.at, row) is not None


def _changes(before: Mapping[str, ReleaseRow], after: Mapping[str, ReleaseRow]) -> tuple[ReleaseChange, ...]:
    return tuple(
        ReleaseChange(model, before.get(model), after.get(model))
        for model in sorted(before.keys() | after.keys())
        if before.get(model) != after.get(model)
    )


def _told(models: Collection[str], rows: Mapping[str, ReleaseRow]) -> str:
    return ", ".join(f"v{rows[model].number} of {model}" for model in models)


def _info(name: str, recorded: Recorded, retired: tuple[str, ...] | None = None) -> ReleaseInfo:
    entry = recorded.entry
    return ReleaseInfo(name, recorded.n, rows_of(recorded), entry.time_ms, entry.who, entry.why, retired)
