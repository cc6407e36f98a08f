"""`reg fsck` and `reg doctor`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cas_registry.cli import text
from cas_registry.cli.output import Cell, Document, Line, Paper, Styled, Table, View
from cas_registry.operations.doctor import DoctorReport, Health
from cas_registry.operations.findings import FsckReport, Severity

if TYPE_CHECKING:
    from cas_registry.operations.repair import RepairReport

_SEVERITY = {Severity.NOTE: "dim", Severity.REPAIRABLE: "yellow", Severity.LOST: "red"}
_HEALTH = {Health.OK: "green", Health.WARN: "yellow", Health.FAIL: "red", Health.SKIPPED: "dim"}
_VERSIONS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Fsck:
    """A check of the registry at a URL, which read this share of its data."""

    registry: str
    report: FsckReport
    read_share: float


@dataclass(frozen=True, slots=True)
class Repaired:
    """A repair, and the check after it."""

    fsck: Fsck
    report: "RepairReport"


def _fsck_document(fsck: Fsck) -> Document:
    report = fsck.report
    return {
        "registry": fsck.registry,
        "clean": report.exit_code == 0,
        "read_data": fsck.read_share > 0,
        "models": report.models,
        "versions": report.versions,
        "objects": report.objects,
        "bytes_read": report.bytes_read,
        "pack_bytes": report.pack_bytes,
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
            yield [f"    concerns {_shown(finding.versions)}"]
    counts = ", ".join(
        text.count(number, noun)
        for number, noun in ((report.models, "model"), (report.versions, "version"), (report.objects, "object"))
    )
    parts = f" of {text.size(report.pack_bytes)}" if fsck.read_share < 1 else ""
    read = f", {text.size(report.bytes_read)}{parts} of data read and hashed" if fsck.read_share else ""
    yield [f"{fsck.registry}: {counts}{read}"]
    verdict: dict[int, Cell] = {
        0: Styled("Everything is there and whole" if fsck.read_share == 1 else "Everything is there", "green"),
        1: Styled("Damaged, but nothing is lost: it can be rebuilt from what is there (reg fsck --repair)", "yellow"),
    }
    yield [verdict.get(report.exit_code, Styled("Data is lost; the versions above cannot be read in full", "red"))]
    if report.exit_code not in verdict:
        yield ["If a folder or another registry has it: reg fsck --repair --from PLACE"]
    if report.exit_code == 0 and fsck.read_share < 1:
        what = "All bytes of the packs were not read" if fsck.read_share else "The bytes of the packs were not read"
        yield [f"{what}: reg fsck --read-data does"]


def _repair_document(repaired: Repaired) -> Document:
    actions = [
        {"key": action.key, "done": action.done, "versions": list(action.versions)} for action in repaired.report.actions
    ]
    return {**_fsck_document(repaired.fsck), "dry_run": repaired.report.dry_run, "actions": actions}


def _repair_human(repaired: Repaired, paper: Paper) -> Iterator[Line]:
    label = Styled("would be" if repaired.report.dry_run else "repaired", "green")
    for action in repaired.report.actions:
        yield [label, f"  {action.key}: {action.done}"]
        if action.versions:
            yield [f"    for {_shown(action.versions)}"]
    if not repaired.report.actions:
        yield ["Nothing to repair" if repaired.report.exit_code == 0 else "Nothing that can be repaired from here"]
    yield from _fsck_human(repaired.fsck, paper)
    if repaired.report.dry_run:
        yield ["Dry run: nothing is written, and the check is of the registry as it is"]


def _shown(versions: Sequence[str]) -> str:
    more = len(versions) - _VERSIONS_SHOWN
    return f"{', '.join(versions[:_VERSIONS_SHOWN])}{f' and {more:,} more' if more > 0 else ''}"


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
REPAIR = View(_repair_document, _repair_human, lambda repaired: (finding.key for finding in repaired.fsck.report.findings))
DOCTOR = View(
    _doctor_document, _doctor_human, lambda report: (check.name for check in report.checks if check.health is Health.FAIL)
)
