"""Finding: versions by what is known of them, and by the bytes that they hold. Answers come from the index of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from os import fspath
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cas_registry.errors import AccessError, InvalidInputError, NotFoundError
from cas_registry.face.base import ModelBase
from cas_registry.face.world import AnyPath, World
from cas_registry.model.names import check_model
from cas_registry.operations.progress import NoProgress, Progress
from cas_registry.store.stores import Stores

if TYPE_CHECKING:
    from cas_registry.model.ids import FileId, TreeId
    from cas_registry.operations.index import Holding, Index
    from cas_registry.operations.search import SearchResult

T = TypeVar("T")
_MIN_HEX_DIGITS = 8
_HEX_DIGITS = 64


class Finding:
    """A registry's side of it."""

    _stores: Stores
    _world: World

    def search(
        self,
        condition: str | None = None,
        *,
        models: Iterable[str] | None = None,
        sort: str | None = None,
        top: int | None = None,
        retired: bool = False,
        progress: Progress | None = None,
    ) -> SearchResult:
        """The versions that a condition finds, of all models or of these: `metrics.auc > 0.9 and tag = prod and age < 30d`
        (docs/searching.md). None finds every one.

        `sort` is a field: numbers come highest first, text from A to Z; `-` in front turns that round, and `metrics.loss:min` says that the
        lowest comes first. Without it, and where it says nothing, the newest. At most `top`. Retired versions are left out unless `retired`.

        Reads what was written since the last time, then answers from this machine. InvalidInputError points at what the condition
        should not say. NotFoundError for a model that is not there.
        """
        from cas_registry.operations.search import SearchResult
        from cas_registry.query import parse_condition, parse_order

        wanted = parse_condition(condition) if condition is not None and condition.strip() else None
        order = parse_order(sort) if sort is not None else None
        if top is not None and top < 0:
            raise InvalidInputError(f"top is {top}; give how many versions at most")
        names = None if models is None else [check_model(name) for name in ([models] if isinstance(models, str) else models)]

        def ask(index: Index) -> SearchResult:
            for name in names or ():
                _check_known(index, name)
            found = index.search(wanted, models=names, order=order, top=top, retired=retired)
            return SearchResult(tuple(found), wanted, order, self._asked_ms, index.synced_ms())

        return self._ask(ask, progress)

    def whence(self, what: AnyPath, *, progress: Progress | None = None) -> list[Holding]:
        """Which versions, of any model, hold these bytes: oldest first, retired ones too, each with the path, and when which tags and
        branches stood at it.

        `what` is a file on this machine, which is hashed, or else the id of a file or folder, of which 8 hex digits are enough. The folders of
        versions are read the first time that somebody asks, and then those of new ones only. An empty list where no version does.
        """
        path = Path(fspath(what))
        if path.is_file():
            return self._holdings(lambda _: [_hash(path)], progress)
        text = str(what).lower()
        if path.is_dir() or not _MIN_HEX_DIGITS <= len(text) <= _HEX_DIGITS or text.strip("0123456789abcdef"):
            raise InvalidInputError(
                f"{str(what)[:200]!r} is no file here, and no id: give a file, or 8 to 64 hex digits of a file's or folder's id (reg ls lists them)"
            )
        return self._holdings(lambda index: index.ids(text), progress)

    def _holdings(self, ids: Callable[[Index], list[FileId | TreeId]], progress: Progress | None) -> list[Holding]:
        def ask(index: Index) -> list[Holding]:
            self._learn_trees(index, progress or NoProgress())
            return [holding for wanted in ids(index) for holding in index.holdings(wanted)]

        return self._ask(ask, progress)

    @property
    def _asked_ms(self) -> int:
        return self._world.clock_ns() // 1_000_000

    def _ask(self, question: Callable[[Index], T], progress: Progress | None) -> T:
        from cas_registry.operations.index import ask_index

        return ask_index(self._stores, self._world.cache_folder, question, now_ms=self._asked_ms, progress=progress)

    def _learn_trees(self, index: Index, progress: Progress) -> None:
        index.learn_trees(self._stores.objects, progress=progress)


class OfflineRegistry(Finding):
    """What this machine has seen of a registry, as of the last search that reached it. Asks nothing of the store."""

    def __init__(self, url: str, world: World) -> None:
        self._url = url
        self._world = world

    def __repr__(self) -> str:
        return f"OfflineRegistry({self._url!r})"

    @property
    def url(self) -> str:
        """Where the registry is, without credentials."""
        return self._url

    def _ask(self, question: Callable[[Index], T], progress: Progress | None) -> T:  # noqa: ARG002 - nothing takes long
        from cas_registry.operations.index import open_offline

        with open_offline(self._url, self._world.cache_folder, now_ms=self._asked_ms) as index:
            return question(index)

    def _learn_trees(self, index: Index, progress: Progress) -> None:
        pass


class ModelFinding(ModelBase):
    """A model's side of it."""

    def search(
        self,
        condition: str | None = None,
        *,
        sort: str | None = None,
        top: int | None = None,
        retired: bool = False,
        progress: Progress | None = None,
    ) -> SearchResult:
        """`Registry.search` among the versions of this model."""
        whole = _Whole(self._stores, self._world)
        return whole.search(condition, models=[self._name], sort=sort, top=top, retired=retired, progress=progress)


class _Whole(Finding):
    """The registry that a model is of."""

    def __init__(self, stores: Stores, world: World) -> None:
        self._stores = stores
        self._world = world


def _hash(path: Path) -> FileId:
    from cas_registry.worktree.copying import hash_file

    try:
        with path.open("rb") as file:
            return hash_file(file.fileno())
    except OSError as error:
        raise AccessError(f"cannot read {path}: {error.strerror}", path=str(path)) from error


def _check_known(index: Index, model: str) -> None:
    if model not in index.models():
        raise NotFoundError(f"there is no model {model!r}; reg models lists them", model=model)
