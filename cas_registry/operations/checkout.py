"""From a version to files on disk: only what differs is fetched and written, local edits are never overwritten unasked.

A file is verified chunk by chunk and as a whole before it takes its name. A checkout that was stopped goes on where it was: what
it wrote is recognised by content.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

import blake3

from cas_registry.errors import LocalEditsError
from cas_registry.model.ids import FileId, TreeId
from cas_registry.model.tree import Mode, TreeEntry
from cas_registry.operations.progress import Progress
from cas_registry.operations.transfer import READ_BUFFER_BYTES, fetch_chunks, worker_pool
from cas_registry.operations.version_files import VersionFile, list_files, locate_files, select, verify_whole
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores
from cas_registry.worktree.stat_cache import StatCache
from cas_registry.worktree.target import OnDisk, TargetFolder

_LISTED = 20


@dataclass(frozen=True, slots=True)
class CheckoutReport:
    """What a checkout did to the folder. `fetched_bytes` are raw bytes of the files that were written."""

    version: Version
    target: Path
    written: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: int
    fetched_bytes: int
    size_bytes: int


@dataclass(slots=True)
class _Plan:
    write: list[VersionFile] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    chmod: list[VersionFile] = field(default_factory=list)
    edits: list[str] = field(default_factory=list)
    unchanged: int = 0


def checkout_version(
    stores: Stores,
    version: Version,
    target: Path,
    *,
    base_trees: Sequence[TreeId],
    patterns: Sequence[str] = (),
    force: bool = False,
    stat_cache: StatCache,
    clock_ns: Callable[[], int],
    progress: Progress,
    announce: Callable[[], None] = lambda: None,
    executor: Executor | None = None,
) -> CheckoutReport:
    """Make the folder hold the version (or the part that `patterns` select).

    `base_trees` are the versions that the folder is known to have held: files equal to theirs are not local edits, and those that
    the new version lacks are removed. `announce` is called when the first change is about to be made. LocalEditsError lists
    files that hold something else, unless `force`; nothing was changed then.
    """
    files, folders = list_files(stores.objects, version.tree)
    chosen = select(files, patterns)
    bases = [{file.path: file.entry for file in list_files(stores.objects, tree)[0]} for tree in base_trees]
    with TargetFolder(target) as folder, worker_pool(executor) as pool:
        plan = _plan(folder, target, chosen, bases, patterns, stat_cache, clock_ns)
        if plan.edits and not force:
            shown = ", ".join(plan.edits[:_LISTED]) + (
                f" and {len(plan.edits) - _LISTED} more" if len(plan.edits) > _LISTED else ""
            )
            raise LocalEditsError(
                f"{target} holds files that are not of any version checked out there: {shown}. Commit or move them, or overwrite "
                "them with --force",
                paths=plan.edits,
            )
        if plan.write or plan.remove or plan.chmod:
            announce()
        fetched = _write_files(stores, version, folder, target, plan.write, stat_cache, clock_ns, progress, pool)
        for file in plan.chmod:
            folder.set_executable(file.path, executable=file.entry.mode is Mode.EXECUTABLE)
        _remove_files(folder, plan.remove, keep=set(folders))
        if not patterns:
            for path in folders:
                folder.make_folder(path)
    stat_cache.save()
    return CheckoutReport(
        version, target, tuple(file.path for file in plan.write), tuple(plan.remove), plan.unchanged, fetched,
        sum(file.entry.size_bytes for file in chosen),
    )  # fmt: skip


def _plan(
    folder: TargetFolder, target: Path, chosen: Sequence[VersionFile], bases: Sequence[Mapping[str, TreeEntry]],
    patterns: Sequence[str], stat_cache: StatCache, clock_ns: Callable[[], int],
) -> _Plan:  # fmt: skip
    plan = _Plan()
    wanted = {file.path for file in chosen}
    for file in chosen:
        found = folder.look(file.path)
        if found is None:
            plan.write.append(file)
            continue
        identity = _identify(folder, target, file.path, found, stat_cache, clock_ns)
        if identity == file.entry.id:
            plan.unchanged += 1
            if found.executable != (file.entry.mode is Mode.EXECUTABLE):
                plan.chmod.append(file)
            continue
        if not _is_of(bases, file.path, identity):
            plan.edits.append(file.path)
        plan.write.append(file)
    if not patterns:
        for path in sorted({path for base in bases for path in base} - wanted):
            found = folder.look(path)
            if found is None:
                continue
            if not _is_of(bases, path, _identify(folder, target, path, found, stat_cache, clock_ns)):
                plan.edits.append(path)
            plan.remove.append(path)
    return plan


def _is_of(bases: Sequence[Mapping[str, TreeEntry]], path: str, identity: FileId | None) -> bool:
    return identity is not None and any(path in base and base[path].id == identity for base in bases)


def _identify(
    folder: TargetFolder, target: Path, path: str, found: OnDisk, stat_cache: StatCache, clock_ns: Callable[[], int]
) -> FileId | None:
    """The id of a plain file on disk; None for a link, folder or device."""
    if not found.is_file:
        return None
    known = stat_cache.get(target / path, found.stat)
    if known is not None:
        return known
    read_at_ns = clock_ns()
    hasher = blake3.blake3()
    for data in folder.read(path, buffer_bytes=READ_BUFFER_BYTES):
        hasher.update(data)
    identity = FileId(hasher.digest())
    stat_cache.put(target / path, found.stat, identity, read_at_ns=read_at_ns)
    return identity


def _write_files(
    stores: Stores, version: Version, folder: TargetFolder, target: Path, files: Sequence[VersionFile], stat_cache: StatCache,
    clock_ns: Callable[[], int], progress: Progress, pool: Executor,
) -> int:  # fmt: skip
    total = sum(file.entry.size_bytes for file in files)
    if not files:
        return 0
    rows = locate_files(stores.objects, version.map, files) if total else {}
    wanted = (located for file in files for located in rows.get(file.path, ()))
    chunks = fetch_chunks(stores.objects, pool, wanted)
    done = 0
    for file in files:
        parts = _verified(file, chunks, len(rows.get(file.path, ())))
        stat = folder.write(file.path, parts, executable=file.entry.mode is Mode.EXECUTABLE)
        done += file.entry.size_bytes
        progress.update("write", done, total)
        assert isinstance(file.entry.id, FileId)  # noqa: S101 - folders are not among the files
        stat_cache.put(target / file.path, stat, file.entry.id, read_at_ns=clock_ns())
    return total


def _verified(file: VersionFile, chunks: Iterator[bytes], count: int) -> Iterator[bytes]:
    """The next `count` chunks; raises at the end if they do not make up the file, before it gets its name."""
    hasher = blake3.blake3()
    for _ in range(count):
        data = next(chunks)
        hasher.update(data)
        yield data
    assert isinstance(file.entry.id, FileId)  # noqa: S101 - folders are not among the files
    verify_whole(file.entry.id, file.path, hasher.digest())


def _remove_files(folder: TargetFolder, paths: Sequence[str], *, keep: set[str]) -> None:
    parents: set[str] = set()
    for path in paths:
        folder.remove(path)
        parts = path.split("/")[:-1]
        parents.update("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))
    for parent in sorted(parents - keep, key=lambda path: path.count("/"), reverse=True):
        folder.remove_folder(parent)
