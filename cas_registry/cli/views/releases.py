"""`reg release` and `reg releases`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cas_registry.cli import text
from cas_registry.cli.output import Cell, Document, Line, Paper, Styled, Table, View
from cas_registry.cli.views.fields import time_fields
from cas_registry.model.entry import ReleaseRow
from cas_registry.registry import ReleaseInfo, ReleaseReport


@dataclass(frozen=True, slots=True)
class History:
    """What a release has named, newest first."""

    name: str
    entries: Sequence[ReleaseInfo]


def _row_fields(row: ReleaseRow) -> dict[str, object]:
    return {"commit": row.commit.hex, "number": row.number, "entry": row.at, "tree": row.tree.hex}


def _versions(rows: Mapping[str, ReleaseRow]) -> list[dict[str, object]]:
    return [{"model": model, **_row_fields(row)} for model, row in sorted(rows.items())]


def _info_fields(info: ReleaseInfo) -> dict[str, object]:
    return {
        "entry": info.entry,
        **time_fields("time", info.time_ms),
        "who": info.who,
        "why": info.why,
        "versions": _versions(info.versions),
    }


def _names(rows: Mapping[str, ReleaseRow]) -> str:
    return ", ".join(f"{model} v{row.number}" for model, row in sorted(rows.items())) or "nothing"


def _release_document(info: ReleaseInfo) -> Document:
    return {"name": info.name, **_info_fields(info), "retired": list(info.retired or ())}


def _release_human(info: ReleaseInfo, paper: Paper) -> Iterator[Line | Table]:
    yield ["release ", Styled(info.name, "bold"), f", entry {info.entry}, {text.age(info.time_ms, paper.now_ms)} by {info.who}"]
    if info.why:
        yield [f"  {info.why}"]
    rows: list[list[Cell]] = [
        [
            Styled(model, "bold"),
            f"v{row.number}",
            Styled(row.commit.short, "yellow"),
            Styled("retired", "red") if model in (info.retired or ()) else f"release:{info.name}/{model}",
        ]
        for model, row in sorted(info.versions.items())
    ]
    yield Table(["model", "version", "commit", ""], rows, frozenset({"version"}))


def _releases_document(found: Sequence[ReleaseInfo]) -> Document:
    return {"releases": [{"name": info.name, **_info_fields(info)} for info in found]}


def _releases_human(found: Sequence[ReleaseInfo], paper: Paper) -> Iterator[Line | Table]:
    if not found:
        yield ["no releases yet: reg release NAME MODEL@REV..."]
        return
    rows: list[list[Cell]] = [
        [Styled(info.name, "bold"), str(info.entry), text.age(info.time_ms, paper.now_ms), info.who, _names(info.versions)]
        for info in found
    ]
    yield Table(["release", "entry", "moved", "who", "names"], rows, frozenset({"entry"}))


def _history_document(history: History) -> Document:
    return {"name": history.name, "entries": [_info_fields(info) for info in history.entries]}


def _history_human(history: History, paper: Paper) -> Iterator[Line | Table]:
    rows: list[list[Cell]] = [
        [f"@{{{back}}}", str(info.entry), text.age(info.time_ms, paper.now_ms), info.who, _names(info.versions), info.why]
        for back, info in enumerate(history.entries)
    ]
    yield Table(["", "entry", "moved", "who", "names", "why"], rows, frozenset({"entry"}))


def _moved_document(report: ReleaseReport) -> Document:
    return {
        "name": report.name,
        "entry": report.entry,
        "moved": report.moved,
        "versions": _versions(report.versions),
        "changes": [
            {
                "model": change.model,
                "before": _row_fields(change.before) if change.before else None,
                "after": _row_fields(change.after) if change.after else None,
            }
            for change in report.changes
        ],
        "signed_by": report.signed_by.fingerprint if report.signed_by else None,
    }


def _moved_human(report: ReleaseReport, _: Paper) -> Iterator[Line]:
    if not report.moved:
        yield ["release ", Styled(report.name, "bold"), f" names that already: {_names(report.versions)}"]
        return
    yield ["release ", Styled(report.name, "bold"), f" is at entry {report.entry}: {_names(report.versions)}"]
    for change in report.changes:
        before = f"v{change.before.number}" if change.before else "nothing"
        after = f"v{change.after.number}" if change.after else "nothing"
        yield [f"  {change.model}: {before} -> {after}"]
    if report.signed_by:
        yield [f"Signed by {report.signed_by.fingerprint}"]


RELEASE = View(_release_document, _release_human, lambda info: (row.commit.hex for _, row in sorted(info.versions.items())))
RELEASES = View(_releases_document, _releases_human, lambda found: (info.name for info in found))
HISTORY = View(_history_document, _history_human, lambda history: (str(info.entry) for info in history.entries))
MOVED = View(_moved_document, _moved_human, lambda report: (row.commit.hex for _, row in sorted(report.versions.items())))
