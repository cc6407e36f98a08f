"""Collection: what no version needs is deleted, by anybody, at any time, beside any number of writers, without a lock or a clock.

    1  mark from all logs; write down what was not reached             gc/<epoch>/condemned
    2  fence: an entry in the catalogue, then in every log, after which every writer knows of that list
    3  mark again, from the entries up to those; what is still not reached    gc/<epoch>/delete
    4  wait, for people and for readers under way; then rule            gc/<epoch>/verdict
    5  delete, and note the end                                         gc/<epoch>/done

Whoever runs it next goes on where the last one was stopped. Any error on the way deletes nothing. The proof, and what a writer has to
do for it, stand in docs/design/011-collection.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from cas_registry.backends import ObjectInfo
from cas_registry.errors import AccessError, ConflictError, IntegrityError, NotFoundError, RegistryError
from cas_registry.model.collection import MAX_LISTED, Condemned, Done, Verdict
from cas_registry.model.entry import MAX_EPOCH
from cas_registry.model.ids import MapName, PackName
from cas_registry.operations.marking import Marks
from cas_registry.operations.progress import Progress
from cas_registry.operations.transfer import map_ordered, worker_pool
from cas_registry.store.epochs import DELETE, READ_AT_ONCE, Epoch
from cas_registry.store.layout import COLLECTIONS, HINT, MAPS, PACKS, collection_key, object_key
from cas_registry.store.log import Recorded
from cas_registry.store.stores import Stores

HOUR_MS = 3_600_000
DEFAULT_GRACE_MS = 24 * HOUR_MS  # younger objects may belong to a commit under way: taking them would cost it an upload
DEFAULT_WINDOW_MS = 7 * 24 * HOUR_MS
LEFT_BEHIND_MS = 24 * HOUR_MS  # no object takes so long to be written
MAX_SHARE = 0.5  # of the bytes of packs and maps; a plan to delete more must be confirmed
_DELETES_IN_FLIGHT = 8


class EpochState(StrEnum):
    """CONDEMNED: begun, what is deleted is not decided; WAITING: for the trash window's end; DELETING; DONE; CANCELLED."""

    CONDEMNED = "condemned"
    WAITING = "waiting"
    DELETING = "deleting"
    DONE = "done"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """A collection: how far it is, how much it deletes, and (while it waits) since when and until when, by the store's clock."""

    epoch: int
    state: EpochState
    objects: int
    size_bytes: int
    who: str
    since_ms: int | None = None
    due_ms: int | None = None


@dataclass(frozen=True, slots=True)
class CollectRequest:
    """What to do, who does it and when. Nothing is written without `delete`.

    Unreached objects younger than `grace_ms` are left alone; what was decided is deleted after `window_ms`. More than half of all bytes
    go only if `confirmed` is the number of objects that go. The two spans are courtesy: no safety rests on any clock.
    """

    who: str
    time_ms: int
    delete: bool = False
    grace_ms: int = DEFAULT_GRACE_MS
    window_ms: int = DEFAULT_WINDOW_MS
    confirmed: int | None = None


@dataclass(frozen=True, slots=True)
class CollectReport:
    """What a collection found and did.

    `live_*` is what versions need, `garbage_*` what nothing reaches and no collection has taken up, `young_*` what was left alone for
    being new. `collections` are those under way and those that ended in this run; `deleted_*` is what went now.
    `refused_objects` are those that the store did not let go: the next run tries again. `leftover_*` is what writes that broke off a day ago
    or longer left beside the objects (in folders alone); it is gone unless `dry_run`.
    """

    versions: int
    live_objects: int
    live_bytes: int
    garbage_objects: int
    garbage_bytes: int
    young_objects: int
    young_bytes: int
    deleted_objects: int
    deleted_bytes: int
    refused_objects: int
    leftover_files: int
    leftover_bytes: int
    collections: tuple[CollectionInfo, ...]
    dry_run: bool


@dataclass(slots=True)
class _Tally:
    objects: int = 0
    size_bytes: int = 0
    refused: int = 0
    touched: set[int] = field(default_factory=set)  # epochs whose state this run has changed


def collect(stores: Stores, request: CollectRequest, *, progress: Progress) -> CollectReport:
    """Go on with the collections under way, and begin one of what nothing reaches.

    Raises IntegrityError at anything that cannot be read, ConflictError where the plan is refused, and what the store raises: nothing was
    deleted then but what an earlier run had decided on.
    """
    return _Collection(stores, request, progress).run()


def undo(stores: Stores, epoch: int, *, who: str, time_ms: int, why: str) -> CollectionInfo:
    """Call a collection off: it deletes nothing, ever. NotFoundError if there is none, ConflictError if it deletes already."""
    (record,) = stores.epochs.condemned([epoch]) if 1 <= epoch <= MAX_EPOCH else (None,)
    if record is None:
        raise NotFoundError(f"there is no collection {epoch}; reg gc lists those under way", epoch=epoch)
    stores.epochs.rule(Verdict(stores.format.registry, epoch, delete=False, time_ms=time_ms, who=who, why=why))
    (state,) = stores.epochs.read([epoch])
    if not state.is_cancelled:
        raise ConflictError(f"it is too late: collection {epoch} has begun to delete", epoch=epoch)
    return CollectionInfo(epoch, EpochState.CANCELLED, len(record), record.size_bytes, record.who)


class _Collection:
    """One run."""

    def __init__(self, stores: Stores, request: CollectRequest, progress: Progress) -> None:
        self._stores = stores
        self._request = request
        self._progress = progress
        self._epochs = stores.epochs
        self._marks = Marks(stores)
        self._tally = _Tally()
        self._settled = 0
        self._free = 1  # the lowest number that no collection has
        self._listed: Mapping[str, ObjectInfo] = {}

    def run(self) -> CollectReport:
        open_epochs = self._open_epochs()
        now_ms = self._store_now(open_epochs[-1].number if open_epochs else self._settled)
        self._mark(self._heads(self._stores.catalogue.models()))
        self._listed = self._list()
        if self._request.delete and open_epochs:
            self._advance(open_epochs, now_ms)
            open_epochs = self._open_epochs()
            self._listed = self._list()
        taken = {key for record in self._threatened(open_epochs) for key in _keys(record)}
        garbage, young = self._unreached(taken, now_ms)
        if self._request.delete and garbage:
            self._begin(garbage, now_ms)
            garbage, open_epochs = {}, self._open_epochs()
        left = self._stores.backend.sweep(before_ms=now_ms - LEFT_BEHIND_MS, delete=self._request.delete)
        live = {key: info.size_bytes for key, info in self._listed.items() if self._is_marked(key)}
        return CollectReport(
            self._marks.versions, len(live), sum(live.values()), len(garbage), sum(garbage.values()), len(young),
            sum(young.values()), self._tally.objects, self._tally.size_bytes, self._tally.refused,
            len(left), sum(info.size_bytes for info in left), tuple(self._describe(sorted({*self._tally.touched, *(epoch.number for epoch in open_epochs)}))),
            dry_run=not self._request.delete,
        )  # fmt: skip

    # what there is

    def _open_epochs(self) -> list[Epoch]:
        """The collections under way, by number; also one that was stopped before any log knew of it. Notes up to where all are over, and
        which number is free."""
        entry = self._stores.catalogue.head().entry
        known = range(entry.gc_settled + 1, entry.gc_seen + 1)
        found: list[Epoch] = []
        for start in range(0, len(known), READ_AT_ONCE):
            part = self._epochs.read(known[start : start + READ_AT_ONCE])
            for epoch in part:
                if not epoch.is_over and not self._epochs.has_begun(epoch.number):
                    raise self._epochs.missing(epoch.number)
            found += part
        following = entry.gc_seen + 1
        while self._epochs.has_begun(following):
            found += self._epochs.read([following])
            following += 1
        self._settled, self._free = entry.gc_settled, following
        for epoch in found:
            if not epoch.is_over:
                break
            self._settled = epoch.number
        return [epoch for epoch in found if not epoch.is_over]

    def _list(self) -> dict[str, ObjectInfo]:
        """All maps and packs that there are."""
        return {info.key: info for prefix in (MAPS, PACKS) for info in self._stores.backend.list(prefix)}

    def _size_bytes(self, key: str) -> int:
        """What an object took when maps and packs were listed last; 0 if it was not there."""
        found = self._listed.get(key)
        return found.size_bytes if found else 0

    def _threatened(self, epochs: Sequence[Epoch]) -> list[Condemned]:
        return self._epochs.threatened([epoch.number for epoch in epochs])

    def _store_now(self, epoch: int) -> int:
        """What time it is by the clock that dates objects; in a dry run, which writes nothing, by this machine's."""
        if not self._request.delete:
            return self._request.time_ms
        key = f"{COLLECTIONS}{HINT}"
        self._stores.backend.put(key, str(epoch).encode("ascii"))
        return self._stores.backend.stat(key).modified_ms or self._request.time_ms

    def _heads(self, models: Iterable[str]) -> dict[str, Recorded]:
        heads = {model: self._stores.log(model).head() for model in models}
        return {model: head for model, head in heads.items() if head is not None}

    def _mark(self, heads: Mapping[str, Recorded]) -> None:
        """Mark from these heads; where something is gone that was retired and collected meanwhile, from those that there are by then."""
        while True:
            try:
                self._marks.mark(heads, self._progress)
            except IntegrityError as error:
                now = self._heads(heads)
                if not error.fields.get("missing") or now == heads:
                    raise
                heads = now
            else:
                return

    def _unreached(self, taken: set[str], now_ms: int) -> tuple[dict[str, int], dict[str, int]]:
        """What no version needs and no collection has, by size: old enough, and too young."""
        garbage: dict[str, int] = {}
        young: dict[str, int] = {}
        for key, info in self._listed.items():
            if key in taken or self._is_marked(key) or not _is_name(key):
                continue
            grace_ms = self._request.grace_ms  # none at all: what was written since the clock was read goes as well
            is_young = grace_ms > 0 and info.modified_ms is not None and info.modified_ms > now_ms - grace_ms
            (young if is_young else garbage)[key] = info.size_bytes
        return garbage, young

    def _is_marked(self, key: str) -> bool:
        prefix, _, name = key.partition("/")
        if not _is_name(key):
            return True  # nobody's: it was not written by us, and is left to whoever did
        digest = bytes.fromhex(name)
        return MapName(digest) in self._marks.maps if f"{prefix}/" == MAPS else PackName(digest) in self._marks.packs

    # going on

    def _begin(self, garbage: Mapping[str, int], now_ms: int) -> None:
        """A collection of its own for each `MAX_LISTED` objects, as far as they go at once."""
        self._check_share(garbage)
        keys = sorted(garbage)
        for start in range(0, len(keys), MAX_LISTED):
            part = keys[start : start + MAX_LISTED]
            record = self._record(0, part, sum(garbage[key] for key in part))
            while not self._epochs.condemn(replace(record, epoch=self._free)):
                self._free += 1  # somebody else has begun one: both go on, for each is right by itself
            self._free += 1
        self._advance(self._open_epochs(), now_ms)

    def _check_share(self, garbage: Mapping[str, int]) -> None:
        total = sum(info.size_bytes for info in self._listed.values())
        doomed = sum(garbage.values())
        if self._marks.versions and doomed <= total * MAX_SHARE:
            return
        if self._request.confirmed == len(garbage):
            return
        why = "there is no version at all" if not self._marks.versions else "that is more than half of it"
        raise ConflictError(
            f"nothing is deleted: {len(garbage):,} objects of {doomed:,} bytes (of {total:,}) would go, and {why}. "
            f"If that is meant: --yes-delete {len(garbage)}",
            objects=len(garbage),
        )

    def _advance(self, epochs: Sequence[Epoch], now_ms: int) -> None:
        """Decide what is undecided, and delete what is due."""
        numbers = [epoch.number for epoch in epochs]
        decided = dict(zip(numbers, self._epochs.deletions(numbers), strict=True))
        undecided = [number for number, record in decided.items() if record is None]
        if undecided:
            self._fence_and_mark(max(undecided))
            for number, record in zip(undecided, self._epochs.condemned(undecided), strict=True):
                decided[number] = self._decide(number, record)
        for epoch in epochs:
            record = decided[epoch.number]
            assert record is not None  # noqa: S101 - decided above
            if self._rule(epoch, record, now_ms):
                self._delete(record)

    def _fence_and_mark(self, epoch: int) -> None:
        """Let every log know of the collections up to `epoch`, then mark again from what was written before."""
        who, time_ms = self._request.who, self._request.time_ms
        catalogue = self._stores.catalogue.log.fence(epoch, self._settled, time_ms=time_ms, who=who)
        heads = {
            model: self._stores.log(model).fence(epoch, self._settled, time_ms=time_ms, who=who)
            for model in sorted(catalogue.entry.models or {})
        }
        self._mark(heads)

    def _decide(self, number: int, condemned: Condemned | None) -> Condemned:
        if condemned is None:
            raise self._epochs.missing(number)
        maps, packs = condemned.maps - self._marks.maps, condemned.packs - self._marks.packs
        keys = sorted([*map(object_key, maps), *map(object_key, packs)])
        record = self._record(number, keys, sum(map(self._size_bytes, keys)))
        self._tally.touched.add(number)
        if self._epochs.decide(record):
            return record
        (theirs,) = self._epochs.deletions([number])
        assert theirs is not None  # noqa: S101 - it stood in the way just now
        return theirs

    def _rule(self, epoch: Epoch, record: Condemned, now_ms: int) -> bool:
        """Whether to delete: it was ruled so, or its time has come."""
        if epoch.verdict:
            if epoch.verdict.delete:
                self._refuse_live(record, "It was ruled so already, by nobody who kept the rules: report this")
            return epoch.verdict.delete
        decided_ms = self._stores.backend.stat(collection_key(epoch.number, DELETE)).modified_ms
        if self._request.window_ms and decided_ms is not None and now_ms < decided_ms + self._request.window_ms:
            return False
        self._refuse_live(record, f"Call it off (reg gc --undo {epoch.number}) and report this")
        request = self._request
        self._epochs.rule(Verdict(record.registry, epoch.number, delete=True, time_ms=request.time_ms, who=request.who))
        (state,) = self._epochs.read([epoch.number])
        self._tally.touched.add(epoch.number)
        return not state.is_cancelled

    def _refuse_live(self, record: Condemned, advice: str) -> None:
        """IntegrityError where versions need what is to be deleted: no collector decides so, but anybody may have written the record."""
        reached = (record.maps & self._marks.maps) | (record.packs & self._marks.packs)
        if reached:
            raise IntegrityError(
                f"collection {record.epoch} would delete {len(reached)} objects that versions need, such as "
                f"{object_key(min(reached, key=str))}; nothing was deleted. {advice}",
                epoch=record.epoch,
            )

    def _delete(self, record: Condemned) -> None:
        keys = _keys(record)
        refused = 0
        self._tally.touched.add(record.epoch)
        with worker_pool() as pool:
            outcomes = map_ordered(pool, self._delete_one, keys, in_flight=_DELETES_IN_FLIGHT)
            for number, (key, went) in enumerate(zip(keys, outcomes, strict=True), start=1):
                refused += not went
                self._tally.objects += went
                self._tally.size_bytes += self._size_bytes(key) if went else 0
                self._progress.update("delete", number, len(keys))
        self._tally.refused += refused
        if not refused:
            request = self._request
            self._epochs.finish(
                Done(record.registry, record.epoch, len(record), record.size_bytes, request.time_ms, request.who)
            )

    def _delete_one(self, key: str) -> bool:
        """Whether the object is gone. A store that keeps it (a retention lock) is no reason to keep the others."""
        try:
            self._stores.backend.delete(key)
        except AccessError:
            return False
        return True

    def _record(self, epoch: int, keys: Iterable[str], size_bytes: int) -> Condemned:
        names = [key.split("/") for key in keys]
        return Condemned(
            registry=self._stores.format.registry,
            epoch=epoch,
            maps=frozenset(MapName.parse(name) for prefix, name in names if f"{prefix}/" == MAPS),
            packs=frozenset(PackName.parse(name) for prefix, name in names if f"{prefix}/" == PACKS),
            size_bytes=size_bytes,
            time_ms=self._request.time_ms,
            who=self._request.who,
        )

    def _describe(self, numbers: Sequence[int]) -> list[CollectionInfo]:
        condemned, deletions = self._epochs.condemned(numbers), self._epochs.deletions(numbers)
        found: list[CollectionInfo] = []
        for epoch, first, second in zip(self._epochs.read(numbers), condemned, deletions, strict=True):
            record = second or first
            if record is None:
                continue
            state = _state(epoch, decided=second is not None)
            since_ms = self._stores.backend.stat(collection_key(epoch.number, DELETE)).modified_ms if second else None
            due_ms = since_ms + self._request.window_ms if since_ms and state is EpochState.WAITING else None
            found.append(CollectionInfo(epoch.number, state, len(record), record.size_bytes, record.who, since_ms, due_ms))
        return found


def _state(epoch: Epoch, *, decided: bool) -> EpochState:
    if epoch.done:
        return EpochState.DONE
    if epoch.verdict:
        return EpochState.DELETING if epoch.verdict.delete else EpochState.CANCELLED
    return EpochState.WAITING if decided else EpochState.CONDEMNED


def _keys(record: Condemned) -> list[str]:
    return [*map(object_key, sorted(record.maps)), *map(object_key, sorted(record.packs))]


def _is_name(key: str) -> bool:
    try:
        PackName.parse(key.partition("/")[2])
    except RegistryError:
        return False
    return True
