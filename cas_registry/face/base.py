"""What all of a model's faces share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cas_registry.backends import is_remote
from cas_registry.face.world import World
from cas_registry.model.revision import Revision, parse_revision
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores

if TYPE_CHECKING:
    pass


class ModelBase:
    """A model's name, the stores it lies in, and how its revisions are resolved."""

    def __init__(self, stores: Stores, world: World, name: str) -> None:
        self._stores = stores  # for what writes, and for what asks after the store itself
        self._reading = stores.reading
        self._world = world
        self._name = name

    def __repr__(self) -> str:
        return f"Model({self._name!r} of {self._stores.backend.url!r})"

    @property
    def name(self) -> str:
        return self._name

    def resolve(self, revision: str) -> Version:
        """The version that a revision names, in at most three reads for a branch or tag. NotFoundError says what there is."""
        parsed = parse_revision(revision)
        return self._resolve(parsed)

    @property
    def _is_remote(self) -> bool:
        return is_remote(self._stores.backend.url)

    @property
    def _now_ms(self) -> int:
        return self._world.clock_ns() // 1_000_000

    def _resolve(self, revision: Revision) -> Version:
        return self._reading.refs(revision.model or self._name).resolve(revision, now_ms=self._now_ms)
