"""How a folder differs from a version."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cas_registry.model.ids import TreeId
from cas_registry.model.tree import Mode
from cas_registry.operations.progress import Progress
from cas_registry.operations.snapshot import identify
from cas_registry.operations.transfer import worker_pool
from cas_registry.operations.version_files import list_files
from cas_registry.store.stores import Stores
from cas_registry.worktree.scan import scan
from cas_registry.worktree.stat_cache import StatCache


@dataclass(frozen=True, slots=True)
class StatusReport:
    """Paths that a commit of the folder would add, change or remove."""

    folder: Path
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: int

    @property
    def is_clean(self) -> bool:
        return not (self.added or self.changed or self.removed)


def compare_folder(
    stores: Stores, tree: TreeId, folder: Path, *, stat_cache: StatCache, clock_ns: Callable[[], int], progress: Progress
) -> StatusReport:
    """Compare a folder with a tree; files that were not touched since they were last read are not opened."""
    snapshot = scan([folder])
    with worker_pool() as pool:
        ids, _ = identify(snapshot, stat_cache, pool, clock_ns=clock_ns, progress=progress)
    stat_cache.save()
    here = {file.path: (ids[file.path], Mode.EXECUTABLE if file.executable else Mode.FILE) for file in snapshot.files}
    there = {file.path: (file.entry.id, file.entry.mode) for file in list_files(stores.objects, tree)[0]}
    return StatusReport(
        folder=folder,
        added=tuple(sorted(here.keys() - there.keys())),
        changed=tuple(sorted(path for path in here.keys() & there.keys() if here[path] != there[path])),
        removed=tuple(sorted(there.keys() - here.keys())),
        unchanged=sum(1 for path in here.keys() & there.keys() if here[path] == there[path]),
    )
