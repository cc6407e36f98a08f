"""The records of a collection: what it condemned, what it will delete, the verdict, and the end. Each is created once.

    gc/<epoch>/condemned    packs and maps that nothing reached when the collection began
    gc/<epoch>/delete       those of them that nothing reached after every log knew of it
    gc/<epoch>/verdict      whether they are deleted, or the collection was called off
    gc/<epoch>/done         all of them are gone

Why that is safe without a lock or a clock: docs/design/011-collection.md.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cas_registry.errors import FormatError, LimitError
from cas_registry.model import canonical
from cas_registry.model.entry import MAX_EPOCH, MAX_WHO_BYTES, MAX_WHY_BYTES
from cas_registry.model.ids import CollectionId, MapName, PackName

MAX_LISTED = 400_000  # names of 67 bytes: within the limit of all metadata
_LIST_FIELDS = ("registry", "epoch", "maps", "packs", "bytes", "time", "who")
_VERDICT_FIELDS = ("registry", "epoch", "verdict", "time", "who", "why")
_DONE_FIELDS = ("registry", "epoch", "objects", "bytes", "time", "who")


@dataclass(frozen=True, slots=True)
class Condemned:
    """Maps and packs that a collection means to delete (`condemned`), or will (`delete`)."""

    registry: str
    epoch: int
    maps: frozenset[MapName]
    packs: frozenset[PackName]
    size_bytes: int
    time_ms: int
    who: str

    def __len__(self) -> int:
        return len(self.maps) + len(self.packs)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The objects of a `delete` record are deleted from now on, or (`delete` is False) never by this collection."""

    registry: str
    epoch: int
    delete: bool
    time_ms: int
    who: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """Every object of the `delete` record is gone."""

    registry: str
    epoch: int
    objects: int
    size_bytes: int
    time_ms: int
    who: str


def encode_condemned(record: Condemned, *, kind: str) -> bytes:
    """The sealed bytes; `kind` is condemned or delete. Raises InvalidInputError, LimitError."""
    if len(record) > MAX_LISTED:
        raise LimitError(f"a collection of more than {MAX_LISTED:,} objects")
    body = canonical.encode(
        {
            "v": 1,
            "kind": kind,
            "registry": record.registry,
            "epoch": record.epoch,
            "maps": _names_value(record.maps),
            "packs": _names_value(record.packs),
            "bytes": record.size_bytes,
            "time": record.time_ms,
            "who": record.who,
        }
    )
    return canonical.seal(body, CollectionId)


def decode_condemned(data: bytes, *, kind: str) -> Condemned:
    """The list in sealed `data`. Raises FormatError."""
    registry, epoch, maps, packs, size_bytes, time_ms, who = _body(data, kind, _LIST_FIELDS)
    return Condemned(
        registry=canonical.hex_digits(registry, what="registry"),
        epoch=_epoch(epoch),
        maps=frozenset(MapName.parse(name) for name in _names(maps, "maps")),
        packs=frozenset(PackName.parse(name) for name in _names(packs, "packs")),
        size_bytes=canonical.integer(size_bytes, what="bytes"),
        time_ms=canonical.integer(time_ms, what="time"),
        who=canonical.text(who, what="who", max_bytes=MAX_WHO_BYTES),
    )


def encode_verdict(record: Verdict) -> bytes:
    """The sealed bytes. Raises InvalidInputError."""
    body = canonical.encode(
        {
            "v": 1,
            "kind": "verdict",
            "registry": record.registry,
            "epoch": record.epoch,
            "verdict": "delete" if record.delete else "cancel",
            "time": record.time_ms,
            "who": record.who,
            "why": record.why,
        }
    )
    return canonical.read_back(canonical.seal(body, CollectionId), decode_verdict, kind="verdict")


def decode_verdict(data: bytes) -> Verdict:
    """The verdict in sealed `data`. Raises FormatError."""
    registry, epoch, verdict, time_ms, who, why = _body(data, "verdict", _VERDICT_FIELDS)
    if verdict not in ("delete", "cancel"):
        raise FormatError("a verdict that is neither delete nor cancel")
    return Verdict(
        registry=canonical.hex_digits(registry, what="registry"),
        epoch=_epoch(epoch),
        delete=verdict == "delete",
        time_ms=canonical.integer(time_ms, what="time"),
        who=canonical.text(who, what="who", max_bytes=MAX_WHO_BYTES),
        why=canonical.text(why, what="why", max_bytes=MAX_WHY_BYTES),
    )


def encode_done(record: Done) -> bytes:
    """The sealed bytes. Raises InvalidInputError."""
    body = canonical.encode(
        {
            "v": 1,
            "kind": "done",
            "registry": record.registry,
            "epoch": record.epoch,
            "objects": record.objects,
            "bytes": record.size_bytes,
            "time": record.time_ms,
            "who": record.who,
        }
    )
    return canonical.read_back(canonical.seal(body, CollectionId), decode_done, kind="done")


def decode_done(data: bytes) -> Done:
    """The record in sealed `data`. Raises FormatError."""
    registry, epoch, objects, size_bytes, time_ms, who = _body(data, "done", _DONE_FIELDS)
    return Done(
        registry=canonical.hex_digits(registry, what="registry"),
        epoch=_epoch(epoch),
        objects=canonical.integer(objects, what="objects"),
        size_bytes=canonical.integer(size_bytes, what="bytes"),
        time_ms=canonical.integer(time_ms, what="time"),
        who=canonical.text(who, what="who", max_bytes=MAX_WHO_BYTES),
    )


def _body(data: bytes, kind: str, names: Sequence[str]) -> list[canonical.Json]:
    _, body = canonical.unseal(data, CollectionId)
    return canonical.fields(canonical.decode(body, kind=kind), *names, what=kind)


def _epoch(value: canonical.Json) -> int:
    epoch = canonical.integer(value, what="epoch", maximum=MAX_EPOCH)
    if epoch < 1:
        raise FormatError("collections are counted from 1")
    return epoch


def _names_value(names: Iterable[MapName | PackName]) -> canonical.Json:
    return sorted(name.hex for name in names)


def _names(value: canonical.Json, what: str) -> Sequence[canonical.Json]:
    names = canonical.array(value, what=what, max_items=MAX_LISTED)
    if any(not isinstance(name, str) for name in names) or any(left >= right for left, right in pairwise(names)):  # type: ignore[operator]
        raise FormatError(f"{what} that are not sorted and unique")
    return names
