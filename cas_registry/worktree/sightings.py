"""What this machine saw of a log: a small file for each log, in the user's state folder.

A convenience that protects: it can be lost, damaged or unwritable, and no command fails for it.
"""

import contextlib
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from cas_registry.errors import FormatError
from cas_registry.model.ids import EntryId

MAX_SIGHTING_BYTES = 4096  # what is written here has some 300
_YEAR_10000_MS = 253_402_300_800_000  # from here on a time cannot be shown


@dataclass(frozen=True, slots=True)
class Sighting:
    """An entry that was seen as a log's head, and when."""

    n: int
    id: EntryId
    time_ms: int


@dataclass(frozen=True, slots=True)
class Seen:
    """The last head seen, and the one from which on the chain of hashes was not followed yet (the same, or an earlier one)."""

    last: Sighting
    followed: Sighting


def read_seen(path: Path) -> Seen | None:
    """What the file says, or None where there is none that makes sense."""
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(MAX_SIGHTING_BYTES))
        last, followed = (_sighting(value[name]) for name in ("last", "followed"))
    except (OSError, ValueError, TypeError, KeyError, RecursionError, FormatError):
        return None
    return Seen(last, followed) if followed.n <= last.n else None


def write_seen(path: Path, seen: Seen) -> None:
    """Replace the file at once. A failure is ignored."""
    value = {
        name: {"n": found.n, "id": found.id.hex, "time": found.time_ms}
        for name, found in (("last", seen.last), ("followed", seen.followed))
    }
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(json.dumps(value).encode("ascii"))
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()


def forget_seen(path: Path) -> None:
    """Remove the file, if it can be."""
    with contextlib.suppress(OSError):
        path.unlink()


def _sighting(value: dict[str, object]) -> Sighting:
    n, time_ms = value["n"], value["time"]
    if type(n) is not int or type(time_ms) is not int or n < 1 or not 0 <= time_ms < _YEAR_10000_MS:
        raise FormatError("a sighting without numbers that make sense")
    return Sighting(n, EntryId.parse(value["id"]), time_ms)
