"""What a check of a registry finds."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """NOTE: worth knowing; REPAIRABLE: can be rebuilt from what is there; LOST: something acknowledged cannot be read back."""

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
    """What a check found, worst first. `exit_code`: 0 clean (notes allowed), 1 repairable, 5 data lost.

    `bytes_read` of the `pack_bytes` of all packs were read and hashed.
    """

    findings: tuple[Finding, ...]
    models: int
    versions: int
    objects: int
    bytes_read: int
    pack_bytes: int

    @property
    def exit_code(self) -> int:
        worst = {finding.severity for finding in self.findings}
        return 5 if Severity.LOST in worst else 1 if Severity.REPAIRABLE in worst else 0


class Findings:
    """Collects findings; one for each key and problem, the versions joined."""

    def __init__(self) -> None:
        self._found: dict[tuple[Severity, str, str], set[str]] = {}

    def add(self, severity: Severity, key: str, problem: str, versions: Iterable[str] = ()) -> None:
        self._found.setdefault((severity, key, problem), set()).update(versions)

    def lost_versions(self) -> frozenset[str]:
        """The versions of which something is lost."""
        return frozenset(name for (severity, _, _), names in self._found.items() if severity is Severity.LOST for name in names)

    def ordered(self) -> tuple[Finding, ...]:
        """Worst first, then by key."""
        order = [Severity.LOST, Severity.REPAIRABLE, Severity.NOTE]
        rows = sorted(self._found.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))
        return tuple(Finding(severity, key, problem, tuple(sorted(names))) for (severity, key, problem), names in rows)
