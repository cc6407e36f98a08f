"""What this machine keeps of remote registries: opening them with it, and without their stores; and fetching versions into it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cas_registry.errors import InvalidInputError
from cas_registry.face.contents import Contents
from cas_registry.face.world import World
from cas_registry.operations.progress import NoProgress, Progress
from cas_registry.store.stores import Stores
from cas_registry.worktree.object_cache import ObjectCache, find_place, remember_place

if TYPE_CHECKING:
    from cas_registry.operations.fetch import FetchReport

OBJECTS_SHARE = 20  # of what the files in the cache may take: a map has a thousandth of a version's bytes


class Keeping(Contents):
    """What is kept of a model's versions."""

    def fetch(self, revision: str, *, paths: Iterable[str] = (), progress: Progress | None = None) -> FetchReport:
        """Bring all of a version (or the part that `paths` select) to this machine, so that it can be looked at and checked out while the
        store cannot be reached: its files into the cache, each verified, what is there already too; its commit, folders and maps; and where its
        model's branches and tags stand.

        Files that the cache has no room for are left out (`report.left_out`). InvalidInputError for a registry in a folder, which needs none of
        this, and where nothing is kept.
        """
        from cas_registry.operations.fetch import fetch_version

        folder = self._world.cache_folder
        if not self._is_remote:
            raise InvalidInputError(f"{self._stores.backend.url} is on this machine already: fetch is for remote registries")
        if folder is None or not self._world.cache_bytes:
            raise InvalidInputError("there is no cache to fetch into: REG_CACHE_BYTES is 0")
        return fetch_version(
            self._reading, self.resolve(revision), patterns=tuple(paths), folder=folder, cache=self._file_cache(wanted=True),
            clock_ns=self._world.clock_ns, progress=progress or NoProgress(),
        )  # fmt: skip


def keep_objects(stores: Stores, world: World) -> Stores:
    """The stores of a remote registry, with a reader that takes what never changes from the cache of this machine, and keeps it there."""
    folder = world.cache_folder
    if folder is None or not world.cache_bytes:
        return stores
    from cas_registry.store.kept import with_reader

    remember_place(folder, stores.backend.url, stores.format.registry)
    return with_reader(stores, _cache(world, stores.format.registry))


def has_seen(url: str, world: World) -> bool:
    """Whether something of the registry at this URL is kept here."""
    folder = world.cache_folder
    return folder is not None and find_place(folder, url) is not None


def open_without_store(url: str, world: World) -> Stores:
    """The stores of the registry last seen at a remote URL, without asking it. OfflineError where nothing of it is here."""
    from cas_registry.store.offline import never_seen, open_offline_stores

    folder = world.cache_folder
    registry = find_place(folder, url) if folder is not None else None
    if registry is None:
        raise never_seen(url)
    return open_offline_stores(url, _cache(world, registry))


def _cache(world: World, registry: str) -> ObjectCache:
    assert world.cache_folder is not None  # noqa: S101 - callers have looked
    return ObjectCache(world.cache_folder, registry, limit_bytes=world.cache_bytes // OBJECTS_SHARE, clock_ns=world.clock_ns)
