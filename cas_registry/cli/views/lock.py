"""`reg lock`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cas_registry.cli.output import Cell, Document, Line, Paper, Styled, Table, View
from cas_registry.model.lockfile import Lock


@dataclass(frozen=True, slots=True)
class Locked:
    """A lock, and the file that it was written to."""

    path: Path
    lock: Lock


def _document(locked: Locked) -> Document:
    return {
        "file": str(locked.path.absolute()),
        "registry": locked.lock.registry,
        "url": locked.lock.url,
        "versions": [
            {
                "model": version.model,
                "revision": version.revision,
                "number": version.number,
                "commit": version.id.hex,
                "tree": version.tree.hex,
                "files": None if version.files is None else len(version.files),
            }
            for version in locked.lock.versions
        ],
    }


def _human(locked: Locked, _: Paper) -> Iterator[Line | Table]:
    rows: list[list[Cell]] = [
        [version.model, version.revision, f"v{version.number}", Styled(version.id.short, "yellow"), version.tree.short]
        for version in locked.lock.versions
    ]
    yield Table(["model", "asked for", "version", "commit", "tree"], rows, frozenset({"version"}))
    yield [f"Written to {locked.path}"]


LOCK = View(_document, _human, lambda locked: (version.id.hex for version in locked.lock.versions))
