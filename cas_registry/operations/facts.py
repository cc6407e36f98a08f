"""What is told of a new version: what its maker said, and what can be found out about it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cas_registry.errors import InvalidInputError
from cas_registry.model.canonical import encode, encode_scalars
from cas_registry.model.commit import MAX_COMMIT_BYTES
from cas_registry.model.inputs import input_value
from cas_registry.model.schema import schema_value
from cas_registry.worktree.scan import FoundFile, Snapshot

if TYPE_CHECKING:
    from cas_registry.model.schema import Schema
    from cas_registry.operations.capture import Captured
    from cas_registry.operations.commit import CommitRequest

MLMODEL = "MLmodel"
_ELSE_BYTES = 16 * 1024  # of a commit beside what is counted: ids, parents, names of fields


class Facts:
    """A request, completed once: whoever asks first, while the folder is still what it was, settles it."""

    def __init__(self, request: CommitRequest, snapshot: Snapshot) -> None:
        self._request = request
        self._snapshot = snapshot
        self._found: CommitRequest | None = None

    def find(self) -> CommitRequest:
        """The request with what was found; what its maker said counts where both say something. Raises nothing.

        Where all of it would be more than a commit holds, what was found gives way: changes of the code, packages, the signature.
        """
        if self._found is None:
            self._found = _complete(self._request, self._snapshot)
        return self._found


def _complete(request: CommitRequest, snapshot: Snapshot) -> CommitRequest:
    whole = replace(request, schema=_schema(snapshot)) if request.schema is None else request
    found = request.capture() if request.capture else None
    if found is not None:
        whole = _told(whole, found)
    without_diff = replace(whole, code={name: value for name, value in whole.code.items() if name != "diff"})
    without_packages = replace(without_diff, packages=request.packages)
    candidates = (whole, without_diff, without_packages, replace(without_packages, schema=request.schema))
    return next((candidate for candidate in candidates if _fits(candidate)), request)


def _fits(request: CommitRequest) -> bool:
    """Whether a commit holds all of this."""
    try:
        told = {
            name: encode_scalars(getattr(request, name), what=name)
            for name in ("params", "metrics", "labels", "framework", "packages", "environment", "code")
        }
        size_bytes = len(encode({**told, "inputs": list(map(input_value, request.inputs))}))
        size_bytes += len(encode(schema_value(request.schema))) if request.schema else 0
    except InvalidInputError:
        return False  # nor does one with less of it: the commit will say what is wrong
    return size_bytes + len(encode(request.message)) + _ELSE_BYTES <= MAX_COMMIT_BYTES


def _told(request: CommitRequest, found: Captured) -> CommitRequest:
    return replace(
        request,
        code={**found.code, **request.code},
        environment={**found.environment, **request.environment},
        packages={**found.packages, **request.packages},
        framework={**found.framework, **request.framework},
    )


def _schema(snapshot: Snapshot) -> Schema | None:
    """The signature of the version's MLmodel file: the one that lies highest, if that is one."""
    file = _highest(snapshot)
    if file is None:
        return None
    from cas_registry.operations.mlmodel import MAX_FILE_BYTES, read_signature  # noqa: PLC0415 - loads PyYAML

    try:
        with file.disk.open("rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
    except OSError:
        return None  # the commit itself will say so
    return read_signature(data.decode("utf-8", "replace")) if len(data) <= MAX_FILE_BYTES else None


def _highest(snapshot: Snapshot) -> FoundFile | None:
    found = [listing.found(row) for listing in snapshot.listings for row in listing.rows() if row[0] == MLMODEL]
    depth = min((file.path.count("/") for file in found), default=0)
    highest = [file for file in found if file.path.count("/") == depth]
    return highest[0] if len(highest) == 1 else None
