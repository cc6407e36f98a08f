"""`reg note` and `reg approve`."""

from collections.abc import Iterator
from dataclasses import dataclass

from cas_registry.cli import text
from cas_registry.cli.output import Document, Line, Paper, Styled, View
from cas_registry.cli.views.fields import name_of, scalars, time_fields
from cas_registry.registry import NoteRecord, NoteReport


@dataclass(frozen=True, slots=True)
class Notes:
    """What was said of a version of a model."""

    model: str
    revision: str
    notes: list[NoteRecord]


def note_fields(note: NoteRecord) -> dict[str, object]:
    """One note."""
    return {
        "entry": note.n,
        "commit": note.commit.hex,
        **time_fields("time", note.time_ms),
        "who": note.who,
        "text": note.text,
        "labels": dict(note.labels),
        "metrics": dict(note.metrics),
        "tag": note.tag,
        "approved": note.approved,
    }


def _document(report: NoteReport) -> Document:
    return {
        "model": report.model,
        "number": report.number,
        **note_fields(report.note),
        "by_author": report.by_author,
        "signed_by": report.signed_by.fingerprint if report.signed_by else None,
    }


def _human(report: NoteReport, _: Paper) -> Iterator[Line]:
    yield ["Noted: ", *name_of(report.model, report.number, report.note.commit)]
    yield from _lines(report.note)
    yield from _signature(report)


def _approval_human(report: NoteReport, _: Paper) -> Iterator[Line]:
    note = report.note
    said = Styled("Approved", "green") if note.approved else Styled("Refused", "red")
    yield [said, f" for {note.tag}: ", *name_of(report.model, report.number, note.commit)]
    if note.text:
        yield [f"  {note.text}"]
    yield from _signature(report)
    if note.approved and report.by_author:
        yield ["It counts for no rule: you made the version"]


def _signature(report: NoteReport) -> Iterator[Line]:
    if report.signed_by:
        yield [f"Signed by {report.signed_by.fingerprint}"]


def _notes_document(listed: Notes) -> Document:
    return {"model": listed.model, "revision": listed.revision, "notes": [note_fields(note) for note in listed.notes]}


def _notes_human(listed: Notes, paper: Paper) -> Iterator[Line]:
    if not listed.notes:
        yield [f"Nothing was said of {listed.revision} of {listed.model} (reg note REV -m TEXT)"]
    for note in listed.notes:
        yield from note_lines(note, paper)


def note_lines(note: NoteRecord, paper: Paper) -> Iterator[Line]:
    """A note, under who said it and when."""
    yield [Styled(note.who, "bold"), Styled(f"  {text.age(note.time_ms, paper.now_ms)}, entry {note.n}", "dim")]
    yield from _lines(note)


def _lines(note: NoteRecord) -> Iterator[Line]:
    if note.tag is not None:
        yield ["  ", Styled("approved", "green") if note.approved else Styled("refused", "red"), f" for {note.tag}"]
    for line in note.text.splitlines():
        yield [f"  {line}"]
    if note.metrics:
        yield [f"  {scalars(note.metrics)}"]
    if labels := [f"{name}={text.value(value)}" for name, value in note.labels.items() if value is not None]:
        yield [f"  {', '.join(labels)}"]
    if gone := [name for name, value in note.labels.items() if value is None]:
        yield [f"  without {', '.join(gone)}"]


NOTE = View(_document, _human, lambda report: [str(report.note.n)])
APPROVAL = View(_document, _approval_human, lambda report: [str(report.note.n)])
NOTES = View(_notes_document, _notes_human, lambda listed: (note.text for note in listed.notes if note.text))
