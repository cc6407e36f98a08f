"""`reg status`."""

from collections.abc import Iterator
from dataclasses import dataclass

from cas_registry.cli import text
from cas_registry.cli.output import Document, Line, Paper, View
from cas_registry.cli.views.fields import name_of, paths_line
from cas_registry.operations.status import StatusReport
from cas_registry.registry import Version


@dataclass(frozen=True, slots=True)
class Compared:
    """A folder compared with a version; `branch` is where it came from, `branch_commit` where that stands by now."""

    report: StatusReport
    version: Version
    branch: str | None
    branch_commit: str | None


def _document(result: Compared) -> Document:
    report, version = result.report, result.version
    return {
        "folder": str(report.folder.absolute()),
        "model": version.model,
        "commit": version.commit.hex,
        "number": version.number,
        "clean": report.is_clean,
        "added": list(report.added),
        "changed": list(report.changed),
        "removed": list(report.removed),
        "unchanged_files": report.unchanged,
        "branch": result.branch,
        "branch_commit": result.branch_commit,
    }


def _human(result: Compared, _: Paper) -> Iterator[Line]:
    report, version = result.report, result.version
    name = name_of(version.model, version.number, version.commit)
    if report.is_clean:
        yield [f"{report.folder} is equal to ", *name, f" ({text.count(report.unchanged, 'file')})"]
    else:
        yield [f"{report.folder} differs from ", *name]
        for mark, style, paths in (("A", "green", report.added), ("M", "yellow", report.changed), ("D", "red", report.removed)):
            for path in paths:
                yield paths_line(mark, path, style)
        added, changed, removed = len(report.added), len(report.changed), len(report.removed)
        yield [f"  {added} added, {changed} changed, {removed} removed, {report.unchanged} unchanged"]
    if result.branch_commit not in {None, version.commit.hex}:
        yield [f"{result.branch} stands elsewhere by now: reg diff {version.commit.short} {result.branch}"]


def _quiet(result: Compared) -> list[str]:
    return sorted((*result.report.added, *result.report.changed, *result.report.removed))


STATUS = View(_document, _human, _quiet)
