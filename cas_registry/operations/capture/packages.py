"""The installed distributions, by the names of their folders.

`importlib.metadata` opens and parses a file for each: 150 ms for 300 of them. The name and version that it would find there stand in the folder's
name, by the standard (packaging.python.org, recording installed projects); only a folder without a version is looked into.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from cas_registry.model.canonical import Scalar

MAX_PACKAGES = 2_000  # some 60 KB of a commit
_HEADER_BYTES = 4096  # of PKG-INFO, whose version is among its first lines
_SEPARATORS = re.compile(r"[-_.]+")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[0-9A-Za-z.!+_~-]{1,100}")
_VERSION_LINE = re.compile(rb"^Version:\s*(\S{1,100})\s*$", re.MULTILINE)


def installed_packages(search_path: Iterable[str]) -> dict[str, Scalar]:
    """The version of each distribution by its normalised name (PEP 503), sorted; the first folder of the path that has one counts."""
    found: dict[str, str] = {}
    for folder in dict.fromkeys(search_path):
        for name, version in _in_folder(folder):
            found.setdefault(name, version)
    return dict(sorted(found.items())[:MAX_PACKAGES])


def normal_name(name: str) -> str:
    """The one spelling of a distribution's name."""
    return _SEPARATORS.sub("-", name).lower()


def _in_folder(folder: str) -> Iterator[tuple[str, str]]:
    try:
        names = os.listdir(folder) if folder else []  # noqa: PTH208 - thousands of names, and no object each
    except OSError:  # a zip archive, a folder that is no more
        return
    for entry in sorted(names):
        stem, _, kind = entry.rpartition(".")
        if kind not in {"dist-info", "egg-info"}:
            continue
        name, _, rest = stem.partition("-")
        version = rest.partition("-py")[0] if kind == "egg-info" else rest
        version = version or _told_version(Path(folder) / entry)
        if _NAME.fullmatch(name) and _VERSION.fullmatch(version):
            yield normal_name(name), version


def _told_version(place: Path) -> str:
    """The version that a folder's metadata tell, for one whose name does not."""
    for file in (place / "METADATA", place / "PKG-INFO", place):
        try:
            with file.open("rb") as opened:
                found = _VERSION_LINE.search(opened.read(_HEADER_BYTES))
        except OSError:
            continue
        if found:
            return found[1].decode("ascii", "replace")
    return ""
