"""What a condition knows a version by: its commit, its place in the log, the refs at it, and what notes say of it later."""

from collections.abc import Iterable, Mapping

from cas_registry.model.canonical import Scalar
from cas_registry.model.commit import Commit
from cas_registry.model.entry import CommitStats
from cas_registry.model.ids import CommitId
from cas_registry.model.inputs import Input
from cas_registry.model.note import Note
from cas_registry.query.condition import Fact
from cas_registry.query.fields import GROUPS


def version_facts(
    identity: CommitId,
    commit: Commit,
    *,
    model: str,
    number: int,
    stats: CommitStats | None = None,
    tags: Iterable[str] = (),
    branches: Iterable[str] = (),
    notes: Iterable[Note] = (),
) -> dict[str, Fact]:
    """The facts of a version, as an index has them too. `notes` are those about it, in the order of the log."""
    said = list(notes)
    facts: dict[str, Fact] = {
        "model": model,
        "number": number,
        "commit": identity.hex,
        "author": commit.author,
        "message": commit.message,
        "time": commit.time_ms,
        "tag": tuple(sorted(tags)),
        "branch": tuple(sorted(branches)),
        "input": tuple(text for item in commit.inputs for text in input_texts(item)),
    }
    if stats is not None:
        facts |= {"size": stats.raw_bytes, "stored": stats.stored_bytes, "files": stats.files}
    for group in GROUPS:
        values: Mapping[str, Scalar] = getattr(commit, group)
        for note in said:
            values = amended(group, values, note)
        facts |= {f"{group}.{name}": value for name, value in values.items()}
    return facts


def amended(group: str, values: Mapping[str, Scalar], note: Note) -> Mapping[str, Scalar]:
    """The values of a group once a note is known: a label of None is taken away, a metric is what was measured last."""
    if group == "metrics":
        return {**values, **note.metrics} if note.metrics else values
    if group != "labels" or not note.labels:
        return values
    return {name: value for name, value in {**values, **note.labels}.items() if value is not None or name not in note.labels}


def input_texts(item: Input) -> tuple[str, ...]:
    """What an input is found by: its name, its URI and digest, or `MODEL@COMMIT`."""
    if item.commit is not None:
        return item.name, f"{item.model}@{item.commit.hex}"
    return tuple(text for text in (item.name, item.uri, item.digest) if text is not None)
