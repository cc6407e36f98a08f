"""A registry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from os import fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cas_registry.backends import Backend, is_remote
from cas_registry.face.comparing import ComparingModels
from cas_registry.face.finding import Finding
from cas_registry.face.importing import Importing
from cas_registry.face.model import Model
from cas_registry.face.promotion import Rules
from cas_registry.face.releases import Releases
from cas_registry.face.world import AnyPath, World
from cas_registry.model.keep import Keep
from cas_registry.model.names import check_model
from cas_registry.operations.progress import NoProgress, Progress
from cas_registry.store.stores import Stores
from cas_registry.worktree.binding import (
    FolderState,
    read_state,
)

if TYPE_CHECKING:
    from cas_registry.operations.collection import CollectionInfo, CollectReport
    from cas_registry.operations.fsck import FsckReport
    from cas_registry.operations.repack import RepackReport
    from cas_registry.operations.repair import RepairReport
    from cas_registry.operations.retention import Expiry
    from cas_registry.operations.retire import RetireReport
    from cas_registry.operations.stats import ModelStats, RegistryStats


class Registry(Finding, Rules, Releases, ComparingModels, Importing):
    """A registry at a URL. Every question is asked of the bucket; that its logs only go on from what this machine saw of them last is
    checked (RollbackError). Safe to use from several threads."""

    def __init__(self, stores: Stores, world: World) -> None:
        self._stores = stores if stores.offline else _kept(_watched(stores, world), world)
        self._world = world

    def __repr__(self) -> str:
        return f"Registry({self.url!r})"

    @property
    def url(self) -> str:
        """Where the registry is, without credentials."""
        return self._stores.backend.url

    @property
    def id(self) -> str:
        """The registry's own random id (32 hex digits)."""
        return self._stores.format.registry

    @property
    def as_of_ms(self) -> int | None:
        """When that was seen of the logs asked about which answers come from, the oldest of them; None where the store is asked."""
        return self._stores.reading.as_of_ms

    @property
    def is_shared(self) -> bool:
        """Whether several writers may work at once; False for a registry made with `single_writer`."""
        return not self._stores.format.single_writer

    def model(self, name: str) -> Model:
        """The model of that name, which its first commit creates. HostileNameError for a name outside the grammar."""
        return Model(self._stores, self._world, check_model(name))

    def model_names(self) -> list[str]:
        """The names of the models, sorted; in three reads."""
        return sorted(name for name, row in self._stores.reading.catalogue.models().items() if not row.retired)

    def models(self) -> list[ModelStats]:
        """Every model with its figures, sorted by name."""
        from cas_registry.operations.stats import model_stats

        rows = self._stores.reading.catalogue.models()
        return [model_stats(self._stores.reading, name) for name, row in sorted(rows.items()) if not row.retired]

    def folder_state(self, folder: AnyPath) -> FolderState | None:
        """What a folder's `.reg/state.json` remembers, if that is about this registry; see `remember_version`."""
        state = read_state(Path(fspath(folder)))
        return state if state and state.registry == self.id else None

    def stats(self, *, progress: Progress | None = None) -> RegistryStats:
        """Raw and stored bytes by model and by area of the bucket, and what deduplication, codecs and deltas save.

        Reads all trees and maps and lists the bucket; memory grows with the distinct files and chunks of all versions.
        """
        from cas_registry.operations.stats import registry_stats

        return registry_stats(self._stores, progress=progress or NoProgress())

    def repack(
        self,
        models: Iterable[str] | None = None,
        *,
        level: int | None = None,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> RepackReport:
        """`Model.repack` of several models (of all, if none are named) together, so that what they share stays shared."""
        from cas_registry.operations.repack import RepackRequest, repack

        names = sorted(check_model(name) for name in models) if models is not None else self.model_names()
        request = RepackRequest(names, self._world.author, self._world.clock_ns() // 1_000_000, level, dry_run)
        return repack(self._stores, request, progress=progress or NoProgress())

    def gc(
        self,
        *,
        delete: bool = False,
        policy: bool = False,
        grace_s: float = 24 * 3600,
        trash_window_s: float = 7 * 24 * 3600,
        confirmed: int | None = None,
        progress: Progress | None = None,
    ) -> CollectReport:
        """Collect what no version needs: find it, and with `delete` go on with the collections under way and begin one of the rest.

        Safe beside any number of writers, however long anybody stalls and whatever the clocks say; what was decided on is deleted once the
        trash window has passed, by whichever run comes then. With `policy` what the retention policies let go is retired first.
        Raises ConflictError where more than half of all bytes would go and `confirmed` is not the number of objects, IntegrityError
        at anything that cannot be read: nothing more is deleted then.
        """
        from cas_registry.operations.collection import CollectRequest, collect
        from cas_registry.operations.retention import apply_policies

        if policy and delete:
            apply_policies(self._stores, who=self._world.author, time_ms=self._now_ms)
        request = CollectRequest(
            self._world.author, self._now_ms, delete, int(grace_s * 1000), int(trash_window_s * 1000), confirmed
        )
        return collect(self._stores, request, progress=progress or NoProgress())

    def undo_gc(self, epoch: int, *, reason: str = "") -> CollectionInfo:
        """Call a collection off before it deletes. NotFoundError if there is none, ConflictError if it is too late."""
        from cas_registry.operations.collection import undo

        return undo(self._stores, epoch, who=self._world.author, time_ms=self._now_ms, why=reason)

    def policies(self) -> Mapping[str, Keep]:
        """The retention policies by model; `"*"` is that of every model without its own."""
        return self._stores.reading.catalogue.policies()

    def set_policy(self, keep: Keep | None, *, model: str | None = None) -> None:
        """Give a model (None: every model without its own) a retention policy, or take it away. Nothing is retired before `gc` applies it."""
        from cas_registry.model.keep import EVERY_MODEL, check_keep

        name = EVERY_MODEL if model is None else check_model(model)
        self._stores.catalogue.set_policy(
            name, check_keep(keep) if keep else None, time_ms=self._now_ms, who=self._world.author
        )

    def expired(self) -> list[Expiry]:
        """What the retention policies let go: the next `gc(policy=True, delete=True)` retires it."""
        from cas_registry.operations.retention import find_expired

        return find_expired(self._stores, now_ms=self._now_ms)

    def retire(self, model: str, *, reason: str = "", force: bool = False) -> RetireReport:
        """Take a whole model away: its versions, branches and tags. ConflictError where it has tags, unless `force` deletes them.

        What only it needed goes with the next collection. A later commit to the model begins it anew.
        """
        from cas_registry.operations.retire import RetireRequest, retire_model

        request = RetireRequest(check_model(model), self._world.author, self._now_ms, reason, force)
        return retire_model(self._stores, request)

    @property
    def _now_ms(self) -> int:
        return self._world.clock_ns() // 1_000_000

    def fsck(self, *, read_data: bool | float = False, progress: Progress | None = None) -> FsckReport:
        """Check that everything a log names is there and whole; with `read_data` every byte of every pack, or of a share of them (0.05).

        A share is drawn at random each time. InvalidInputError for one beyond 1.
        """
        from cas_registry.operations.fsck import check_registry

        return check_registry(self._stores.backend, read_data=read_data, progress=progress or NoProgress())

    def repair(
        self,
        sources: Iterable[AnyPath] = (),
        *,
        storage_options: Mapping[str, Any] | None = None,
        read_data: bool | float = False,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> RepairReport:
        """Write again what `fsck` finds damaged, as far as the right bytes can be had: here, or at `sources` (folders, other registries).

        Nothing is deleted; what cannot be had stays as it is, and the report's check names it. With `read_data` packs whose bytes are
        damaged are found, too. Raises NotFoundError for a source that is not there, ConflictError where a collection gets in the way (repair
        again), and AccessError without rights to write.
        """
        return mend(
            self._stores.backend, self._world, sources, storage_options, read_data=read_data, dry_run=dry_run, progress=progress
        )


def _watched(stores: Stores, world: World) -> Stores:
    """The stores, watching what this machine sees of their logs; those of a registry in memory are gone before anybody looks again."""
    folder = world.state_folder
    if folder is None or stores.backend.url.startswith("memory:"):
        return stores
    from cas_registry.store.watch import Watch

    return replace(stores, watch=Watch(folder / stores.format.registry, clock_ns=world.clock_ns))


def _kept(stores: Stores, world: World) -> Stores:
    """The stores of a remote registry, with a reader that takes what never changes from this machine."""
    if not is_remote(stores.backend.url) or stores.reader is not None:
        return stores
    from cas_registry.face.keeping import keep_objects

    return keep_objects(stores, world)


def mend(
    backend: Backend, world: World, sources: Iterable[AnyPath], source_options: Mapping[str, Any] | None, *,
    read_data: float, dry_run: bool, progress: Progress | None,
) -> RepairReport:  # fmt: skip
    from cas_registry.operations.repair import RepairRequest, repair_registry

    places = [fspath(place) for place in sources]
    request = RepairRequest(world.author, world.clock_ns() // 1_000_000, places, source_options, read_data, dry_run)
    return repair_registry(backend, request, progress=progress or NoProgress())
