"""`reg repack`."""

from collections.abc import Iterator
from dataclasses import dataclass

from cas_registry.cli import text
from cas_registry.cli.output import Document, Line, Paper, Styled, Table, View
from cas_registry.operations.repack import RepackReport


@dataclass(frozen=True, slots=True)
class Repacked:
    """A repack of models of the registry at a URL."""

    registry: str
    report: RepackReport


def _document(repacked: Repacked) -> Document:
    report = repacked.report
    return {
        "registry": repacked.registry,
        "models": list(report.models),
        "dry_run": report.dry_run,
        "worthwhile": report.worthwhile,
        "versions": report.versions,
        "remapped": report.remapped,
        "chunks": report.chunks,
        "moved_chunks": report.moved_chunks,
        "reencoded_chunks": report.reencoded_chunks,
        "packs_before": report.packs_before,
        "packs_after": report.packs_after,
        "bytes_before": report.bytes_before,
        "bytes_after": report.bytes_after,
        "written_bytes": report.written_bytes,
        "unreferenced_bytes": report.unreferenced_bytes,
        "gained_bytes": report.gained_bytes,
    }


def _human(repacked: Repacked, _: Paper) -> Iterator[Line | Table]:
    report = repacked.report
    yield [Styled(", ".join(report.models) or repacked.registry, "bold"), f": {text.count(report.versions, 'version')}"]
    if not report.worthwhile:
        gain = max(0, report.gained_bytes)
        yield [
            f"Nothing worth doing: {text.size(gain)} of {text.size(report.bytes_before)} would be gained; nothing is written"
        ]
        return
    headers = ["", "before", "after"]
    rows = [
        ["packs and maps needed", text.size(report.bytes_before), text.size(report.bytes_after)],
        ["packs", f"{report.packs_before:,}", f"{report.packs_after:,}"],
    ]
    yield Table(headers, [list(row) for row in rows], frozenset(headers[1:]))
    did = "would be" if report.dry_run else "were"
    moved = f"{report.moved_chunks:,} of {text.count(report.chunks, 'chunk')} {did} written anew"
    yield [f"{moved}, {report.reencoded_chunks:,} of them in another form: {text.size(report.written_bytes)}"]
    yield [f"{text.size(report.unreferenced_bytes)} {did.replace('were', 'are')} no longer needed; they stay in the bucket"]
    if report.dry_run:
        yield ["Dry run: nothing is written"]
    elif not report.remapped:
        yield ["Somebody else repacked these versions meanwhile: theirs stands"]


def _names(repacked: Repacked) -> Iterator[str]:
    if repacked.report.worthwhile:
        yield from repacked.report.models


REPACK = View(_document, _human, _names)
