"""Stages: tags that stand for how far a version has come, and the board of who stands where, and for how long.

A stage is a tag that the rules name; its `after` says which stage comes before it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from cas_registry.errors import InvalidInputError, NotFoundError
from cas_registry.model.entry import RefKind
from cas_registry.model.ids import CommitId
from cas_registry.model.keep import EVERY_MODEL
from cas_registry.model.names import check_ref
from cas_registry.model.rules import TagRule, TagRules
from cas_registry.store.stores import Stores

STAGES = ("dev", "staging", "prod", "archived")  # what people call them, in that order, where the rules name none
_IN_USE = ("prod", "production")  # the stages that ask for the one before: what is used was tried first


@dataclass(frozen=True, slots=True)
class Standing:
    """A version at a stage, since when, and who put it there."""

    stage: str
    commit: CommitId
    number: int
    since_ms: int
    who: str
    why: str


@dataclass(frozen=True, slots=True)
class Board:
    """The stages in order, and for each model what stands at them; a stage where nothing stands is left out."""

    stages: tuple[str, ...]
    models: Mapping[str, tuple[Standing, ...]]


def set_stages(stores: Stores, stages: Sequence[str], *, model: str | None, strict: bool, time_ms: int, who: str) -> None:
    """Make tags stages, in this order: each is put under a rule, whose other demands stay. The one that is in use (prod) asks for the stage
    before it, with `strict` every one does."""
    if len(set(stages)) != len(stages):
        raise InvalidInputError("a stage is named twice")
    for stage in stages:
        check_ref(stage)
    afters = {
        stage: (before,) if before and (strict or stage in _IN_USE) else ()
        for before, stage in zip(("", *stages), stages, strict=False)
    }

    def change(known: TagRules) -> TagRules:
        return {**known, **{stage: replace(known.get(stage, TagRule()), after=after) for stage, after in afters.items()}}

    stores.catalogue.change_rules(model or EVERY_MODEL, change, time_ms=time_ms, who=who, why=f"stages {', '.join(stages)}")


def find_board(stores: Stores, models: Sequence[str] | None = None) -> Board:
    """What stands at the stages of these models (None: of all of the registry): two round trips a model, and one for the moves. NotFoundError for a
    model that is not there."""
    entry = stores.catalogue.head().entry
    rules = entry.rules or {}
    live = [name for name, row in sorted((entry.models or {}).items()) if not row.retired]
    names = live if models is None else models
    if unknown := [name for name in names if name not in live]:
        raise NotFoundError(f"there is no model {unknown[0]!r}; reg models lists them", model=unknown[0])
    stages = order_stages([rules.get(EVERY_MODEL, {}), *(rules.get(name, {}) for name in names)])
    return Board(stages, {name: _standings(stores, name, stages) for name in names})


def order_stages(rules: Iterable[TagRules]) -> tuple[str, ...]:
    """The tags that rules name, each behind those that it comes after; `STAGES` where they name none. Patterns are no stages."""
    befores: dict[str, set[str]] = {}
    for model in rules:
        for tag, rule in model.items():
            if "*" not in tag:
                befores.setdefault(tag, set()).update(rule.after)
                for before in rule.after:
                    befores.setdefault(before, set())
    if not befores:
        return STAGES
    waiting = sorted(befores, key=lambda tag: (STAGES.index(tag) if tag in STAGES else len(STAGES), tag))
    ordered: list[str] = []
    while waiting:
        ready = next(
            (tag for tag in waiting if befores[tag] <= set(ordered)), waiting[0]
        )  # rules in a circle: the first of them
        waiting.remove(ready)
        ordered.append(ready)
    return tuple(ordered)


def _standings(stores: Stores, model: str, stages: Sequence[str]) -> tuple[Standing, ...]:
    refs = stores.refs(model)
    found = refs.head()
    table = found[1].of(RefKind.TAG) if found else {}
    rows = [(stage, table[stage].moved, row) for stage in stages if stage in table and (row := table[stage].version)]
    entries = refs.log.read_many([moved for _, moved, _ in rows]) if rows else []
    return tuple(
        Standing(stage, row.commit, row.number, recorded.entry.time_ms, recorded.entry.who, recorded.entry.why)
        for (stage, _, row), recorded in zip(rows, entries, strict=True)
    )
