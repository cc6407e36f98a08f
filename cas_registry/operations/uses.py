"""Who needs a version: releases whose last entry names it, and living versions of any model that were made from it.

The first question reads the entries and commits of all models, in batches; a later one only what has come since.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from cas_registry.model.ids import CommitId
from cas_registry.store.log import Recorded
from cas_registry.store.refs import READ_BATCH
from cas_registry.store.releases import rows_of
from cas_registry.store.stores import Stores

_COMMITS_AT_ONCE = 64


class UseKind(StrEnum):
    RELEASE = "release"
    INPUT = "input"


@dataclass(frozen=True, slots=True)
class Use:
    """A version that is needed: `commit` of `model`, by a release, or as an input of version `number` of model `user`."""

    model: str
    commit: CommitId
    kind: UseKind
    user: str
    number: int | None = None

    def __str__(self) -> str:
        what = f"{self.model}@{self.commit.short}"
        return (
            f"release {self.user} names {what}" if self.number is None else f"{self.user} v{self.number} was made from {what}"
        )


@dataclass(frozen=True, slots=True)
class _Made:
    """A version that was made from others, by the entry that introduced it."""

    model: str
    at: int
    number: int
    commit: CommitId
    inputs: tuple[tuple[str, CommitId], ...]


class Uses:
    """The uses of versions in one registry. What was read of the logs is kept from one question to the next, for it never changes."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._read: dict[str, int] = {}
        self._made: list[_Made] = []

    def of(self, model: str, commits: Collection[CommitId]) -> list[Use]:
        """Who needs these versions of a model, but for themselves: what goes together needs nothing of it."""
        catalogue = self._stores.catalogue.head().entry
        released = [
            Use(model, row.commit, UseKind.RELEASE, name)
            for name in sorted(catalogue.releases or {})
            if (row := rows_of(self._stores.release(name).head()).get(model)) and row.commit in commits
        ]
        retired: dict[str, Mapping[int, object]] = {}
        for name, model_row in sorted((catalogue.models or {}).items()):
            if not model_row.retired and (head := self._stores.log(name).head()):
                self._read_on(name, head)
                retired[name] = self._stores.refs(name).remap(head).maps
        return released + [
            Use(model, commit, UseKind.INPUT, made.model, made.number)
            for made in self._made
            if made.model in retired
            and retired[made.model].get(made.at, made) is not None
            and not (made.model == model and made.commit in commits)
            for named, commit in made.inputs
            if commit in commits and self._is_of(model, named, commit)
        ]

    def _is_of(self, model: str, named: str, commit: CommitId) -> bool:
        """Whether an input is the version in this model's log: by the name that it has, and where the commit was made here by any name."""
        return named == model or self._stores.objects.read_commit(commit).log == model

    def _read_on(self, model: str, head: Recorded) -> None:
        """Learn what the versions were made from that a log has introduced since it was read last."""
        log = self._stores.log(model)
        for start in range(self._read.get(model, 0) + 1, head.n + 1, READ_BATCH):
            entries = [recorded.entry for recorded in log.read_many(range(start, min(start + READ_BATCH, head.n + 1)))]
            introduced = [(entry, entry.commit) for entry in entries if entry.commit]
            for first in range(0, len(introduced), _COMMITS_AT_ONCE):
                part = introduced[first : first + _COMMITS_AT_ONCE]
                commits = self._stores.objects.read_commits([identity for _, identity in part])
                for (entry, identity), commit in zip(part, commits, strict=True):
                    inputs = tuple((item.model, item.commit) for item in commit.inputs if item.model and item.commit)
                    if inputs:
                        self._made.append(_Made(model, entry.n, entry.versions, identity, inputs))
        self._read[model] = head.n
