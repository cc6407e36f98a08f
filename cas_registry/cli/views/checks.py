"""`reg fsck` and `reg doctor`."""

from collections.abc import Iterator
from dataclasses import dataclass

from cas_registry.cli import text
from cas_registry.cli.output import Cell, Document, Line, Paper, Styled, Table, View
from cas_registry.operations.doctor import DoctorReport, Health
from cas_registry.operations.fsck import FsckReport, Severity

_SEVERITY = {Severity.NOTE: "dim", Severity.REPAIRABLE: "yellow", Severity.LOST: "red"}
_HEALTH = {Health.OK: "green", Health.WARN: "yellow", Health.FAIL: "red", Health.SKIPPED: "dim"}
_VERSIONS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Fsck:
    """A check of the registry at a URL."""

    registry: str
    report: FsckReport
    read_data: bool


def _fsck_document(fsck: Fsck) -> Document:
    report = fsck.report
    return {
        "registry": fsck.registry,
        "clean": report.exit_code == 0,
        "read_data": fsck.read_data,
        "models": report.models,
        "versions": report.versions,
        "objects": report.objects,
        "bytes_read": report.bytes_read,
        "findings": [
            {
                "severity": finding.severity.value,
                "key": finding.key,
                "problem": finding.problem,
                "versions": list(finding.versions),
            }
            for finding in report.findings
        ],
    }


def _fsck_human(fsck: Fsck, _: Paper) -> Iterator[Line]:
    report = fsck.report
    for finding in report.findings:
        yield [Styled(finding.severity.value, _SEVERITY[finding.severity]), f"  {finding.key}: {finding.problem}"]
        if finding.versions:
            more = len(finding.versions) - _VERSIONS_SHOWN
            shown = ", ".join(finding.versions[:_VERSIONS_SHOWN])
            yield [f"    concerns {shown}{f' and {more:,} more' if more > 0 else ''}"]
    counts = ", ".join(
        text.count(number, noun)
        for number, noun in ((report.models, "model"), (report.versions, "version"), (report.objects, "object"))
    )
    read = f", {text.size(report.bytes_read)} of data read and hashed" if fsck.read_data else ""
    yield [f"{fsck.registry}: {counts}{read}"]
    verdict: dict[int, Cell] = {
        0: Styled("Everything is there and whole" if fsck.read_data else "Everything is there", "green"),
        1: Styled("Damaged, but nothing is lost: it can be rebuilt from what is there", "yellow"),
    }
    yield [verdict.get(report.exit_code, Styled("Data is lost; the versions above cannot be read in full", "red"))]
    if report.exit_code == 0 and not fsck.read_data:
        yield ["The bytes of the packs were not read: reg fsck --read-data does"]


def _doctor_document(report: DoctorReport) -> Document:
    return {
        "registry": report.url,
        "healthy": report.is_healthy,
        "checks": [
            {"name": check.name, "status": check.health.value, "found": check.found, "advice": check.advice}
            for check in report.checks
        ],
        "versions": [{"package": name, "version": version} for name, version in report.versions.items()],
    }


def _doctor_human(report: DoctorReport, _: Paper) -> Iterator[Line | Table]:
    rows: list[list[Cell]] = []
    for check in report.checks:
        rows.append([Styled(check.health.value, _HEALTH[check.health]), check.name, check.found])
        if check.advice:
            rows.append(["", "", Styled(check.advice, "dim")])
    yield Table(["", "check", "found"], rows)
    failed = [check.name for check in report.checks if check.health is Health.FAIL]
    yield [Styled(f"Not well: {', '.join(failed)}", "red") if failed else Styled("Well", "green")]


FSCK = View(_fsck_document, _fsck_human, lambda fsck: (finding.key for finding in fsck.report.findings))
DOCTOR = View(
    _doctor_document, _doctor_human, lambda report: (check.name for check in report.checks if check.health is Health.FAIL)
)
