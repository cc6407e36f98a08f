"""The stores of one registry, opened together. Those that few verbs need are loaded when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cas_registry.backends import Backend
from cas_registry.backends.wrappers import SingleWriterBackend
from cas_registry.errors import AlreadyExistsError, FormatError, IntegrityError, NotFoundError
from cas_registry.model.canonical import seal
from cas_registry.model.entry import CATALOGUE, MAX_ENTRY_BYTES, Entry, decode_entry
from cas_registry.model.ids import FormatId
from cas_registry.model.names import check_log
from cas_registry.model.registry_format import MAX_FORMAT_BYTES, RegistryFormat, decode_format, encode_format, format_body
from cas_registry.store.catalogue import Catalogue, first_entry
from cas_registry.store.layout import FORMAT_KEY, entry_key
from cas_registry.store.log import Log, LogWatch
from cas_registry.store.objects import ObjectStore
from cas_registry.store.refs import ModelRefs
from cas_registry.store.watch import Watch

if TYPE_CHECKING:
    from cas_registry.store.epochs import Epochs, Threats
    from cas_registry.store.releases import ReleaseLog
    from cas_registry.store.signatures import SignatureStore


@dataclass(frozen=True, slots=True)
class Stores:
    """A registry's backend and what stands on it; `watch` remembers for this machine how far its logs were seen.

    `reader` are stores of the same registry that may take what never changes from this machine (`store/kept.py`): for what reads, and
    never for what writes or looks after the store. In those `history` is asked for entries that are known to be there, and `heads` is told
    of the ends of logs. `offline`: the store is not asked for anything.
    """

    backend: Backend
    format: RegistryFormat
    objects: ObjectStore
    watch: Watch | None = None
    reader: Stores | None = None
    history: Backend | None = None
    heads: LogWatch | None = None
    offline: bool = False

    @property
    def reading(self) -> Stores:
        """What to read from."""
        return self.reader or self

    @property
    def catalogue(self) -> Catalogue:
        return Catalogue(self._log(CATALOGUE), self.format.registry)

    @property
    def epochs(self) -> Epochs:
        """The records of collections."""
        from cas_registry.store.epochs import Epochs  # noqa: PLC0415 - see above

        return Epochs(self.backend, self.format.registry)

    def threats(self, head: Entry | None) -> Threats:
        """What a writer who has read this head of a log (None: of a log that does not exist yet) must not name."""
        from cas_registry.store.epochs import Threats  # noqa: PLC0415 - see above

        return Threats(self.epochs, self.objects, head or self.catalogue.head().entry)

    def log(self, name: str) -> Log:
        """The log of a model, or of a release (`release:NAME`), whether it exists or not."""
        return self._log(check_log(name))

    def refs(self, model: str) -> ModelRefs:
        """The branches and tags of a model."""
        return ModelRefs(self.log(model), self.objects, logs=self)

    def release(self, name: str) -> ReleaseLog:
        """The log of a release, whether it exists or not."""
        from cas_registry.store.releases import ReleaseLog  # noqa: PLC0415 - see above

        return ReleaseLog(self, name)

    @property
    def signatures(self) -> SignatureStore:
        """The signatures of log entries."""
        from cas_registry.store.signatures import SignatureStore  # noqa: PLC0415 - see above

        return SignatureStore(self.history or self.backend)

    @property
    def as_of_ms(self) -> int | None:
        """Offline: when the oldest of the ends of logs that were asked for was seen."""
        return getattr(self.backend, "as_of_ms", None) if self.offline else None

    def _log(self, name: str) -> Log:
        return Log(self.backend, self.format.registry, name, watch=self.heads or self.watch, kept=self.history)


def open_stores(backend: Backend) -> Stores:
    """The stores of the registry at `backend`. NotFoundError if there is none, IntegrityError if its format is damaged."""
    try:
        data = backend.get(FORMAT_KEY, length=MAX_FORMAT_BYTES + 1)
    except NotFoundError as error:
        if "bucket" in error.fields:
            raise
        raise NotFoundError(
            f"there is no registry at {backend.url}; make one with: reg init {backend.url}", url=backend.url
        ) from error
    try:
        return _stores(backend, decode_format(data))
    except FormatError as error:
        raise IntegrityError(f"{FORMAT_KEY} in {backend.url} is damaged: {error}; run reg fsck", key=FORMAT_KEY) from error


def create_stores(backend: Backend, registry_format: RegistryFormat, *, who: str) -> Stores:
    """A new registry: the catalogue's first entry, then `format`, which makes it one. AlreadyExistsError if there is one.

    Where somebody was stopped between the two (or is at it right now), the registry that the entry describes is finished instead, if
    it has the same parameters.
    """
    if backend.get_many([FORMAT_KEY], length=1) != [None]:
        raise AlreadyExistsError(
            f"there is a registry at {backend.url} already; open it, or choose another place", url=backend.url
        )
    stores = _stores(backend, registry_format)
    body = format_body(registry_format)
    entry = first_entry(registry_format.registry, body, time_ms=registry_format.created_ms, who=who)
    if stores.catalogue.log.append(entry) is None:
        begun = recover_format(backend)
        if (
            begun is None
            or replace(begun, registry=registry_format.registry, created_ms=registry_format.created_ms) != registry_format
        ):
            raise AlreadyExistsError(
                f"somebody began to make a registry with other parameters at {backend.url}; use theirs, remove what is there, or "
                "choose another place",
                url=backend.url,
            )
        stores = _stores(backend, begun)
    stores.catalogue.log.write_hint(1)
    data = encode_format(stores.format)
    try:
        stores.backend.create(FORMAT_KEY, data)
    except AlreadyExistsError:  # one's own lost answer, or whoever finished the same registry first
        if backend.get(FORMAT_KEY, length=len(data) + 1) != data:
            raise
    stores.backend.flush()
    return stores


def recover_format(backend: Backend) -> RegistryFormat | None:
    """The registry's parameters from the copy in the catalogue's first entry, or None where that is gone as well."""
    data = backend.get_many([entry_key(CATALOGUE, 1)], length=MAX_ENTRY_BYTES + 66)[0]
    if data is None:
        return None
    try:
        _, entry = decode_entry(data)
        return decode_format(seal((entry.format or "").encode("utf-8"), FormatId))
    except FormatError:
        return None


def _stores(backend: Backend, registry_format: RegistryFormat) -> Stores:
    inner = SingleWriterBackend(backend) if registry_format.single_writer else backend
    return Stores(inner, registry_format, ObjectStore(inner))
