"""The catalogue: which models there are. One log, fenced and chained as every other."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace

from cas_registry.errors import ConflictError, IntegrityError
from cas_registry.model.entry import CATALOGUE, Entry, ModelRow, Operation
from cas_registry.model.keep import Keep
from cas_registry.model.names import check_model, fold
from cas_registry.model.rules import TagRules
from cas_registry.store.log import Log, Recorded


class Catalogue:
    """The models of one registry. Nothing is cached."""

    def __init__(self, log: Log, registry: str) -> None:
        self.log = log
        self._registry = registry

    def models(self) -> Mapping[str, ModelRow]:
        """Every model by name, retired ones too."""
        return self.head().entry.models or {}

    def policies(self) -> Mapping[str, Keep]:
        """The retention policies by model, `"*"` for all that have none of their own."""
        return self.head().entry.keep or {}

    def ensure(self, model: str, *, time_ms: int, who: str) -> Recorded:
        """Create the model unless it is there; returns the catalogue's head. ConflictError for a name that differs from another's in
        case only."""
        check_model(model)

        def create(head: Recorded) -> Entry | None:
            models = dict(head.entry.models or {})
            row = models.get(model)
            if row is not None and not row.retired:
                return None
            clash = next((name for name in models if name != model and fold(name) == fold(model)), None)
            if clash:
                raise ConflictError(f"model {model!r} differs from {clash!r} in case only; choose another name", model=model)
            models[model] = ModelRow(since=head.n + 1)
            return replace(self._next(head, time_ms=time_ms, who=who, why=f"create model {model}"), models=models)

        return self._append(create)

    def releases(self) -> list[str]:
        """The names of the releases, sorted."""
        return sorted(self.head().entry.releases or {})

    def ensure_release(self, name: str, *, time_ms: int, who: str) -> None:
        """Create the release unless it is there. ConflictError for a name that differs from another's in case only."""
        check_model(name)

        def create(head: Recorded) -> Entry | None:
            releases = dict(head.entry.releases or {})
            if name in releases:
                return None
            clash = next((other for other in releases if fold(other) == fold(name)), None)
            if clash:
                raise ConflictError(f"release {name!r} differs from {clash!r} in case only; choose another name", release=name)
            releases[name] = ModelRow(since=head.n + 1)
            return replace(self._next(head, time_ms=time_ms, who=who, why=f"create release {name}"), releases=releases)

        self._append(create)

    def retire(self, model: str, *, time_ms: int, who: str, why: str) -> None:
        """Mark the model as taken away: it is listed no more. Its versions are its own log's affair."""

        def mark(head: Recorded) -> Entry | None:
            models = dict(head.entry.models or {})
            row = models.get(model)
            if row is None or row.retired:
                return None
            models[model] = ModelRow(since=head.n + 1, retired=True)
            entry = self._next(head, time_ms=time_ms, who=who, why=why or f"retire model {model}")
            return replace(entry, op=Operation.RETIRE, models=models)

        self._append(mark)

    def set_policy(self, model: str, keep: Keep | None, *, time_ms: int, who: str) -> None:
        """Give a model (`"*"`: every one without its own) a retention policy, or take it away with None."""

        def change(head: Recorded) -> Entry | None:
            policies = dict(head.entry.keep or {})
            if policies.get(model) == keep:
                return None
            if keep is None:
                del policies[model]
            else:
                policies[model] = keep
            entry = self._next(head, time_ms=time_ms, who=who, why=f"retention policy of {model}")
            return replace(entry, keep=policies or None)

        self._append(change)

    def rules(self) -> Mapping[str, TagRules]:
        """The rules of tags by model, `"*"` those of all."""
        return self.head().entry.rules or {}

    def change_rules(self, model: str, change: Callable[[TagRules], TagRules], *, time_ms: int, who: str, why: str) -> None:
        """Give a model (`"*"`: all of them) other rules of tags, in one entry: what `change` makes of those it has."""

        def apply(head: Recorded) -> Entry | None:
            models = dict(head.entry.rules or {})
            rules = models.pop(model, {})
            changed = change(rules)
            if changed == rules:
                return None
            if changed:
                models[model] = changed
            return replace(self._next(head, time_ms=time_ms, who=who, why=why), rules=models or None)

        self._append(apply)

    def _next(self, head: Recorded, *, time_ms: int, who: str, why: str) -> Entry:
        return Entry(
            registry=self._registry,
            log=CATALOGUE,
            n=head.n + 1,
            prev=head.id,
            nonce=secrets.token_hex(16),
            op=Operation.SET,
            time_ms=time_ms,
            who=who,
            why=why,
            models=head.entry.models,
            keep=head.entry.keep,
            rules=head.entry.rules,
            releases=head.entry.releases,
            gc_seen=head.entry.gc_seen,
            gc_settled=head.entry.gc_settled,
        )

    def _append(self, change: Callable[[Recorded], Entry | None]) -> Recorded:
        """Append what `change` makes of the head, again for a new head until it lands; None: all is as it should be. Returns the head."""
        while True:
            head = self.head()
            entry = change(head)
            if entry is None:
                return head
            if appended := self.log.append(entry):
                self.log.write_hint(entry.n)
                return appended

    def head(self) -> Recorded:
        """The catalogue's last entry."""
        head = self.log.head()
        if head is None:
            raise IntegrityError("the catalogue has no entries: its first one is written when a registry is made; run reg fsck")
        return head


def first_entry(registry: str, format_body: bytes, *, time_ms: int, who: str) -> Entry:
    """Entry 1 of the catalogue: no models yet, and a copy of the format's body, from which a lost `format` is rebuilt."""
    return Entry(
        registry=registry,
        log=CATALOGUE,
        n=1,
        prev=None,
        nonce=secrets.token_hex(16),
        op=Operation.SET,
        time_ms=time_ms,
        who=who,
        why="create registry",
        models={},
        format=format_body.decode("utf-8"),
    )
