"""Notes: what is said of a version after it was made. A log entry each; the commit's id never changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cas_registry.errors import FormatError
from cas_registry.model import canonical
from cas_registry.model.canonical import Scalar
from cas_registry.model.ids import CommitId
from cas_registry.model.names import check_ref, read_name

_FIELDS = ("commit", "labels", "metrics", "tag", "approved")


@dataclass(frozen=True, slots=True)
class Note:
    """About a version: `labels` that are set (None: taken away), `metrics` measured later, and whether it is `approved` (or refused) to
    stand at `tag`. Later notes count where they differ from earlier ones. Prose is the entry's `why`, its writer the entry's `who`."""

    commit: CommitId
    labels: Mapping[str, Scalar] = field(default_factory=dict)
    metrics: Mapping[str, Scalar] = field(default_factory=dict)
    tag: str | None = None
    approved: bool | None = None


def note_value(note: Note) -> canonical.Json:
    """The note as a log entry holds it. Raises InvalidInputError."""
    return {
        "commit": note.commit.hex,
        "labels": canonical.encode_scalars(note.labels, what="label"),
        "metrics": canonical.encode_scalars(note.metrics, what="metric"),
        "tag": note.tag,
        "approved": note.approved,
    }


def decode_note(value: canonical.Json) -> Note:
    """The note in a log entry. Raises FormatError."""
    row = canonical.mapping(value, what="note")
    if row.keys() != set(_FIELDS):
        raise FormatError("a note with missing or unknown fields")
    commit, labels, metrics, tag, approved = (row[name] for name in _FIELDS)
    if (tag is None) != (approved is None) or not (approved is None or isinstance(approved, bool)):
        raise FormatError("a note that approves or refuses names a tag, and the other way round")
    return Note(
        commit=CommitId.parse(commit),
        labels=canonical.decode_scalars(labels, what="label"),
        metrics=canonical.decode_scalars(metrics, what="metric"),
        tag=None if tag is None else read_name(tag, check_ref, of="a note on a tag"),
        approved=approved,
    )
