"""Committing what a source holds: each version once, in the source's order, by its own author and time; then its tags.

A version carries where it came from as labels (`imported.from`, `imported.id`, `imported.name`), and by them the next import of the same source
recognises it in the log: nothing is kept beside the registry, and an import that was stopped goes on where it was. The log's entries tell
who imported and when. Two imports at once commit a version once: each commits onto the branch where it saw it, and looks again where that moved.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from cas_registry.errors import (
    AccessError,
    BackendError,
    ChangedDuringCommitError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    RegistryError,
    RuleError,
)
from cas_registry.model.canonical import Scalar
from cas_registry.model.entry import RefKind
from cas_registry.model.ids import CommitId
from cas_registry.model.names import check_model
from cas_registry.operations.commit import CommitReport, CommitRequest, commit_files
from cas_registry.operations.importing.foreign import ForeignVersion, Source, Unreadable, reading
from cas_registry.operations.importing.naming import model_name, ref_name
from cas_registry.operations.index import Index, ask_index
from cas_registry.operations.progress import Progress
from cas_registry.operations.refs import MoveRequest, set_ref
from cas_registry.redaction import redact
from cas_registry.store.stores import Stores
from cas_registry.worktree.stat_cache import StatCache

FROM, ID, NAME, PLACE = "imported.from", "imported.id", "imported.name", "imported.place"  # labels
REASON = "imported from "  # how the reason of a tag's move begins that an import made
_IMPORT = "import"  # how what is said of progress begins
_SAID_EACH = 20  # versions listed
_TRIES = 5  # of one version, while others commit to the same branch


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """Who imports, when, and what of it.

    `only` are names of the source's models (none: all), `names` what to call them here (the others keep their names, as far as a registry
    can hold them). Versions go to `branch`. With `strict` the first version that cannot be imported stops it all.
    """

    who: str
    time_ms: int
    branch: str = "main"
    only: Sequence[str] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    delta: str = "auto"
    dry_run: bool = False
    strict: bool = False


class Outcome(StrEnum):
    """What became of a version or tag: it is IMPORTED; it was KNOWN, imported before; it is PLANNED, in a dry run; it FAILED; or, of a tag, it is
    KEPT where somebody put it here."""

    IMPORTED = "imported"
    KNOWN = "known"
    PLANNED = "planned"
    FAILED = "failed"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class ImportedVersion:
    """A version of the source, and the one that it is here. `reason` says why it failed."""

    model: str
    name: str
    id: str | None
    outcome: Outcome
    commit: CommitId | None = None
    number: int | None = None
    author: str | None = None
    time_ms: int | None = None
    files: int | None = None
    raw_bytes: int | None = None
    new_bytes: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ImportedTag:
    """A tag here, what the source calls it, and the version at which the source has it. `commit` is None in a dry run, where that is not here yet."""

    model: str
    tag: str
    name: str
    version: str
    commit: CommitId | None
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did, or, with `dry_run`, would do: version by version in the order of the source, then the tags."""

    kind: str
    place: str
    dry_run: bool
    versions: tuple[ImportedVersion, ...]
    tags: tuple[ImportedTag, ...]

    def count(self, outcome: Outcome) -> int:
        """How many versions that became of."""
        return sum(version.outcome is outcome for version in self.versions)

    @property
    def failed(self) -> bool:
        """Whether anything could not be imported."""
        return Outcome.FAILED in {*(item.outcome for item in self.versions), *(item.outcome for item in self.tags)}


@dataclass(frozen=True, slots=True)
class _Here:
    """A version that was imported already."""

    commit: CommitId
    number: int


_Key = tuple[str, str]  # a model of the registry, and the version's id in the source


def import_versions(
    stores: Stores, source: Source, request: ImportRequest, *, cache_folder: Path | None, clock_ns: Callable[[], int], progress: Progress,
    tell: Callable[[ImportedVersion], None] = lambda _: None,
) -> ImportReport:  # fmt: skip
    """Import what is new in a source. `tell` hears of each version as soon as it is settled.

    A version that cannot be read, or that no registry can hold, FAILED, and the next one is tried. Raises what the registry's store raises,
    InvalidInputError where two models would have one name, and with `strict` the error of the version.
    """
    found = _chosen(_listed(source, progress), request)
    names = _names(found, request)
    run = _Run(stores, source, request, names, cache_folder, clock_ns, progress)
    done = []
    for position, item in enumerate(found, start=1):
        settled = run.settle(item, position, len(found))
        tell(settled)
        done.append(settled)
    tags = run.move_tags([item for item in found if isinstance(item, ForeignVersion)])
    return ImportReport(source.kind, source.place, request.dry_run, tuple(done), tuple(tags))


def _listed(source: Source, progress: Progress) -> Iterator[ForeignVersion | Unreadable]:
    """What a source tells, which may take it a while."""
    progress.update("list", 0, 0)
    for count, item in enumerate(source.versions()):
        if count % _SAID_EACH == 0:
            progress.update("list", count, 0)
        yield item


def _chosen(found: Iterable[ForeignVersion | Unreadable], request: ImportRequest) -> list[ForeignVersion | Unreadable]:
    everything = list(found)
    there = {item.model for item in everything if item.model is not None}
    missing = [name for name in (*request.only, *request.names) if name not in there]
    if missing:
        raise NotFoundError(
            f"the source has no model {missing[0]!r}; it has {', '.join(sorted(there)) or 'none'}", model=missing[0]
        )
    return [item for item in everything if not request.only or item.model in request.only]


def _names(found: Iterable[ForeignVersion | Unreadable], request: ImportRequest) -> dict[str, str]:
    """What the models of the source are called here. InvalidInputError for two of one name."""
    names: dict[str, str] = {}
    taken: dict[str, str] = {}
    for model in dict.fromkeys(item.model for item in found if item.model is not None):
        name = check_model(request.names[model]) if model in request.names else model_name(model)
        other = taken.setdefault(name, model)
        if other != model:
            raise InvalidInputError(
                f"{other!r} and {model!r} would both be model {name!r}; give one another name (--as {model}=NAME)", model=name
            )
        names[model] = name
    return names


class _Run:
    """One import."""

    def __init__(
        self, stores: Stores, source: Source, request: ImportRequest, names: Mapping[str, str], cache_folder: Path | None,
        clock_ns: Callable[[], int], progress: Progress,
    ) -> None:  # fmt: skip
        self._stores = stores
        self._source = source
        self._request = request
        self._names = names
        self._cache_folder = cache_folder
        self._clock_ns = clock_ns
        self._progress = progress
        self._heads: dict[str, CommitId | None] = {}
        self._here: dict[_Key, _Here] = {}
        self._learn(list(names.values()))

    def settle(self, item: ForeignVersion | Unreadable, position: int, count: int) -> ImportedVersion:
        """Import one version, unless it is here."""
        model = self._names.get(item.model or "", item.model or "")
        if isinstance(item, Unreadable):
            return self._failed(ImportedVersion(model, item.name, None, Outcome.FAILED), InvalidInputError(item.reason))
        told = ImportedVersion(
            model, item.name, item.id, Outcome.PLANNED, author=item.author, time_ms=item.time_ms, raw_bytes=item.size_bytes
        )
        if (model, item.id) in self._here:
            return self._known(told)
        if self._request.dry_run:
            return told
        return self._import(told, item, f"{item.name} ({position} of {count})")

    def _import(self, told: ImportedVersion, item: ForeignVersion, stage: str) -> ImportedVersion:
        model = told.model
        with tempfile.TemporaryDirectory(prefix="reg-import-") as scratch:
            try:
                self._progress.update(f"{_IMPORT} {stage}: fetch", 0, 0)
                with reading(item.name):
                    folder = item.lay_out(Path(scratch))
            except RegistryError as error:
                return self._failed(told, error)
            try:
                report = self._commit(model, item, folder, _Staged(self._progress, stage))
            except (InvalidInputError, ChangedDuringCommitError, NotFoundError) as error:
                return self._failed(told, error)
        if report is None:
            return self._known(told)
        self._here[model, item.id] = _Here(report.commit, report.number)
        return replace(
            told, outcome=Outcome.IMPORTED, commit=report.commit, number=report.number, files=report.files,
            raw_bytes=report.raw_bytes, new_bytes=report.new_bytes,
        )  # fmt: skip

    def move_tags(self, versions: Iterable[ForeignVersion]) -> list[ImportedTag]:
        """Let tags stand here where they stand in the source: of each name, at the last version that has it."""
        wanted: dict[tuple[str, str], tuple[str, ForeignVersion, str]] = {}
        for version in versions:
            for tag in version.tags:
                key = self._names[version.model], ref_name(tag.name, self._source.kind)
                wanted[key] = (tag.name, version, tag.why)
        return [self._move(model, tag, *rest) for (model, tag), rest in wanted.items()]

    def _commit(self, model: str, item: ForeignVersion, folder: Path, progress: Progress) -> CommitReport | None:
        """Commit it onto the branch as it was seen; None where somebody else imported it meanwhile."""
        for _ in range(_TRIES):
            try:
                report = commit_files(
                    self._stores, self._request_for(model, item, folder), stat_cache=StatCache(None), clock_ns=self._clock_ns,
                    progress=progress,
                )  # fmt: skip
            except ChangedDuringCommitError:
                raise
            except ConflictError as error:
                if "expected" not in error.fields:
                    raise
                self._learn([model])
                if (model, item.id) in self._here:
                    return None
                continue
            self._heads[model] = report.commit
            return report
        raise ConflictError(
            f"branch {self._request.branch!r} of model {model!r} moves all the time; import again, or give another --branch",
            ref=self._request.branch,
        )

    def _request_for(self, model: str, item: ForeignVersion, folder: Path) -> CommitRequest:
        own: dict[str, Scalar] = {FROM: self._source.kind, ID: item.id, NAME: item.name, PLACE: redact(self._source.place)}
        return CommitRequest(
            model=model,
            paths=[folder],
            author=self._request.who,
            time_ms=self._request.time_ms,
            made_by=item.author,
            made_ms=item.time_ms,
            branch=self._request.branch,
            message=item.message,
            params=item.params,
            metrics=item.metrics,
            labels={**item.labels, **own},
            framework=item.framework,
            packages=item.packages,
            environment=item.environment,
            code=item.code,
            delta=self._request.delta,
            allow_empty=True,  # the same files again are a version of their own, as they were there
            expect=self._heads.get(model),
            expect_new=self._heads.get(model) is None,
        )

    def _move(self, model: str, tag: str, name: str, version: ForeignVersion, why: str) -> ImportedTag:
        here = self._here.get((model, version.id))
        told = ImportedTag(model, tag, name, version.name, here.commit if here else None, Outcome.PLANNED)
        if here is None:
            return (
                told if self._request.dry_run else replace(told, outcome=Outcome.FAILED, reason="its version was not imported")
            )
        found = self._stores.refs(model).head()
        current = found[1].tags.get(tag) if found else None
        if current and current.commit == here.commit:
            return replace(told, outcome=Outcome.KNOWN)
        if current is not None and found is not None:  # it stands elsewhere, or was deleted: by whom?
            entry = self._stores.refs(model).log.read(current.moved).entry
            if not entry.why.startswith(REASON):
                return replace(told, outcome=Outcome.KEPT, reason=f"{entry.who} moved it here since")
        if self._request.dry_run:
            return told
        move = MoveRequest(
            model, RefKind.TAG, tag, self._request.who, self._request.time_ms, f"{REASON}{self._source.kind}: {why}"
        )
        try:
            set_ref(self._stores, move, self._stores.refs(model).find_entry(here.commit))
        except (InvalidInputError, RuleError, ConflictError, NotFoundError) as error:
            if self._request.strict:
                raise
            return replace(told, outcome=Outcome.FAILED, reason=error.message)
        return replace(told, outcome=Outcome.IMPORTED)

    def _learn(self, models: Sequence[str]) -> None:
        """Where the branches of these models stand, and which of their versions were imported from such a source. In this order: what somebody commits
        between the two is then known, or makes the next commit look again."""
        for model in models:
            found = self._stores.refs(model).head()
            branch = found[1].branches.get(self._request.branch) if found else None
            self._heads[model] = branch.commit if branch else None

        def ask(index: Index) -> None:
            for row in index.search(models=models, retired=True):
                if row.labels.get(FROM) == self._source.kind:
                    self._here[row.model, str(row.labels.get(ID))] = _Here(row.commit, row.number)

        if models:
            ask_index(self._stores, self._cache_folder, ask, now_ms=self._request.time_ms, progress=self._progress)

    def _known(self, told: ImportedVersion) -> ImportedVersion:
        here = self._here[told.model, told.id or ""]
        return replace(told, outcome=Outcome.KNOWN, commit=here.commit, number=here.number)

    def _failed(self, told: ImportedVersion, error: RegistryError) -> ImportedVersion:
        if self._request.strict:
            raise error
        if isinstance(error, (BackendError, AccessError)) and error.fields.get("key"):
            raise error  # the store of one of the two does not answer: nor will it for the next version
        return replace(told, outcome=Outcome.FAILED, reason=redact(error.message))


class _Staged:
    """Says which version it is that progress is made with."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._name = name

    def update(self, stage: str, done_bytes: int, total_bytes: int) -> None:
        self._progress.update(f"{_IMPORT} {self._name}: {stage}", done_bytes, total_bytes)
