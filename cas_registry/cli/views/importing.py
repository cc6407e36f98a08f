"""`reg import`."""

from collections.abc import Iterator

from cas_registry.cli import text
from cas_registry.cli.output import Cell, Document, Line, Paper, Styled, Table, View
from cas_registry.cli.views.fields import time_fields
from cas_registry.operations.importing.engine import ImportedTag, ImportedVersion, ImportReport, Outcome

_SHOWN = 50  # versions for people; --json has all of them


def _document(report: ImportReport) -> Document:
    return {
        "kind": report.kind,
        "source": report.place,
        "dry_run": report.dry_run,
        **{outcome.value: report.count(outcome) for outcome in Outcome if outcome is not Outcome.KEPT},
        "versions": [_version(version) for version in report.versions],
        "tags": [_tag(tag) for tag in report.tags],
    }


def _version(version: ImportedVersion) -> dict[str, object]:
    return {
        "model": version.model,
        "name": version.name,
        "id": version.id,
        "outcome": version.outcome.value,
        "commit": version.commit.hex if version.commit else None,
        "number": version.number,
        "author": version.author,
        **time_fields("time", version.time_ms),
        "files": version.files,
        "raw_bytes": version.raw_bytes,
        "new_bytes": version.new_bytes,
        "reason": version.reason or None,
    }


def _tag(tag: ImportedTag) -> dict[str, object]:
    return {
        "model": tag.model,
        "tag": tag.tag,
        "name": tag.name,
        "version": tag.version,
        "commit": tag.commit.hex if tag.commit else None,
        "outcome": tag.outcome.value,
        "reason": tag.reason or None,
    }


def _human(report: ImportReport, paper: Paper) -> Iterator[Line | Table]:
    shown = [version for version in report.versions if version.outcome in {Outcome.IMPORTED, Outcome.PLANNED}]
    if shown:
        headers = ["", "model", "version", "from", "made", "by", "size"]
        yield Table(headers, [_row(version, paper) for version in shown[:_SHOWN]], frozenset({"size"}))
    if len(shown) > _SHOWN:
        yield [f"… and {text.count(len(shown) - _SHOWN, 'more version')}"]
    yield from _tags(report)
    yield from _failures(report)
    did = "would be imported" if report.dry_run else "imported"
    counted = text.count(report.count(Outcome.PLANNED if report.dry_run else Outcome.IMPORTED), "version")
    known, failed = report.count(Outcome.KNOWN), report.count(Outcome.FAILED)
    yield [
        f"{counted} {did} from {report.kind} at {report.place}",
        f"; {known} here already" if known else "",
        f"; {failed} not" if failed else "",
    ]
    if not report.versions:
        yield ["It holds no version"]
    if report.dry_run:
        yield ["Dry run: nothing is written"]


def _tags(report: ImportReport) -> Iterator[Line]:
    for tag in report.tags:
        if tag.outcome in {Outcome.IMPORTED, Outcome.PLANNED}:
            called = f" (there {tag.name})" if tag.name != tag.tag else ""
            yield [
                "  tag ",
                Styled(tag.tag, "yellow"),
                f" of {tag.model}{called} at {tag.commit.short if tag.commit else tag.version}",
            ]
        elif tag.outcome is Outcome.KEPT:
            yield ["  tag ", Styled(tag.tag, "yellow"), f" of {tag.model} stays: {tag.reason}"]


def _failures(report: ImportReport) -> Iterator[Line]:
    for version in report.versions:
        if version.outcome is Outcome.FAILED:
            yield [Styled("Not imported: ", "red"), f"{version.model} {version.name}: {version.reason}"]
    for tag in report.tags:
        if tag.outcome is Outcome.FAILED:
            yield [Styled("Not imported: ", "red"), f"tag {tag.tag} of {tag.model}: {tag.reason}"]


def _row(version: ImportedVersion, paper: Paper) -> list[Cell]:
    return [
        Styled("+", "green"),
        version.model,
        f"v{version.number}" if version.number else "-",
        version.name,
        text.age(version.time_ms, paper.now_ms) if version.time_ms is not None else "-",
        version.author or "-",
        "-" if version.raw_bytes is None else text.size(version.raw_bytes),
    ]


def _commits(report: ImportReport) -> Iterator[str]:
    yield from (version.commit.hex for version in report.versions if version.outcome is Outcome.IMPORTED and version.commit)


IMPORT = View(_document, _human, _commits)
