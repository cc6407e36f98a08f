"""Notes: one log entry each, about one version. Labels, metrics measured later, approvals, prose; the commit's id never changes.

Whoever asks for the notes reads them in the log. Entries count the notes so far, so that those are found by halving, and a log without notes
is not read at all. An index on this machine answers searches; what is decided by notes is decided by the entries themselves.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

from cas_registry.errors import IntegrityError, InvalidInputError
from cas_registry.model.canonical import Scalar
from cas_registry.model.entry import Entry, Operation, RefTable
from cas_registry.model.ids import CommitId, EntryId
from cas_registry.model.note import Note
from cas_registry.model.signature import KeyId
from cas_registry.store.layout import entry_key
from cas_registry.store.log import Log, Recorded
from cas_registry.store.refs import PROBES, READ_BATCH, Version
from cas_registry.store.stores import Stores


@dataclass(frozen=True, slots=True)
class NoteRequest:
    """What to say of a version of a model, who says it and when. `endorse` is called with the entry and its table before it is appended."""

    model: str
    who: str
    time_ms: int
    text: str = ""
    labels: Mapping[str, Scalar] = field(default_factory=dict)
    metrics: Mapping[str, Scalar] = field(default_factory=dict)
    tag: str | None = None
    approved: bool | None = None
    endorse: Callable[[Entry, RefTable], None] | None = None


@dataclass(frozen=True, slots=True)
class NoteRecord:
    """A note as entry `n` of a model's log holds it: who said so and when, and in `text` what they said beside it."""

    n: int
    id: EntryId
    note: Note
    time_ms: int
    who: str
    text: str

    @property
    def commit(self) -> CommitId:
        return self.note.commit

    @property
    def labels(self) -> Mapping[str, Scalar]:
        """Labels that are set (None: taken away)."""
        return self.note.labels

    @property
    def metrics(self) -> Mapping[str, Scalar]:
        return self.note.metrics

    @property
    def tag(self) -> str | None:
        """The tag that the version is `approved` for, or refused."""
        return self.note.tag

    @property
    def approved(self) -> bool | None:
        return self.note.approved


@dataclass(frozen=True, slots=True)
class NoteReport:
    """A note that was written. `by_author` says that the version's own author wrote it: as an approval it does not count."""

    model: str
    number: int
    note: NoteRecord
    by_author: bool
    signed_by: KeyId | None = None


def write_note(stores: Stores, request: NoteRequest, version: Version) -> NoteReport:
    """Append a note about a version to the model's log. InvalidInputError for one that says nothing."""
    if not (request.text or request.labels or request.metrics or request.tag):
        raise InvalidInputError("a note says something: a text, a label, a metric, or an approval")
    note = Note(version.commit, dict(request.labels), dict(request.metrics), request.tag, request.approved)
    author = stores.objects.read_commit(version.commit).author
    refs = stores.refs(request.model)
    while True:
        head, table = refs.existing_head()
        entry = refs.next_entry(
            head, table, registry=stores.format.registry, time_ms=request.time_ms, who=request.who, why=request.text
        )
        entry = replace(entry, op=Operation.NOTE, note=note, notes=head.entry.notes + 1)
        if request.endorse is not None:
            request.endorse(entry, table)
        stores.objects.flush()
        if recorded := refs.log.append(entry):
            refs.log.write_hint(entry.n)
            return NoteReport(
                request.model, version.number, note_record(recorded), by_author=is_same_person(request.who, author)
            )


def read_notes(stores: Stores, model: str, commit: CommitId | None = None) -> list[NoteRecord]:
    """The notes in a model's log, oldest first: all of them, or those about one version."""
    log = stores.log(model)
    head = log.head()
    notes = map(note_record, find_notes(log, head) if head else ())
    return [note for note in notes if commit is None or note.commit == commit]


def find_notes(log: Log, head: Recorded, *, after: int = 0) -> list[Recorded]:
    """The entries up to `head` and after entry `after` that are notes, oldest first: no request where there are none.

    IntegrityError where there are not as many as the entries count.
    """
    if not head.entry.notes or after >= head.n:
        return []
    counts = {after: log.read(after).entry.notes if after else 0, head.n: head.entry.notes}
    found = {head.n: head} if head.entry.note else {}
    while wanted := list(_between(counts)):
        for start in range(0, len(wanted), READ_BATCH):
            for recorded in log.read_many(wanted[start : start + READ_BATCH]):
                counts[recorded.n] = recorded.entry.notes
                if recorded.entry.note:
                    found[recorded.n] = recorded
    if len(found) != counts[head.n] - counts[after]:
        key = entry_key(log.name, head.n)
        raise IntegrityError(f"{key} counts {head.entry.notes} notes, the entries up to it are others; run reg fsck", key=key)
    return [found[n] for n in sorted(found)]


def note_record(recorded: Recorded) -> NoteRecord:
    """The note that an entry is."""
    entry, note = recorded.entry, recorded.entry.note
    assert note is not None  # noqa: S101 - only notes are asked about
    return NoteRecord(recorded.n, recorded.id, note, entry.time_ms, entry.who, entry.why)


def is_same_person(one: str, other: str) -> bool:
    """Whether two names are one person's, as far as names tell."""
    return one.casefold() == other.casefold()


def _between(counts: Mapping[int, int]) -> Iterator[int]:
    """Entries to read next: some of those between two that count differently, so that one of them at least is a note."""
    for low, high in pairwise(sorted(counts)):
        if counts[low] != counts[high]:
            step = math.ceil((high - low) / PROBES)
            yield from range(low + step, high, step)
