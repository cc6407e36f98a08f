"""All of a version to this machine, so that it can be looked at and checked out while its store cannot be reached."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from cas_registry.operations.file_writer import FileWriter
from cas_registry.operations.history import walk_history
from cas_registry.operations.progress import Progress
from cas_registry.operations.seeds import Seeds
from cas_registry.operations.transfer import worker_pool
from cas_registry.operations.version_files import VersionFile, VersionFiles, list_files, select
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores
from cas_registry.worktree.file_cache import FileCache
from cas_registry.worktree.target import TargetFolder

ANCESTORS = 256  # versions of the history that come along: as many as people look through
_PREFIX = "fetch-"
_STALE_NS = 24 * 3600 * 10**9


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What of a version is on this machine now. Of `size_bytes`, `cached_bytes` were there, and whole; `fetched_bytes` were read from packs, as
    they are stored; `left_out` are the paths of files for which the cache has no room."""

    version: Version
    files: int
    size_bytes: int
    cached_bytes: int
    fetched_bytes: int
    left_out: tuple[str, ...] = ()


def fetch_version(
    stores: Stores, version: Version, *, patterns: Sequence[str] = (), folder: Path, cache: FileCache, clock_ns: Callable[[], int],
    progress: Progress,
) -> FetchReport:  # fmt: skip
    """Fill the cache of files, whose folder is `folder`, and, by reading it, whatever `stores` keep of what they read.

    Files go through a folder that is gone in the end, one after another, large ones linked to the cache: at no time more than one of them is
    there twice.
    """
    files = select(list_files(stores.objects, version.tree)[0], patterns)
    _read_about(stores, version, files)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove_stale(folder, clock_ns() - _STALE_NS)
    with (
        tempfile.TemporaryDirectory(prefix=_PREFIX, dir=folder) as passage,
        TargetFolder(Path(passage)) as target,
        worker_pool() as pool,
    ):
        writer = FileWriter(stores, version, target, files, cache, link=True, progress=progress, keep_all=True)
        writer.locate()
        for file, _ in writer.write(Seeds({}, {}, {}), pool):
            target.remove(file.path)
        left_out = [file.path for file in files if file.entry.size_bytes and not cache.has(file.file_id, file.entry.size_bytes)]
    cache.trim()
    return FetchReport(
        version,
        len(files),
        sum(file.entry.size_bytes for file in files),
        writer.cached_bytes,
        writer.fetched_bytes,
        tuple(left_out),
    )


def _read_about(stores: Stores, version: Version, files: Sequence[VersionFile]) -> None:
    """All that is looked at of a version, but for its bytes: maps, history, and what models there are."""
    VersionFiles(stores.objects, version.map).prepare((file.entry, file.folder) for file in files)
    stores.catalogue.head()
    for _ in islice(walk_history(stores, version), ANCESTORS):
        pass


def _remove_stale(folder: Path, before_ns: int) -> None:
    """What a fetch that was killed left behind."""
    for path in folder.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if path.lstat().st_mtime_ns < before_ns:
                shutil.rmtree(path, ignore_errors=True)
