"""Checking a registry."""

from dataclasses import dataclass
from enum import StrEnum

from cas_registry.backends import Backend
from cas_registry.operations.progress import Progress


class Severity(StrEnum):
    """NOTE: worth knowing; REPAIRABLE: can be rebuilt from what is there; LOST: versions cannot be read back whole."""

    NOTE = "note"
    REPAIRABLE = "repairable"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with one key; `versions` are the commits (as model@short id) that it concerns."""

    severity: Severity
    key: str
    problem: str
    versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FsckReport:
    """What a check found, worst first. `exit_code`: 0 clean (notes allowed), 1 repairable, 5 data lost."""

    findings: tuple[Finding, ...]
    models: int
    versions: int
    objects: int
    bytes_read: int

    @property
    def exit_code(self) -> int:
        worst = {finding.severity for finding in self.findings}
        return 5 if Severity.LOST in worst else 1 if Severity.REPAIRABLE in worst else 0


def check_registry(backend: Backend, *, read_data: bool, progress: Progress) -> FsckReport:
    raise NotImplementedError
