"""`reg resolve`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from cas_registry.cli.output import Document, Line, Paper, View
from cas_registry.registry import Version

FIELDS = ("revision", "model", "number", "commit", "short", "tree", "log")


@dataclass(frozen=True, slots=True)
class Resolved:
    """Versions by the revisions that named them, and the line that each is printed as: its commit, if nobody says."""

    versions: list[tuple[str, Version]]
    template: str | None


def _fields(revision: str, version: Version) -> dict[str, object]:
    return {
        "revision": revision,
        "model": version.model,
        "number": version.number,
        "commit": version.commit.hex,
        "short": version.commit.short,
        "tree": version.tree.hex,
        "log": version.log,
    }


def _document(resolved: Resolved) -> Document:
    return {"versions": [_fields(revision, version) for revision, version in resolved.versions]}


def _lines(resolved: Resolved) -> Iterator[str]:
    for revision, version in resolved.versions:
        fields = _fields(revision, version)
        yield re.sub(r"\{(\w+)\}", lambda match: str(fields[match[1]]), resolved.template or "{commit}")  # noqa: B023 - called at once


def _human(resolved: Resolved, _: Paper) -> Iterator[Line]:
    for line in _lines(resolved):
        yield [line]


RESOLVED = View(_document, _human, _lines)
