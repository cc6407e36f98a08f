"""`reg blame`."""

from collections.abc import Iterator

from cas_registry.cli import text
from cas_registry.cli.output import Cell, Document, Line, Paper, Styled, Table, View
from cas_registry.cli.views.fields import first_line, time_fields
from cas_registry.registry import Blamed, BlameReport


def _document(report: BlameReport) -> Document:
    version = report.version
    return {
        "model": version.model,
        "commit": version.commit.hex,
        "number": version.number,
        "rows": [_fields(row) for row in report.rows],
        "looked_at": report.looked_at,
    }


def _fields(row: Blamed) -> dict[str, object]:
    record = row.record
    return {
        "path": row.path,
        "tensor": row.tensor,
        "size_bytes": row.size_bytes,
        "commit": record.id.hex,
        "log": record.commit.log,
        "number": record.number,
        "author": record.commit.author,
        **time_fields("time", record.commit.time_ms),
        "message": record.commit.message,
        "retired": record.retired,
        "sure": row.sure,
    }


def _human(report: BlameReport, paper: Paper) -> Iterator[Line | Table]:
    several = len({row.path for row in report.rows}) > 1
    tensors = any(row.tensor is not None for row in report.rows)
    headers = [
        "version",
        "id",
        "author",
        "when",
        "size",
        *(["tensor"] if tensors else []),
        *(["file"] if several or not tensors else []),
    ]
    rows = [_row(row, paper, tensors=tensors, paths=several or not tensors) for row in report.rows]
    yield Table([*headers, "message"], rows, frozenset(("size",)))
    if not all(row.sure for row in report.rows):
        yield ["? or an earlier version: what came before was retired"]


def _row(row: Blamed, paper: Paper, *, tensors: bool, paths: bool) -> list[Cell]:
    record = row.record
    cells: list[Cell] = [
        f"{record.commit.log} v{record.number}{'' if row.sure else '?'}",
        Styled(record.id.short, "yellow"),
        record.commit.author,
        text.age(record.commit.time_ms, paper.now_ms),
        text.size(row.size_bytes),
    ]
    cells += [row.tensor or ""] if tensors else []
    cells += [row.path] if paths else []
    return [*cells, first_line(record.commit.message)]


BLAME = View(_document, _human, lambda report: (f"{row.record.id.hex} {row.tensor or row.path}" for row in report.rows))
