"""From a version to files on disk: only what differs is written, only what is nowhere on this machine is fetched, and local edits
are never overwritten unasked.

A file is verified chunk by chunk and as a whole before it takes its name. A checkout that was stopped goes on where it was: what
it wrote is recognised by content.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import blake3

from cas_registry.errors import IntegrityError, LocalEditsError, OfflineError, UnsafeFileError
from cas_registry.model.ids import CommitId, FileId, TreeId
from cas_registry.model.tree import Mode
from cas_registry.operations.file_writer import FileWriter, Neighbour
from cas_registry.operations.progress import Progress
from cas_registry.operations.seeds import Earlier, Seeds, find_seeds
from cas_registry.operations.transfer import READ_BUFFER_BYTES, foresee_fetch, worker_pool
from cas_registry.operations.version_files import VersionFile, list_files, marks_of, select
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores
from cas_registry.worktree.file_cache import FileCache
from cas_registry.worktree.stat_cache import StatCache
from cas_registry.worktree.target import OnDisk, TargetFolder

_LISTED = 20


@dataclass(frozen=True, slots=True)
class CheckoutReport:
    """What a checkout did to the folder.

    `written_bytes` is the size of the files written. Of these, `seeded_bytes` were taken from files that the folder held, and
    `cached_bytes` from the cache of files; `fetched_bytes` were read from packs for the rest, compressed as they are stored.
    """

    version: Version
    target: Path
    written: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: int
    written_bytes: int
    seeded_bytes: int
    cached_bytes: int
    fetched_bytes: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class CheckoutPlan:
    """What a checkout is going to do, or would do.

    Of the `written_bytes`, `cached_bytes` come from the cache of files, and all that files on this machine are known to hold is not fetched:
    at most `fetch_bytes` are read from packs, by at most `fetch_requests`. It is less where other bytes on disk turn out to be of use.
    It is more where a file on disk, or of the cache, is not what it was taken for: that is noticed when it is read.
    """

    version: Version
    target: Path
    write: tuple[str, ...]
    remove: tuple[str, ...]
    unchanged: int
    written_bytes: int
    cached_bytes: int
    fetch_bytes: int
    fetch_requests: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Beside:
    """Another folder, which holds a version: what the new one has in common with it is copied from there."""

    folder: Path
    commit: CommitId
    tree: TreeId


@dataclass(slots=True)
class _Plan:
    """What to do, in the order in which it is done: `clear` and `clear_folders` are of `remove`, and stand where others will."""

    write: list[VersionFile] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    chmod: list[VersionFile] = field(default_factory=list)
    clear: set[str] = field(default_factory=set)
    clear_folders: set[str] = field(default_factory=set)
    edits: list[str] = field(default_factory=list)
    obstacles: set[str] = field(default_factory=set)
    present: set[str] = field(default_factory=set)  # plain files, as far as was looked
    unchanged: int = 0


@dataclass(frozen=True, slots=True)
class _Base:
    """A version that the folder is known to have held."""

    files: Mapping[str, VersionFile]
    folders: frozenset[str]


def checkout_version(
    stores: Stores,
    version: Version,
    target: Path,
    *,
    base_trees: Sequence[TreeId],
    base_commit: CommitId | None = None,
    beside: Beside | None = None,
    patterns: Sequence[str] = (),
    force: bool = False,
    file_cache: FileCache,
    link: bool = False,
    safe_only: bool = False,
    stat_cache: StatCache,
    clock_ns: Callable[[], int],
    progress: Progress,
    foresee: Callable[[CheckoutPlan], None] = lambda _: None,
    announce: Callable[[TargetFolder], None] = lambda _: None,
    conclude: Callable[[TargetFolder], None] = lambda _: None,
    executor: Executor | None = None,
) -> CheckoutReport:
    """Make the folder hold the version (or the part that `patterns` select).

    `base_trees` are the versions that the folder is known to have held, the first of them that of `base_commit`: files equal to
    theirs are not local edits, and those that the new version lacks are removed. What they hold of the new version is not fetched,
    nor is what the cache has, or with `beside` what the folder there holds (instead of this one); with `link` files are names of the cache's
    own. `foresee` is told what is going to be done, `announce` is called when the first change is about to be made, `conclude` after the last.
    LocalEditsError lists files that hold something else, unless `force`, and whatever else stands where files or folders have to
    be; nothing was changed then. With `safe_only`, UnsafeFileError lists what runs code on loading, or was not looked at, before all that.
    """
    chosen, folders = _choose(stores, version, patterns, safe_only=safe_only)
    with (
        TargetFolder(target) as folder,
        worker_pool(executor) as pool,
        _prepare(
            stores, version, folder, target, chosen, folders, base_trees, base_commit, beside, patterns, file_cache, stat_cache,
            clock_ns, progress, force=force, link=link,
        ) as ready,
    ):  # fmt: skip
        plan, writer = ready.plan, ready.writer
        foresee(ready.foreseen)
        if plan.write or plan.remove or plan.chmod:
            announce(folder)
        _clear(folder, plan)
        for file, stat in writer.write(ready.seeds, pool):
            stat_cache.put(target / file.path, stat, file.file_id, read_at_ns=clock_ns())
        for file in plan.chmod:
            folder.set_executable(file.path, executable=file.entry.mode is Mode.EXECUTABLE)
        for path in sorted(set(plan.remove) - plan.clear):
            folder.remove(path)
        if not patterns:
            _arrange_folders(folder, folders, ready.bases)
        conclude(folder)
    stat_cache.save()
    file_cache.trim()
    seen = ready.foreseen
    return CheckoutReport(
        version, target, seen.write, seen.remove, plan.unchanged, writer.total_bytes, ready.seeds.used_bytes + writer.copied_bytes,
        writer.cached_bytes, writer.fetched_bytes, seen.size_bytes,
    )  # fmt: skip


def plan_checkout(
    stores: Stores,
    version: Version,
    target: Path,
    *,
    base_trees: Sequence[TreeId],
    base_commit: CommitId | None = None,
    beside: Beside | None = None,
    patterns: Sequence[str] = (),
    force: bool = False,
    file_cache: FileCache,
    link: bool = False,
    safe_only: bool = False,
    stat_cache: StatCache,
    clock_ns: Callable[[], int],
    progress: Progress,
) -> CheckoutPlan:
    """What `checkout_version` would do, with the same refusals; nothing is written, and the folder need not be there."""
    chosen, folders = _choose(stores, version, patterns, safe_only=safe_only)
    with (
        TargetFolder(target, create=False) as folder,
        _prepare(
            stores, version, folder, target, chosen, folders, base_trees, base_commit, beside, patterns, file_cache, stat_cache,
            clock_ns, progress, force=force, link=link,
        ) as ready,
    ):  # fmt: skip
        return ready.foreseen


def _choose(
    stores: Stores, version: Version, patterns: Sequence[str], *, safe_only: bool
) -> tuple[list[VersionFile], Sequence[str]]:
    """The files that are wanted, and the folders, of a whole version; what is refused for its own sake is refused here."""
    files, folders = list_files(stores.objects, version.tree)
    chosen = select(files, patterns)
    if safe_only:
        _refuse_unsafe(stores, version, chosen)
    return chosen, [] if patterns else folders


@dataclass(frozen=True, slots=True)
class _Ready:
    """A checkout of which nothing is done yet."""

    plan: _Plan
    bases: Sequence[_Base]
    writer: FileWriter
    seeds: Seeds
    foreseen: CheckoutPlan


@contextmanager
def _prepare(
    stores: Stores, version: Version, folder: TargetFolder, target: Path, chosen: Sequence[VersionFile], folders: Sequence[str],
    base_trees: Sequence[TreeId], base_commit: CommitId | None, beside: Beside | None, patterns: Sequence[str], file_cache: FileCache,
    stat_cache: StatCache, clock_ns: Callable[[], int], progress: Progress, *, force: bool, link: bool,
) -> Iterator[_Ready]:  # fmt: skip
    bases = [base for tree in base_trees if (base := _read_base(stores, tree))]
    plan = _plan(folder, target, chosen, folders, bases, patterns, stat_cache, clock_ns)
    _refuse(plan, target, force=force)
    with _OpenBeside(stores, beside) as neighbour:
        writer = FileWriter(
            stores, version, folder, plan.write, file_cache, link=link, progress=progress, neighbour=neighbour.copies
        )
        writer.locate()
        if neighbour.folder is not None:
            found = find_seeds(stores, neighbour.folder, writer.wanted, neighbour.paths, neighbour.earlier(version))
        else:
            found = find_seeds(stores, folder, writer.wanted, plan.present, _earlier(bases, base_trees, base_commit, version))
        with found as seeds:
            fetch_requests, fetch_bytes = foresee_fetch((row for _, rows in writer.wanted for row in rows), seeds.expects)
            foreseen = CheckoutPlan(
                version, target, tuple(file.path for file in plan.write), tuple(plan.remove), plan.unchanged, writer.total_bytes,
                writer.expected_cached_bytes, fetch_bytes, fetch_requests, sum(file.entry.size_bytes for file in chosen),
            )  # fmt: skip
            if stores.offline and fetch_bytes:
                raise _not_here(version, [file.path for file, rows in writer.wanted if not all(map(seeds.expects, rows))])
            yield _Ready(plan, bases, writer, seeds, foreseen)


class _OpenBeside:
    """The folder beside the target, open, with the files of its version that are there. Without one it is empty."""

    def __init__(self, stores: Stores, beside: Beside | None) -> None:
        self._beside = beside if beside and beside.folder.is_dir() else None
        self._base = _read_base(stores, beside.tree) if beside and self._beside else None
        self._exits = ExitStack()
        self.folder: TargetFolder | None = None
        self.paths: set[str] = set()

    def __enter__(self) -> Self:
        if self._beside and self._base:
            self.folder = self._exits.enter_context(TargetFolder(self._beside.folder, create=False))
            self.paths = {path for path in self._base.files if (found := self.folder.look(path)) and found.is_file}
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    @property
    def copies(self) -> Neighbour | None:
        """Whole files by id."""
        if self.folder is None or self._base is None:
            return None
        return Neighbour(self.folder, {self._base.files[path].entry.id: path for path in self.paths})

    def earlier(self, version: Version) -> Earlier:
        assert self._beside  # noqa: S101, PT018 - callers have looked
        assert self._base  # noqa: S101
        commit = self._beside.commit if self._beside.tree != version.tree else None
        return Earlier(version.model, tuple(self._base.files[path] for path in sorted(self.paths)), commit)


def _refuse_unsafe(stores: Stores, version: Version, files: Sequence[VersionFile]) -> None:
    marks = marks_of(stores.objects, version.map, ((file.entry, file.folder) for file in files))
    found = [(file.path, mark) for file, mark in zip(files, marks, strict=True) if not mark.is_cleared]
    if found:
        runs = [path for path, mark in found if mark.runs_code]
        unseen = [path for path, mark in found if not mark.runs_code]
        parts = [f"run code on loading: {_shown(runs)}"] if runs else []
        parts += [f"were not looked at: {_shown(unseen)}"] if unseen else []
        raise UnsafeFileError(
            f"files of {version.model}@{version.commit.short} {'; others '.join(parts)}. Nothing was written; name the files that are "
            "wanted, or check out without --safe-only",
            paths=[path for path, _ in found],
            on_load=[mark.label for _, mark in found],
        )


def _not_here(version: Version, paths: Sequence[str]) -> OfflineError:
    return OfflineError(
        f"offline: of {version.model}@{version.commit.short} this machine does not have {_shown(paths)}; nothing was written. Run this once "
        "without --offline, or reg fetch the version while the store can be reached",
        missing=list(paths),
    )  # fmt: skip


def _read_base(stores: Stores, tree: TreeId) -> _Base | None:
    """A version that the folder held; None where the registry has lost it: its files then count as local edits."""
    try:
        files, folders = list_files(stores.objects, tree)
    except IntegrityError:
        return None
    return _Base({file.path: file for file in files}, frozenset(folders))


def _earlier(bases: Sequence[_Base], trees: Sequence[TreeId], commit: CommitId | None, version: Version) -> Earlier:
    """What is known of the folder's files for seeds; the version itself has nothing to tell that its own map does not."""
    files = {path: file for base in reversed(bases) for path, file in base.files.items()}
    known = commit if trees and trees[0] != version.tree else None
    return Earlier(version.model, tuple(files.values()), known)


def _plan(
    folder: TargetFolder, target: Path, chosen: Sequence[VersionFile], folders: Sequence[str], bases: Sequence[_Base],
    patterns: Sequence[str], stat_cache: StatCache, clock_ns: Callable[[], int],
) -> _Plan:  # fmt: skip
    plan = _Plan()

    def identify(found: OnDisk) -> FileId | None:
        return _identify(folder, target, found, stat_cache, clock_ns)

    if not patterns:
        obsolete = {path for base in bases for path in base.files} - {file.path for file in chosen}
        _plan_removals(plan, folder, sorted(obsolete), bases, identify)
    for file in chosen:
        _plan_file(plan, folder, file, bases, identify)
    for path in folders:
        found = folder.look(path)
        if found is not None and not found.is_folder:
            _make_room(plan, folder, found)
    return plan


def _plan_removals(
    plan: _Plan, folder: TargetFolder, paths: Sequence[str], bases: Sequence[_Base], identify: Callable[[OnDisk], FileId | None]
) -> None:
    for path in paths:
        found = folder.look(path)
        if found is None or found.path != path or found.is_folder:
            continue
        if not _is_of(bases, path, identify(found)):
            plan.edits.append(path)
        plan.remove.append(path)
        _note(plan, found)


def _plan_file(
    plan: _Plan, folder: TargetFolder, file: VersionFile, bases: Sequence[_Base], identify: Callable[[OnDisk], FileId | None]
) -> None:
    found = folder.look(file.path)
    if found is None:
        plan.write.append(file)
        return
    if found.path != file.path or found.is_folder:
        _make_room(plan, folder, found)
        plan.write.append(file)
        return
    identity = identify(found)
    _note(plan, found)
    if identity == file.entry.id:
        plan.unchanged += 1
        if found.executable != (file.entry.mode is Mode.EXECUTABLE):
            (plan.chmod if found.links == 1 else plan.write).append(file)  # permissions belong to all names of a file
        return
    if not _is_of(bases, file.path, identity):
        plan.edits.append(file.path)
    plan.write.append(file)


def _note(plan: _Plan, found: OnDisk) -> None:
    if found.is_file:
        plan.present.add(found.path)


def _make_room(plan: _Plan, folder: TargetFolder, found: OnDisk) -> None:
    """What is at `found` has to go before something else can be there: allowed where all of it is removed anyway."""
    removed = set(plan.remove)
    inside = list(folder.walk(found.path)) if found.is_folder else []
    things = {item.path for item in (*inside, found) if not item.is_folder}
    plan.obstacles |= things - removed
    plan.clear |= things & removed
    plan.clear_folders.update(item.path for item in (*inside, found) if item.is_folder)


def _refuse(plan: _Plan, target: Path, *, force: bool) -> None:
    if plan.edits and not force:
        raise LocalEditsError(
            f"{target} holds files that are not of any version checked out there: {_shown(plan.edits)}. Commit or move them, or "
            "overwrite them with --force",
            paths=plan.edits,
        )
    if plan.obstacles:
        raise LocalEditsError(
            f"{target} holds a link or a file where a folder is needed, or files where a file is: {_shown(sorted(plan.obstacles))}. "
            "Nothing is written through a link or in place of a folder; move or remove them first",
            paths=sorted(plan.obstacles),
        )


def _shown(paths: Sequence[str]) -> str:
    return ", ".join(paths[:_LISTED]) + (f" and {len(paths) - _LISTED} more" if len(paths) > _LISTED else "")


def _clear(folder: TargetFolder, plan: _Plan) -> None:
    for path in sorted(plan.clear):
        folder.remove(path)
    for path in sorted(plan.clear_folders, key=_depth, reverse=True):
        folder.remove_folder(path)


def _arrange_folders(folder: TargetFolder, folders: Sequence[str], bases: Sequence[_Base]) -> None:
    """Remove the folders of earlier versions that are empty now, make those of this one."""
    for path in sorted({path for base in bases for path in base.folders} - set(folders), key=_depth, reverse=True):
        folder.remove_folder(path)
    for path in folders:
        folder.make_folder(path)


def _depth(path: str) -> int:
    return path.count("/")


def _is_of(bases: Sequence[_Base], path: str, identity: FileId | None) -> bool:
    return identity is not None and any(path in base.files and base.files[path].entry.id == identity for base in bases)


def _identify(
    folder: TargetFolder, target: Path, found: OnDisk, stat_cache: StatCache, clock_ns: Callable[[], int]
) -> FileId | None:
    """The id of a plain file on disk; None for a link, folder or device."""
    if not found.is_file:
        return None
    known = stat_cache.get(target / found.path, found.stat)
    if known is not None:
        return known
    read_at_ns = clock_ns()
    hasher = blake3.blake3()
    for data in folder.read(found.path, buffer_bytes=READ_BUFFER_BYTES):
        hasher.update(data)
    identity = FileId(hasher.digest())
    stat_cache.put(target / found.path, found.stat, identity, read_at_ns=read_at_ns)
    return identity
