"""Marking: every map and pack that a version of a log's entries needs. Whatever cannot be read stops it: an error is never "nothing"."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TypeVar

from cas_registry.model.ids import MapName, PackName
from cas_registry.model.maps import Reference
from cas_registry.operations.progress import Progress
from cas_registry.store.log import Recorded
from cas_registry.store.stores import Stores

T = TypeVar("T")
_MAPS_AT_ONCE = 32


class Marks:
    """What versions need. Maps never change, so each is read once however often one marks."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._needs: dict[MapName, tuple[frozenset[MapName], frozenset[PackName]]] = {}
        self.maps: set[MapName] = set()
        self.packs: set[PackName] = set()
        self.versions = 0

    def mark(self, heads: Mapping[str, Recorded], progress: Progress) -> None:
        """Mark what the entries of these logs up to these heads need, and nothing else. Raises at the first thing that cannot be read."""
        self.maps, self.packs, self.versions = set(), set(), 0
        for done, (model, head) in enumerate(sorted(heads.items()), start=1):
            self._check_end(model, head)
            roots = [version.map for version in self._stores.refs(model).versions(head)]
            self.versions += len(roots)
            self._follow(dict.fromkeys(roots))
            progress.update("mark", done, len(heads))

    def _check_end(self, model: str, head: Recorded) -> None:
        """Where a hint tells of a later entry than the head that was found, that entry is there: somebody has just written it."""
        log = self._stores.log(model)
        hinted = log.hint()
        if hinted > head.n:
            log.read(hinted)

    def _follow(self, roots: Collection[MapName]) -> None:
        unread = [root for root in roots if root not in self._needs]
        for names in _batches(unread):
            for name, chunk_map in zip(names, self._stores.objects.read_roots(names), strict=True):
                references = list(dict.fromkeys(chunk_map.references.values()))
                self._read(references)
                packs = frozenset(pack.name for pack in chunk_map.packs)
                self._needs[name] = (frozenset(reference.name for reference in references), packs)
        for root in roots:
            self.maps.add(root)
            below, packs = self._needs[root]
            self.packs |= packs
            for name in below:
                self.maps.add(name)
                self.packs |= self._needs[name][1]

    def _read(self, references: Sequence[Reference]) -> None:
        unread = [reference for reference in references if reference.name not in self._needs]
        for batch in _batches(unread):
            for reference, chunk_map in zip(batch, self._stores.objects.read_maps(batch), strict=True):
                self._needs[reference.name] = (frozenset(), frozenset(pack.name for pack in chunk_map.packs))


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _MAPS_AT_ONCE):
        yield items[start : start + _MAPS_AT_ONCE]
