"""`reg branch` and `reg tag`: lists, moves and histories."""

from collections.abc import Iterator
from dataclasses import dataclass

from cas_registry.cli import text
from cas_registry.cli.output import Cell, Document, Line, Paper, Styled, Table, View
from cas_registry.cli.views.fields import time_fields
from cas_registry.model.entry import RefKind
from cas_registry.operations.refs import MoveReport
from cas_registry.registry import Move, RefInfo


@dataclass(frozen=True, slots=True)
class Refs:
    """The live branches or tags of a model."""

    model: str
    kind: RefKind
    refs: list[RefInfo]


@dataclass(frozen=True, slots=True)
class RefHistory:
    """Every move of one ref, newest first."""

    model: str
    kind: RefKind
    name: str
    moves: list[Move]


def _list_document(listed: Refs) -> Document:
    rows = [{"name": ref.name, "commit": ref.commit.hex, "number": ref.number, "entry": ref.moved} for ref in listed.refs]
    return {"model": listed.model, "kind": listed.kind.value, "refs": rows}


def _list_human(listed: Refs, _: Paper) -> Iterator[Line | Table]:
    if not listed.refs:
        yield [f"model {listed.model} has no {listed.kind.value}"]
        return
    style = "green" if listed.kind is RefKind.BRANCH else "yellow"
    rows: list[list[Cell]] = [[Styled(ref.name, style), f"v{ref.number}", ref.commit.short] for ref in listed.refs]
    yield Table([listed.kind.value, "version", "commit"], rows, frozenset({"version"}))


def _move_document(report: MoveReport) -> Document:
    return {
        "model": report.model,
        "kind": report.kind.value,
        "name": report.name,
        "commit": report.commit.hex if report.commit else None,
        "previous": report.previous.hex if report.previous else None,
        "moved": report.moved,
        "signed_by": report.signed_by.fingerprint if report.signed_by else None,
    }


def _move_human(report: MoveReport, _: Paper) -> Iterator[Line]:
    name = f"{report.kind.value} {report.name} of {report.model}"
    before = report.previous.short if report.previous else None
    if report.commit is None:
        yield [f"Deleted {name}; it stood at {before}. Its history stays"]
    elif not report.moved:
        yield [f"{name} stands at ", Styled(report.commit.short, "yellow"), " already"]
    else:
        verb = "Moved" if before else "Created"
        yield [f"{verb} {name} ", f"from {before} to " if before else "at ", Styled(report.commit.short, "yellow")]
    if report.signed_by:
        yield [f"Signed by {report.signed_by.fingerprint}"]


def _history_document(history: RefHistory) -> Document:
    moves = [
        {
            "entry": move.n,
            "commit": move.commit.hex if move.commit else None,
            "number": move.number,
            "previous": move.previous.hex if move.previous else None,
            "previous_number": move.previous_number,
            **time_fields("time", move.time_ms),
            "who": move.who,
            "why": move.why,
        }
        for move in history.moves
    ]
    return {"model": history.model, "kind": history.kind.value, "name": history.name, "moves": moves}


def _history_human(history: RefHistory, paper: Paper) -> Iterator[Line | Table]:
    rows: list[list[Cell]] = [
        [
            f"{history.name}@{{{position}}}",
            f"v{move.number}" if move.commit else "-",
            Styled(move.commit.short, "yellow") if move.commit else Styled("deleted", "red"),
            f"v{move.previous_number}" if move.previous else "-",
            text.age(move.time_ms, paper.now_ms),
            move.who,
            move.why,
        ]
        for position, move in enumerate(history.moves)
    ]
    yield Table([history.kind.value, "version", "commit", "from", "moved", "who", "why"], rows)


REFS = View(_list_document, _list_human, lambda listed: (ref.name for ref in listed.refs))
MOVE = View(_move_document, _move_human, lambda report: [report.commit.hex] if report.commit else [])
HISTORY = View(
    _history_document, _history_human, lambda history: (move.commit.hex if move.commit else "deleted" for move in history.moves)
)
