"""`reg checkout`."""

from collections.abc import Iterator

from cas_registry.cli import text
from cas_registry.cli.output import Document, Line, Paper, View
from cas_registry.cli.views.fields import name_of, paths_line
from cas_registry.operations.checkout import CheckoutReport

_SHOWN = 10


def _document(report: CheckoutReport) -> Document:
    return {
        "model": report.version.model,
        "commit": report.version.commit.hex,
        "number": report.version.number,
        "folder": str(report.target.absolute()),
        "written": list(report.written),
        "removed": list(report.removed),
        "unchanged_files": report.unchanged,
        "written_bytes": report.written_bytes,
        "seeded_bytes": report.seeded_bytes,
        "cached_bytes": report.cached_bytes,
        "fetched_bytes": report.fetched_bytes,
        "size_bytes": report.size_bytes,
    }


def _human(report: CheckoutReport, _: Paper) -> Iterator[Line]:
    version = report.version
    name = name_of(version.model, version.number, version.commit)
    yield [*name, f"  in {report.target}"]
    for mark, style, paths in (("W", "green", report.written), ("D", "red", report.removed)):
        for path in paths[:_SHOWN]:
            yield paths_line(mark, path, style)
        if len(paths) > _SHOWN:
            yield [f"    and {len(paths) - _SHOWN:,} more"]
    removed = f", {len(report.removed):,} removed" if report.removed else ""
    written = f"{text.count(len(report.written), 'file')} written ({text.size(report.written_bytes)})"
    yield [f"  {written}{removed}, {report.unchanged:,} unchanged; {text.size(report.size_bytes)} in all, every byte verified"]
    taken = ((report.seeded_bytes, "from files that were here"), (report.cached_bytes, "from the cache"))
    sources = [f"{text.size(size_bytes)} {where}" for size_bytes, where in taken if size_bytes]
    if sources:
        yield [f"  {', '.join(sources)}, {text.size(report.fetched_bytes)} fetched"]


CHECKOUT = View(_document, _human, lambda report: [str(report.target)])
