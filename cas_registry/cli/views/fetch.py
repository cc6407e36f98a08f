"""`reg fetch`."""

from collections.abc import Iterator, Sequence

from cas_registry.cli import text
from cas_registry.cli.output import Document, Line, Paper, Styled, View
from cas_registry.cli.views.fields import name_of
from cas_registry.registry import FetchReport

_SHOWN = 10


def _document(reports: Sequence[FetchReport]) -> Document:
    return {"versions": [_fields(report) for report in reports]}


def _fields(report: FetchReport) -> dict[str, object]:
    return {
        "model": report.version.model,
        "commit": report.version.commit.hex,
        "number": report.version.number,
        "files": report.files,
        "size_bytes": report.size_bytes,
        "cached_bytes": report.cached_bytes,
        "fetched_bytes": report.fetched_bytes,
        "left_out": list(report.left_out),
    }


def _human(reports: Sequence[FetchReport], _: Paper) -> Iterator[Line]:
    for report in reports:
        version = report.version
        there = f", {text.size(report.cached_bytes)} of it before" if report.cached_bytes else ""
        yield [
            *name_of(version.model, version.number, version.commit),
            f"  {text.count(report.files, 'file')} ({text.size(report.size_bytes)}) here{there}; {text.size(report.fetched_bytes)} fetched",
        ]
        for path in report.left_out[:_SHOWN]:
            yield [Styled(f"  {path} is not: the cache has no room for it (REG_CACHE_BYTES)", "yellow")]
        if len(report.left_out) > _SHOWN:
            yield [Styled(f"  and {len(report.left_out) - _SHOWN:,} more are not", "yellow")]


FETCH = View(_document, _human, lambda reports: (report.version.commit.hex for report in reports))
