"""The catalogue: which models there are. One log, fenced and chained as every other."""

import secrets
from collections.abc import Mapping

from cas_registry.errors import ConflictError, IntegrityError
from cas_registry.model.entry import CATALOGUE, Entry, ModelRow, Operation
from cas_registry.model.names import check_model, fold
from cas_registry.store.log import Log, Recorded, check_writable


class Catalogue:
    """The models of one registry. Nothing is cached."""

    def __init__(self, log: Log, registry: str) -> None:
        self.log = log
        self._registry = registry

    def models(self) -> Mapping[str, ModelRow]:
        """Every model by name, retired ones too."""
        return self._head().entry.models or {}

    def ensure(self, model: str, *, time_ms: int, who: str) -> None:
        """Create the model unless it is there. ConflictError for a name that differs from another's in case only."""
        check_model(model)
        while True:
            head = self._head()
            check_writable(head)
            models = dict(head.entry.models or {})
            row = models.get(model)
            if row is not None and not row.retired:
                return
            clash = next((name for name in models if name != model and fold(name) == fold(model)), None)
            if clash:
                raise ConflictError(f"model {model!r} differs from {clash!r} in case only; choose another name", model=model)
            models[model] = ModelRow(since=head.n + 1)
            entry = Entry(
                registry=self._registry,
                log=CATALOGUE,
                n=head.n + 1,
                prev=head.id,
                nonce=secrets.token_hex(16),
                op=Operation.SET,
                time_ms=time_ms,
                who=who,
                why=f"create model {model}",
                models=models,
                gc_seen=head.entry.gc_seen,
            )
            if self.log.append(entry):
                self.log.write_hint(entry.n)
                return

    def _head(self) -> Recorded:
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
