"""What a registry holds and what it costs: raw bytes of all versions against stored ones, and what each rung of the ladder saves."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from cas_registry.model.entry import CATALOGUE, CommitStats, Entry, RefKind
from cas_registry.model.ids import MapName, TreeId
from cas_registry.operations.ladder import Ladder, measure_ladders
from cas_registry.operations.progress import Progress
from cas_registry.store.layout import (
    COMMITS,
    FILES,
    FORMAT_KEY,
    MAPS,
    PACKS,
    REFS,
    RELEASES,
    SIGNATURES,
    TREES,
    log_prefix,
    object_key,
)
from cas_registry.store.log import Log
from cas_registry.store.stores import Stores

_AREAS = {
    "format": FORMAT_KEY,
    "catalogue": log_prefix(CATALOGUE),
    "packs": PACKS,
    "maps": MAPS,
    "trees": TREES,
    "commits": COMMITS,
    "logs": REFS,
    "releases": RELEASES,
    "signatures": SIGNATURES,
    "hints": FILES,
}


@dataclass(frozen=True, slots=True)
class ModelStats:
    """One model: versions that are not retired, their raw bytes, those that were new when committed, and what these took in packs."""

    model: str
    versions: int
    branches: int
    tags: int
    raw_bytes: int
    new_bytes: int
    stored_bytes: int
    updated_ms: int | None
    latest: int | None = None  # the number of the last version that is not retired
    tag_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RegistryStats:
    """The whole registry; `objects` and `bytes` are counted in the store by area (packs, maps, trees, …).

    `ladder` is that of all versions of all models, `ladders` those of the models, in their order. Of the bytes in packs `placed_bytes`
    are chunks that versions need, `unreferenced_bytes` are packs that no version's map names (of commits that were stopped, or are
    under way); the rest frames chunks, or stands beside them in packs that are needed.
    """

    models: tuple[ModelStats, ...]
    objects: dict[str, int]
    bytes: dict[str, int]
    ladder: Ladder
    ladders: tuple[Ladder, ...]
    placed_bytes: int
    unreferenced_bytes: int

    @property
    def raw_bytes(self) -> int:
        return sum(model.raw_bytes for model in self.models)

    @property
    def stored_bytes(self) -> int:
        """Everything in the bucket, metadata too."""
        return sum(self.bytes.values())

    @property
    def metadata_bytes(self) -> int:
        """Everything in the bucket but packs."""
        return self.stored_bytes - self.bytes.get("packs", 0)

    @property
    def framing_bytes(self) -> int:
        """What packs that versions need hold beside the chunks that these need: headers, footers, recipes, chunks of nobody."""
        return self.bytes.get("packs", 0) - self.placed_bytes - self.unreferenced_bytes

    @property
    def ratio(self) -> float:
        """Stored over raw; 0 for an empty registry."""
        return self.stored_bytes / self.raw_bytes if self.raw_bytes else 0.0


def model_stats(stores: Stores, model: str) -> ModelStats:
    """The figures of one model, from its log entries."""
    return _read_log(stores, model)[0]


def registry_stats(stores: Stores, *, progress: Progress) -> RegistryStats:
    """The figures of every model, its ladder (see `measure_ladders` for what that takes), and a listing of the store."""
    names = [name for name, row in sorted(stores.catalogue.models().items()) if not row.retired]
    logs = {name: _read_log(stores, name) for name in names}
    ladders = measure_ladders(stores.objects, {name: versions for name, (_, versions) in logs.items()}, progress=progress)
    needed = {object_key(pack) for pack in ladders.packs}
    unreferenced_bytes = 0
    objects: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for area, prefix in _AREAS.items():
        for info in stores.backend.list(prefix):
            objects[area] += 1
            sizes[area] += info.size_bytes
            if area == "packs" and info.key not in needed:
                unreferenced_bytes += info.size_bytes
    return RegistryStats(
        models=tuple(stats for stats, _ in logs.values()),
        objects=dict(objects),
        bytes=dict(sizes),
        ladder=ladders.whole,
        ladders=ladders.models,
        placed_bytes=ladders.placed_bytes,
        unreferenced_bytes=unreferenced_bytes,
    )


def _read_log(stores: Stores, model: str) -> tuple[ModelStats, list[tuple[TreeId, MapName]]]:
    """The figures of a model, and tree and root map of each version, oldest first."""
    found = stores.refs(model).head()
    if found is None:
        return ModelStats(model, 0, 0, 0, 0, 0, 0, None), []
    head, table = found
    stats: list[CommitStats] = []
    versions: list[tuple[TreeId, MapName]] = []
    latest: int | None = None
    remap = stores.refs(model).remap(head)
    for entry in walk_entries(stores.log(model), head.n):
        if not entry.tree or not entry.map or (root := remap.of(entry.n, entry.map)) is None:
            continue
        versions.append((entry.tree, root))
        latest = entry.versions
        if entry.stats:
            stats.append(entry.stats)
    figures = ModelStats(
        model=model,
        versions=len(versions),
        branches=sum(1 for ref in table.of(RefKind.BRANCH).values() if ref.commit),
        tags=sum(1 for ref in table.of(RefKind.TAG).values() if ref.commit),
        raw_bytes=sum(item.raw_bytes for item in stats),
        new_bytes=sum(item.new_bytes for item in stats),
        stored_bytes=sum(item.stored_bytes for item in stats),
        updated_ms=head.entry.time_ms,
        latest=latest,
        tag_names=tuple(sorted(name for name, ref in table.of(RefKind.TAG).items() if ref.commit)),
    )
    return figures, versions


def walk_entries(log: Log, last: int) -> Iterator[Entry]:
    """Entries 1 to `last` of a log, read in batches."""
    for start in range(1, last + 1, 256):
        for recorded in log.read_many(range(start, min(start + 256, last + 1))):
            yield recorded.entry
