"""What skops writes, without what differs from one run to the next: it numbers objects by their place in memory, and stamps members with the time.

An archive is a ZIP of `schema.json` and of the arrays it names. In the schema `__id__` tells which objects are one and the same, and `file` names a member.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

_SCHEMA = "schema.json"


def write_archive(data: bytes, path: Path) -> None:
    """Write an archive of skops with objects and members numbered in the order in which the schema has them, and no times."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        schema = json.loads(archive.read(_SCHEMA))
        ids: dict[Any, int] = {}
        members: dict[str, str] = {}
        _renumber(schema, set(archive.namelist()), ids, members)
        with zipfile.ZipFile(path, "w") as written:
            for old, new in members.items():
                written.writestr(zipfile.ZipInfo(new), archive.read(old))
            written.writestr(zipfile.ZipInfo(_SCHEMA), json.dumps(schema, indent=1))


def _renumber(state: Any, names: set[str], ids: dict[Any, int], members: dict[str, str]) -> None:
    """Change a schema in place. A stack, for trees of estimators are deeper than Python's own."""
    waiting = [state]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(reversed(node))
            continue
        if not isinstance(node, dict):
            continue
        if isinstance(node.get("__id__"), int):
            node["__id__"] = ids.setdefault(node["__id__"], len(ids) + 1)
        if isinstance(file := node.get("file"), str) and file in names:
            node["file"] = members.setdefault(file, f"{len(members) + 1}{Path(file).suffix}")
        waiting.extend(reversed(node.values()))
