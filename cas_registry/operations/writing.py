"""Everything of a new version that comes before its commit: files, packs, maps and trees, in that order, made known to nobody yet."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from cas_registry.model.entry import CommitStats
from cas_registry.model.ids import FileId, MapName, TreeId
from cas_registry.model.maps import Reference
from cas_registry.operations.known import Known
from cas_registry.operations.placing import Placed, is_read_once, place_files, store_unread, write_maps
from cas_registry.operations.progress import Progress
from cas_registry.operations.snapshot import BuiltTrees, build_trees, check_unchanged, identify
from cas_registry.operations.storing import Delta, Intake, Rows
from cas_registry.operations.transfer import PackWriter, worker_pool
from cas_registry.store.epochs import Threats
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores
from cas_registry.worktree.scan import FoundFile, Snapshot
from cas_registry.worktree.stat_cache import StatCache


@dataclass(frozen=True, slots=True)
class Written:
    """A version whose objects are all written: what is left is to make them durable, and then known.

    `is_new_tree` is False where the registry had the root tree before: some version, of whatever model, holds or held the same.
    """

    tree: TreeId
    root: MapName
    stats: CommitStats
    hints: Mapping[FileId, Reference]
    packs: int
    files_read: int
    is_new_tree: bool = True


class VersionWriter:
    """Writes the version that a snapshot shows. `nearest` and `base` are versions in which to look for what is there already.

    With `identified`, the ids of all files are known and the snapshot is of no folder: only files that neither version has need be on disk.
    """

    def __init__(
        self, stores: Stores, snapshot: Snapshot, paths: Sequence[Path], nearest: Version | None, base: Version | None,
        threats: Threats, *, delta: str, identified: Mapping[str, FileId] | None = None,
    ) -> None:  # fmt: skip
        self._stores = stores
        self._snapshot = snapshot
        self._paths = paths
        self._nearest = nearest
        self._base = base
        self._threats = threats
        self._delta = Delta(delta)
        self._identified = identified
        self.files_read = 0

    def write(
        self, stat_cache: StatCache, clock_ns: Callable[[], int], progress: Progress, executor: Executor | None,
        is_nothing_new: Callable[[TreeId], bool],
    ) -> Written | None:  # fmt: skip
        """Write what the registry lacks; None, and nothing written, where `is_nothing_new` says so of the version's tree.

        Raises ChangedDuringCommitError, HostileNameError, LimitError, AccessError and what the store raises.
        """
        with worker_pool(executor) as pool:
            ids, self.files_read = self._identify(stat_cache, pool, clock_ns, progress)
            unread = [] if len(ids) == self._snapshot.count else [file for file in self._snapshot.files if file.path not in ids]
            if not unread and is_nothing_new((built := self._build(ids, stat_cache)).root):
                return None
            known = Known(self._stores, self._nearest, self._base, self._threats)
            rows = Rows()
            with PackWriter(
                self._stores.objects, pool, pack_bytes=self._stores.format.pack_bytes, known=known.has_chunk
            ) as packs:
                intake = Intake(self._stores, self._snapshot, known, packs, pool, rows, delta=self._delta)
                if unread:
                    self._store_unread(unread, ids, known, intake, stat_cache, clock_ns(), progress)
                    if is_nothing_new((built := self._build(ids, stat_cache)).root):
                        return None
                placed = place_files(self._snapshot, ids, built, known, intake, rows, pool, progress=progress)
                packs.finish()
        return self._finish(built, known, placed, packs)

    def _identify(
        self, stat_cache: StatCache, pool: Executor, clock_ns: Callable[[], int], progress: Progress
    ) -> tuple[dict[str, FileId], int]:
        if self._identified is not None:
            return dict(self._identified), 0
        return identify(self._snapshot, stat_cache, pool, clock_ns=clock_ns, progress=progress, leave=is_read_once)

    def _store_unread(
        self, files: Sequence[FoundFile], ids: dict[str, FileId], known: Known, intake: Intake, stat_cache: StatCache,
        read_at_ns: int, progress: Progress,
    ) -> None:  # fmt: skip
        found = store_unread(files, ids, known, intake, progress)
        for file in files:
            stat_cache.put(file.disk, file.stat, found[file.path], read_at_ns=read_at_ns)
        ids |= found
        self.files_read += len(files)

    def _build(self, ids: Mapping[str, FileId], stat_cache: StatCache) -> BuiltTrees:
        try:
            built = build_trees(self._snapshot, ids)
            stat_cache.put_tree(self._snapshot, built.root)
        finally:
            stat_cache.save()
        return built

    def _finish(self, built: BuiltTrees, known: Known, placed: Placed, packs: PackWriter) -> Written:
        """Write maps and trees, and make sure that the folder held still."""
        root, hints = write_maps(self._stores, placed, built, packs.packs, lambda: os.urandom(16))
        new = {
            identity
            for identity, tree in built.trees.items()
            if identity.digest not in known.trees and self._stores.objects.add_tree(tree)
        }
        if self._identified is None:
            check_unchanged(self._snapshot, self._paths)
        stats = CommitStats(
            files=self._snapshot.count,
            raw_bytes=self._snapshot.size_bytes,
            new_bytes=packs.new_bytes,
            stored_bytes=sum(pack.size_bytes for pack in packs.packs),
        )
        return Written(built.root, root, stats, hints, len(packs.packs), self.files_read, built.root in new)
