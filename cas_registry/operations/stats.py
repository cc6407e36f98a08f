"""What a registry holds and what it costs: raw bytes of all versions against stored ones."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from cas_registry.model.entry import CATALOGUE, Entry, RefKind
from cas_registry.store.layout import COMMITS, FILES, FORMAT_KEY, MAPS, PACKS, REFS, TREES, log_prefix
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
    "hints": FILES,
}


@dataclass(frozen=True, slots=True)
class ModelStats:
    """One model: versions in its log, their raw bytes, those that were new when committed, and what these took in packs."""

    model: str
    versions: int
    branches: int
    tags: int
    raw_bytes: int
    new_bytes: int
    stored_bytes: int
    updated_ms: int | None


@dataclass(frozen=True, slots=True)
class RegistryStats:
    """The whole registry; `objects` and `bytes` are counted in the store by area (packs, maps, trees, …)."""

    models: tuple[ModelStats, ...]
    objects: dict[str, int]
    bytes: dict[str, int]

    @property
    def raw_bytes(self) -> int:
        return sum(model.raw_bytes for model in self.models)

    @property
    def stored_bytes(self) -> int:
        """Everything in the bucket, metadata too."""
        return sum(self.bytes.values())

    @property
    def ratio(self) -> float:
        """Stored over raw; 0 for an empty registry."""
        return self.stored_bytes / self.raw_bytes if self.raw_bytes else 0.0


def model_stats(stores: Stores, model: str) -> ModelStats:
    """The figures of one model, from its log entries."""
    found = stores.refs(model).head()
    if found is None:
        return ModelStats(model, 0, 0, 0, 0, 0, 0, None)
    head, table = found
    stats = [entry.stats for entry in walk_entries(stores.log(model), head.n) if entry.stats]
    return ModelStats(
        model=model,
        versions=head.entry.versions,
        branches=sum(1 for ref in table.of(RefKind.BRANCH).values() if ref.commit),
        tags=sum(1 for ref in table.of(RefKind.TAG).values() if ref.commit),
        raw_bytes=sum(item.raw_bytes for item in stats),
        new_bytes=sum(item.new_bytes for item in stats),
        stored_bytes=sum(item.stored_bytes for item in stats),
        updated_ms=head.entry.time_ms,
    )


def registry_stats(stores: Stores) -> RegistryStats:
    """The figures of every model, and a listing of the store."""
    models = tuple(model_stats(stores, name) for name, row in sorted(stores.catalogue.models().items()) if not row.retired)
    objects: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for area, prefix in _AREAS.items():
        for info in stores.backend.list(prefix):
            objects[area] += 1
            sizes[area] += info.size_bytes
    return RegistryStats(models, dict(objects), dict(sizes))


def walk_entries(log: Log, last: int) -> Iterator[Entry]:
    """Entries 1 to `last` of a log, read in batches."""
    for start in range(1, last + 1, 256):
        for recorded in log.read_many(range(start, min(start + 256, last + 1))):
            yield recorded.entry
