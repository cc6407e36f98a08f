"""From a version to files on disk: only what differs is written, only what is nowhere on this machine is fetched, and local edits
are never overwritten unasked.

A file is verified chunk by chunk and as a whole before it takes its name. A checkout that was stopped goes on where it was: what
it wrote is recognised by content.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cas_registry.errors import FormatError, OfflineError, UnsafeFileError
from cas_registry.model.ids import CommitId, TreeId
from cas_registry.operations.file_writer import FileWriter, Neighbour
from cas_registry.operations.folder_changes import (
    FolderChanges,
    Held,
    arrange_folders,
    identifier,
    plan_changes,
    read_held,
    shown,
)
from cas_registry.operations.progress import Progress
from cas_registry.operations.seeds import Earlier, Seeds, find_seeds
from cas_registry.operations.transfer import foresee_fetch, worker_pool
from cas_registry.operations.version_files import VersionFile, list_files, marks_of, select
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores
from cas_registry.worktree.binding import FolderState
from cas_registry.worktree.file_cache import FileCache
from cas_registry.worktree.stat_cache import StatCache
from cas_registry.worktree.target import TargetFolder


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


@dataclass(frozen=True, slots=True)
class CheckoutRequest:
    """A version for a folder.

    `held` is what the folder remembers to have held: files equal to those of these versions are not local edits, and those that the new
    version lacks are removed. `patterns` select a part, of which nothing is removed.
    What the folder holds of the new version is not fetched, nor is what the cache has, or with `beside` what the folder there holds (instead of
    this one); with `link` files are names of the cache's own. With `safe_only` what runs code on loading, or was not looked at, is refused.
    """

    version: Version
    target: Path
    held: FolderState | None = None
    beside: Beside | None = None
    patterns: Sequence[str] = ()
    force: bool = False
    link: bool = False
    safe_only: bool = False


@dataclass(frozen=True, slots=True)
class FolderTools:
    """What this machine brings to a checkout."""

    file_cache: FileCache
    stat_cache: StatCache
    clock_ns: Callable[[], int]
    progress: Progress


def checkout_version(
    stores: Stores,
    request: CheckoutRequest,
    tools: FolderTools,
    *,
    foresee: Callable[[CheckoutPlan], None] = lambda _: None,
    announce: Callable[[TargetFolder], None] = lambda _: None,
    conclude: Callable[[TargetFolder], None] = lambda _: None,
    executor: Executor | None = None,
) -> CheckoutReport:
    """Make the folder hold the version (or the part that is asked for).

    `foresee` is told what is going to be done, `announce` is called when the first change is about to be made, `conclude` after the last.
    LocalEditsError lists files that hold something else, unless the request's `force`, and whatever else stands where files or folders
    have to be; nothing was changed then. UnsafeFileError comes before all that.
    """
    chosen, folders = _choose(stores, request)
    with (
        TargetFolder(request.target) as folder,
        worker_pool(executor) as pool,
        _prepare(stores, request, tools, folder, chosen, folders) as ready,
    ):
        changes, writer = ready.changes, ready.writer
        foresee(ready.foreseen)
        if changes:
            announce(folder)
        changes.clear_the_way(folder)
        for file, stat in writer.write(ready.seeds, pool):
            tools.stat_cache.put(request.target / file.path, stat, file.file_id, read_at_ns=tools.clock_ns())
        changes.finish(folder)
        if not request.patterns:
            arrange_folders(folder, folders, ready.held)
        conclude(folder)
    tools.stat_cache.save()
    tools.file_cache.trim()
    seen = ready.foreseen
    return CheckoutReport(
        request.version, request.target, seen.write, seen.remove, seen.unchanged, writer.total_bytes,
        ready.seeds.used_bytes + writer.copied_bytes, writer.cached_bytes, writer.fetched_bytes, seen.size_bytes,
    )  # fmt: skip


def plan_checkout(stores: Stores, request: CheckoutRequest, tools: FolderTools) -> CheckoutPlan:
    """What `checkout_version` would do, with the same refusals; nothing is written, and the folder need not be there."""
    chosen, folders = _choose(stores, request)
    with (
        TargetFolder(request.target, create=False) as folder,
        _prepare(stores, request, tools, folder, chosen, folders) as ready,
    ):
        return ready.foreseen


def _choose(stores: Stores, request: CheckoutRequest) -> tuple[list[VersionFile], Sequence[str]]:
    """The files that are wanted, and the folders, of a whole version; what is refused for its own sake is refused here."""
    files, folders = list_files(stores.objects, request.version.tree)
    chosen = select(files, request.patterns)
    if request.safe_only:
        _refuse_unsafe(stores, request.version, chosen)
    return chosen, [] if request.patterns else folders


@dataclass(frozen=True, slots=True)
class _Ready:
    """A checkout of which nothing is done yet."""

    changes: FolderChanges
    held: Sequence[Held]
    writer: FileWriter
    seeds: Seeds
    foreseen: CheckoutPlan


@contextmanager
def _prepare(
    stores: Stores, request: CheckoutRequest, tools: FolderTools, folder: TargetFolder, chosen: Sequence[VersionFile],
    folders: Sequence[str],
) -> Iterator[_Ready]:  # fmt: skip
    version, target = request.version, request.target
    held = [one for tree in (request.held.trees if request.held else ()) if (one := read_held(stores, tree))]
    identify = identifier(folder, target, tools.stat_cache, tools.clock_ns)
    changes = plan_changes(folder, chosen, folders, held, identify, whole=not request.patterns)
    changes.refuse(target, force=request.force)
    with _OpenBeside(stores, request.beside) as neighbour:
        writer = FileWriter(
            stores, version, folder, changes.write, tools.file_cache, link=request.link, progress=tools.progress,
            neighbour=neighbour.copies,
        )  # fmt: skip
        writer.locate()
        if neighbour.folder is not None:
            found = find_seeds(stores, neighbour.folder, writer.wanted, neighbour.paths, neighbour.earlier(version))
        else:
            found = find_seeds(stores, folder, writer.wanted, changes.present, _earlier(held, request))
        with found as seeds:
            fetch_requests, fetch_bytes = foresee_fetch((row for _, rows in writer.wanted for row in rows), seeds.expects)
            foreseen = CheckoutPlan(
                version, target, tuple(file.path for file in changes.write), tuple(changes.remove), changes.unchanged,
                writer.total_bytes, writer.expected_cached_bytes, fetch_bytes, fetch_requests,
                sum(file.entry.size_bytes for file in chosen),
            )  # fmt: skip
            if stores.offline and fetch_bytes:
                raise _not_here(version, [file.path for file, rows in writer.wanted if not all(map(seeds.expects, rows))])
            yield _Ready(changes, held, writer, seeds, foreseen)


class _OpenBeside:
    """The folder beside the target, open, with the files of its version that are there. Without one it is empty."""

    def __init__(self, stores: Stores, beside: Beside | None) -> None:
        self._beside = beside if beside and beside.folder.is_dir() else None
        self._held = read_held(stores, beside.tree) if beside and self._beside else None
        self._exits = ExitStack()
        self.folder: TargetFolder | None = None
        self.paths: set[str] = set()

    def __enter__(self) -> Self:
        if self._beside and self._held:
            self.folder = self._exits.enter_context(TargetFolder(self._beside.folder, create=False))
            self.paths = {path for path in self._held.files if (found := self.folder.look(path)) and found.is_file}
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    @property
    def copies(self) -> Neighbour | None:
        """Whole files by id."""
        if self.folder is None or self._held is None:
            return None
        return Neighbour(self.folder, {self._held.files[path].entry.id: path for path in self.paths})

    def earlier(self, version: Version) -> Earlier:
        assert self._beside  # noqa: S101, PT018 - callers have looked
        assert self._held  # noqa: S101
        commit = self._beside.commit if self._beside.tree != version.tree else None
        return Earlier(version.model, tuple(self._held.files[path] for path in sorted(self.paths)), commit)


def _refuse_unsafe(stores: Stores, version: Version, files: Sequence[VersionFile]) -> None:
    marks = marks_of(stores.objects, version.map, ((file.entry, file.folder) for file in files))
    found = [(file.path, mark) for file, mark in zip(files, marks, strict=True) if not mark.is_cleared]
    if found:
        runs = [path for path, mark in found if mark.runs_code]
        unseen = [path for path, mark in found if not mark.runs_code]
        parts = [f"run code on loading: {shown(runs)}"] if runs else []
        parts += [f"were not looked at: {shown(unseen)}"] if unseen else []
        raise UnsafeFileError(
            f"files of {version.model}@{version.commit.short} {'; others '.join(parts)}. Nothing was written; name the files that are "
            "wanted, or check out without --safe-only",
            paths=[path for path, _ in found],
            on_load=[mark.label for _, mark in found],
        )


def _not_here(version: Version, paths: Sequence[str]) -> OfflineError:
    return OfflineError(
        f"offline: of {version.model}@{version.commit.short} this machine does not have {shown(paths)}; nothing was written. Run this once "
        "without --offline, or reg fetch the version while the store can be reached",
        missing=list(paths),
    )  # fmt: skip


def _earlier(held: Sequence[Held], request: CheckoutRequest) -> Earlier:
    """What is known of the folder's files for seeds; the version itself has nothing to tell that its own map does not."""
    files = {path: file for version in reversed(held) for path, file in version.files.items()}
    state = request.held
    known = _commit_of(state) if state and state.tree != request.version.tree else None
    return Earlier(request.version.model, tuple(files.values()), known)


def _commit_of(state: FolderState) -> CommitId | None:
    try:
        return CommitId.parse(state.commit)
    except FormatError:
        return None
