"""`reg fork`."""

from collections.abc import Iterator

from cas_registry.cli.output import Document, Line, Paper, Styled, View
from cas_registry.registry import ForkReport


def _document(report: ForkReport) -> Document:
    return {
        "model": report.model,
        "branch": report.branch,
        "origin": report.origin,
        "commit": report.commit.hex,
        "tree": report.tree.hex,
        "number": report.number,
    }


def _human(report: ForkReport, _: Paper) -> Iterator[Line]:
    yield ["Made model ", Styled(report.model, "bold"), f" of {report.origin}@", Styled(report.commit.short, "yellow")]
    yield [f"  its v{report.number}, on {report.branch}; no bytes were copied"]


FORK = View(_document, _human, lambda report: [report.commit.hex])
