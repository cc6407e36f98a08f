"""Whether what a version was made from is still what it was: versions of the registry are looked up, the rest is read and hashed again."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cas_registry.errors import InvalidInputError, NotFoundError, RegistryError
from cas_registry.model.ids import CommitId
from cas_registry.model.inputs import Input
from cas_registry.operations.hashing import ALGORITHMS, Hashing, hash_place
from cas_registry.operations.inputs import find_path
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores


class InputState(StrEnum):
    """How an input stands to what was recorded of it."""

    SAME = "same"
    CHANGED = "changed"
    MISSING = "missing"
    UNPINNED = "unpinned"  # nobody recorded a digest
    UNCHECKED = "unchecked"  # it could not be read from here


@dataclass(frozen=True, slots=True)
class InputCheck:
    """One input and what was found: its digest now, or why there is none."""

    input: Input
    state: InputState
    found: str | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class InputsReport:
    """The inputs of a version, each checked."""

    version: Version
    checks: tuple[InputCheck, ...]

    @property
    def holds(self) -> bool:
        """Whether none is known to have changed, and none to be missing."""
        return not any(check.state in {InputState.CHANGED, InputState.MISSING} for check in self.checks)


@dataclass(frozen=True, slots=True)
class Reader:
    """Where inputs are read from: `root` stands for the top of the work tree that relative paths begin at."""

    root: Path
    home: Path | None
    hashing: Hashing


def check_inputs(stores: Stores, version: Version, reader: Reader) -> InputsReport:
    """Look every input of a version up, or read and hash it. Only what local paths, and the stores that fsspec reaches, hold is read."""
    inputs = stores.objects.read_commit(version.commit).inputs
    return InputsReport(version, tuple(_check(stores, item, reader) for item in inputs))


def _check(stores: Stores, item: Input, reader: Reader) -> InputCheck:
    if item.commit is not None:
        return _look_up(stores, item, item.commit)
    if item.digest is None:
        return InputCheck(item, InputState.UNPINNED, None, "it was recorded without a digest")
    try:
        found = _hash(item, item.digest.partition(":")[0], reader)
    except NotFoundError as error:
        return InputCheck(item, InputState.MISSING, None, error.message)
    except (RegistryError, OSError) as error:
        return InputCheck(item, InputState.UNCHECKED, None, str(error))
    return InputCheck(item, InputState.SAME if found == item.digest else InputState.CHANGED, found)


def _look_up(stores: Stores, item: Input, commit: CommitId) -> InputCheck:
    assert item.model is not None  # noqa: S101 - a version has both
    try:
        stores.refs(item.model).find_entry(commit)
    except RegistryError as error:
        return InputCheck(item, InputState.MISSING, None, error.message)
    return InputCheck(item, InputState.SAME, commit.hex)


def _hash(item: Input, algorithm: str, reader: Reader) -> str:
    assert item.uri is not None  # noqa: S101 - what is no version has a URI
    if algorithm not in ALGORITHMS:
        raise InvalidInputError(f"digests by {algorithm[:40]} cannot be computed")
    place = find_path(item.uri, root=reader.root, home=reader.home)
    return hash_place(item.uri if place is None else place, algorithm, reader.hashing)
