"""`reg commit`."""

from collections.abc import Iterator
from dataclasses import dataclass

from cas_registry.cli import text
from cas_registry.cli.output import Document, Line, Paper, Styled, View
from cas_registry.cli.views.fields import name_of
from cas_registry.operations.commit import CommitReport


@dataclass(frozen=True, slots=True)
class Committed:
    """A commit's report, where it went, and the line of Python that loads it."""

    report: CommitReport
    registry: str
    load: str


def _document(result: Committed) -> Document:
    report = result.report
    return {
        "registry": result.registry,
        "model": report.model,
        "branch": report.branch,
        "created": report.created,
        "commit": report.commit.hex,
        "number": report.number,
        "tree": report.tree.hex,
        "parent": report.parent.hex if report.parent else None,
        "tags": list(report.tags),
        "files": report.files,
        "files_read": report.files_read,
        "raw_bytes": report.raw_bytes,
        "new_bytes": report.new_bytes,
        "reused_bytes": report.reused_bytes,
        "stored_bytes": report.stored_bytes,
        "packs": report.packs,
        "identical_to": report.identical_to,
        "signed_by": report.signed_by.fingerprint if report.signed_by else None,
        "load": result.load,
    }


def _human(result: Committed, _: Paper) -> Iterator[Line]:
    report = result.report
    name = name_of(report.model, report.number, report.commit)
    if not report.created:
        yield ["Nothing new: ", *name, f" on {report.branch} holds the same {text.count(report.files, 'file')}"]
        yield ["No commit was made; --allow-empty makes one all the same"]
        yield from _signer(report)
        return
    yield [*name, "  on ", Styled(report.branch, "green"), *(f", tag {tag}" for tag in report.tags)]
    new, reused = text.size(report.new_bytes), text.size(report.reused_bytes)
    where = f", stored as {text.size(report.stored_bytes)} in {text.count(report.packs, 'pack')}" if report.packs else ""
    yield [f"  {text.count(report.files, 'file')}, {text.size(report.raw_bytes)}: {new} new{where}; {reused} reused"]
    if report.identical_to is not None:
        yield [f"  Bit-identical to v{report.identical_to}"]
    yield from _signer(report)
    yield ["  Load it in Python:"]
    yield ["  ", Styled(result.load, "cyan")]


def _signer(report: CommitReport) -> Iterator[Line]:
    if report.signed_by:
        yield [f"  Signed by {report.signed_by.fingerprint}"]


COMMIT = View(_document, _human, lambda result: [result.report.commit.hex])
