"""`reg export`."""

from collections.abc import Iterator

from cas_registry.cli import text
from cas_registry.cli.output import Document, Line, Paper, Table, View
from cas_registry.cli.views.fields import name_of
from cas_registry.operations.export import PIPE, ExportReport


def summary(report: ExportReport) -> str:
    """One line of what was done."""
    version = report.version
    where = "standard output" if report.destination == PIPE else report.destination
    amount = f"{text.count(len(report.files), 'file')}, {text.size(report.size_bytes)}"
    return f"{version.model} v{version.number} ({version.commit.short}) went to {where}: {amount}, every byte verified"


def _document(report: ExportReport) -> Document:
    return {
        "model": report.version.model,
        "commit": report.version.commit.hex,
        "number": report.version.number,
        "format": report.format.value,
        "destination": report.destination,
        "dry_run": report.dry_run,
        "changed": report.changed,
        "name": report.name,
        "digest": report.digest,
        "size_bytes": report.size_bytes,
        "written_bytes": report.written_bytes,
        "fetched_bytes": report.fetched_bytes,
        "files": [
            {"path": file.path, "size_bytes": file.size_bytes, "written": file.written, "media_type": file.media_type}
            for file in report.files
        ],
    }


def _human(report: ExportReport, _: Paper) -> Iterator[Line | Table]:
    version = report.version
    name = name_of(version.model, version.number, version.commit)
    called = f" as {report.name}" if report.name else ""
    where = f"{report.destination}{called}"
    written = [file for file in report.files if file.written]
    left = len(report.files) - len(written)
    if report.dry_run:
        rows = [[text.size(file.size_bytes), "" if file.written else "there", file.path] for file in report.files]
        yield Table(["size", "", "file"], rows, frozenset({"size"}))
    if not report.changed:
        yield [*name, f"  is in {where} already: {text.count(len(report.files), 'file')}, {text.size(report.size_bytes)}"]
        return
    verb = "would be exported" if report.dry_run else "is exported"
    yield [*name, f"  {verb} to {where} ({report.format.value})"]
    there = f", {left:,} there already" if left else ""
    done = "to be written" if report.dry_run else "written"
    fetched = "" if report.dry_run else f"; {text.size(report.fetched_bytes)} fetched, every byte verified"
    yield [f"  {text.count(len(written), 'file')}, {text.size(report.written_bytes)} {done}{there}{fetched}"]
    if report.digest:
        yield [f"  {report.digest}"]


EXPORT = View(_document, _human, lambda report: [report.digest or report.destination])
