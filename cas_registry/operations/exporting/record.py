"""`cas-version.json`: what the registry knows of a version, as one JSON document for readers that know no registry.

The same version with the same tags is the same bytes. Text that looks like a credential is left out of it, wherever somebody put it.
"""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cas_registry.model.commit import Commit
from cas_registry.model.schema import Schema
from cas_registry.model.tree import Mode
from cas_registry.operations.exporting.contents import Contents
from cas_registry.redaction import redact
from cas_registry.store.refs import Version

RECORD_NAME = "cas-version.json"
RECORD_VERSION = 1
MAX_RECORD_BYTES = 64 * 1024 * 1024  # of one that is read back: a commit's megabyte, and some 200 bytes for each of many files
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAPS = ("params", "metrics", "labels", "framework", "packages", "environment", "code")


def encode_record(version: Version, commit: Commit, tags: tuple[str, ...], contents: Contents) -> bytes:
    """The record of a version: who, when, what was chosen and measured, what it was made from, and its files with their BLAKE3."""
    found = moment(commit.time_ms)
    document: dict[str, Any] = {
        "cas_version": RECORD_VERSION,
        "model": version.model,
        "number": version.number,
        "commit": version.commit.hex,
        "tree": version.tree.hex,
        "parents": [parent.hex for parent in commit.parents],
        "tags": sorted(tags),
        "time": rfc3339(found) if found else None,
        "time_ms": commit.time_ms,
        **clean(
            {
                "author": commit.author,
                "message": commit.message,
                **{name: dict(getattr(commit, name)) for name in _MAPS},
                "inputs": [
                    {
                        "name": item.name,
                        "uri": item.uri,
                        "digest": item.digest,
                        "model": item.model,
                        "commit": item.commit.hex if item.commit else None,
                    }
                    for item in commit.inputs
                ],
                "schema": _schema_fields(commit.schema) if commit.schema else None,
            }
        ),
        "files": [
            {
                "path": file.path,
                "size_bytes": file.entry.size_bytes,
                "blake3": file.file_id.hex,
                "executable": file.entry.mode is Mode.EXECUTABLE,
            }
            for file in contents.files
        ],
    }
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def is_record_of(data: bytes, version: Version) -> bool:
    """Whether that is a record of the same version, perhaps with other tags."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and (found.get("cas_version"), found.get("commit")) == (RECORD_VERSION, version.commit.hex)


def clean(value: Any) -> Any:
    """Plain data without what looks like a credential, and with NaN and the infinities, which JSON has not, as text."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {name: _clean_named(name, item) for name, item in value.items()}
    if isinstance(value, list):
        return [clean(item) for item in value]
    return value


def moment(time_ms: int) -> datetime | None:
    """A commit's time, or None beyond the year 9999."""
    try:
        return _EPOCH + timedelta(milliseconds=time_ms)
    except OverflowError:
        return None


def rfc3339(found: datetime) -> str:
    """`2026-11-01T14:30:05.123Z`."""
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _clean_named(name: str, value: Any) -> Any:
    """A value with its name beside it: `password: hunter2` is a credential by its name alone."""
    if isinstance(value, str) and redact(f"{name}={value!r}") != f"{name}={value!r}":
        return redact(value) if redact(value) != value else "***"
    return clean(value)


def _schema_fields(schema: Schema) -> dict[str, Any]:
    return {
        side: [
            {"name": column.name, "dtype": column.dtype, "shape": None if column.shape is None else list(column.shape)}
            for column in columns
        ]
        for side, columns in (("inputs", schema.inputs), ("outputs", schema.outputs), ("params", schema.params))
    }
