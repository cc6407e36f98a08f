"""`reg log`: records one after another, or with a graph of lines beside them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cas_registry.cli import text
from cas_registry.cli.graph import Graph
from cas_registry.cli.output import Cell, Document, Line, Paper, Styled, View
from cas_registry.cli.views.fields import first_line, input_fields, names_of, scalars, time_fields
from cas_registry.model.ids import CommitId
from cas_registry.operations.history import LogRecord


@dataclass(frozen=True, slots=True)
class History:
    """Records to be read as they are printed."""

    model: str
    records: Iterable[LogRecord]
    oneline: bool = False
    graph: bool = False


def record_fields(record: LogRecord) -> dict[str, object]:
    """One commit of a history."""
    commit, stats = record.commit, record.stats
    return {
        "commit": record.id.hex,
        "number": record.number,
        "log": commit.log,
        "entry": record.at,
        "parents": [parent.hex for parent in commit.parents],
        "tree": commit.tree.hex,
        "author": commit.author,
        **time_fields("time", commit.time_ms),
        "message": commit.message,
        "params": dict(commit.params),
        "metrics": dict(commit.metrics),
        "labels": dict(commit.labels),
        "framework": dict(commit.framework),
        "packages": dict(commit.packages),
        "environment": dict(commit.environment),
        "code": dict(commit.code),
        "inputs": [input_fields(item) for item in commit.inputs],
        "branches": list(record.branches),
        "tags": list(record.tags),
        "retired": record.retired,
        "files": stats.files if stats else None,
        "raw_bytes": stats.raw_bytes if stats else None,
        "new_bytes": stats.new_bytes if stats else None,
        "stored_bytes": stats.stored_bytes if stats else None,
    }


def _document(history: History) -> Document:
    return {"model": history.model, "commits": [record_fields(record) for record in history.records]}


def _human(history: History, paper: Paper) -> Iterator[Line]:
    graph: Graph[CommitId] = Graph(unicode=paper.unicode)
    for position, record in enumerate(history.records):
        if position and not history.oneline:
            yield [Styled(graph.beside(), "dim")] if history.graph else [""]
        if not history.graph:
            yield from _lines(record, paper, oneline=history.oneline)
            continue
        node, after = graph.add(record.id, record.commit.parents)
        first, *rest = _lines(record, paper, oneline=history.oneline)
        yield [Styled(f"{node} ", "dim"), *first]
        for line in rest:
            yield [Styled(f"{graph.beside(width=len(node))} ", "dim"), *line]
        for drawn in after:
            yield [Styled(drawn, "dim")]


def _lines(record: LogRecord, paper: Paper, *, oneline: bool) -> Iterator[Line]:
    name: list[Cell] = [Styled(record.id.short, "yellow"), f"  v{record.number}", *names_of(record.branches, record.tags)]
    if record.retired:
        name.append(Styled(" (retired)", "red"))
    subject = first_line(record.commit.message)
    if oneline:
        yield [*name, f"  {subject}"]
        return
    yield [*name, Styled(f"  {text.age(record.commit.time_ms, paper.now_ms)} by {record.commit.author}", "dim")]
    if subject:
        yield [f"    {subject}"]
    if record.stats:
        stats = record.stats
        yield [f"    {text.count(stats.files, 'file')}, {text.size(stats.raw_bytes)}, {text.size(stats.new_bytes)} new"]
    if record.commit.metrics:
        yield [f"    {scalars(record.commit.metrics)}"]
    if record.commit.labels:
        yield [f"    {scalars(record.commit.labels)}"]


LOG = View(_document, _human, lambda history: (record.id.hex for record in history.records))
