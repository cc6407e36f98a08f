"""What a disk may hold after a power loss, given the steps that led there: more than one thing, and all that POSIX allows.

Durable is what a file held when it was synced, and a name once its folder was synced after it. Of all else any part may be there: names
by any subset of the changes since, in their order; bytes absent, zeros, cut short, rubbish, or whole.
"""

import itertools
import os
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tests.reliability.steps import Kind, Step

ALL_SUBSETS_UP_TO = 6  # pending changes; of more, samples
SAMPLES = 64


class Bytes(StrEnum):
    """What has become of bytes that were not synced."""

    WHOLE = "whole"
    ABSENT = "absent"
    ZEROS = "zeros"
    SHORT = "cut short"
    RUBBISH = "rubbish"


@dataclass(slots=True)
class _File:
    """An inode: what it held at the last sync, and what was written to it in all."""

    synced: bytes = b""
    written: bytes = b""

    def after(self, fate: Bytes) -> bytes:
        fresh = self.written[len(self.synced) :]
        match fate:
            case Bytes.WHOLE:
                return self.written
            case Bytes.ABSENT:
                return self.synced
            case Bytes.ZEROS:
                return self.synced + bytes(len(fresh))
            case Bytes.SHORT:
                return self.synced + fresh[: len(fresh) // 2]
            case Bytes.RUBBISH:
                return self.synced + bytes(byte ^ 0x5A for byte in fresh)


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of names, in the folder whose sync makes it last. `file` gets the name, `gone` loses one; neither: a folder is made."""

    folder: str
    name: str
    file: _File | None = None
    gone: str | None = None
    makes_folder: bool = False


@dataclass(slots=True)
class Disk:
    """A disk as it was when all was synced (`files`, and the `folders` above them), and the steps since."""

    files: Mapping[str, bytes]
    folders: frozenset[str]
    _names: dict[str, _File] = field(default_factory=dict)
    _changes: list[_Change] = field(default_factory=list)
    _durable: set[int] = field(default_factory=set)
    _base: dict[str, _File] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._base = {path: _File(data, data) for path, data in self.files.items()}
        self._names = dict(self._base)

    def take(self, step: Step) -> None:
        """One step further."""
        folder = os.path.dirname(step.target or step.path)
        match step.kind:
            case Kind.CREATE:
                self._names[step.path] = made = _File()
                self._changes.append(_Change(folder, step.path, made))
            case Kind.WRITE:
                self._names[step.path].written += step.data
            case Kind.SYNC:
                self._names[step.path].synced = self._names[step.path].written
            case Kind.SYNC_FOLDER:
                self._durable |= {number for number, change in enumerate(self._changes) if change.folder == step.path}
            case Kind.LINK:
                self._names[step.target] = self._names[step.path]
                self._changes.append(_Change(folder, step.target, self._names[step.path]))
            case Kind.REPLACE:
                self._names[step.target] = self._names.pop(step.path)
                self._changes.append(_Change(folder, step.target, self._names[step.target], gone=step.path))
            case Kind.UNLINK:
                self._names.pop(step.path, None)
                self._changes.append(_Change(folder, "", gone=step.path))
            case Kind.MKDIR:
                self._changes.append(_Change(folder, step.path, makes_folder=True))
            case Kind.RMDIR:
                self._changes.append(_Change(folder, "", gone=step.path))
            case Kind.MODE:
                pass

    def states(self, chance: random.Random) -> Iterator[dict[str, bytes]]:
        """Everything that it may hold if the power goes now: all subsets of a few pending changes, samples of many."""
        pending = [number for number, change in enumerate(self._changes) if number not in self._durable and _matters(change)]
        for subset in _subsets(pending, chance):
            yield from self._with(self._durable.union(subset), chance)

    def _with(self, done: set[int], chance: random.Random) -> Iterator[dict[str, bytes]]:
        names, folders = dict(self._base), set(self.folders)
        for number, change in enumerate(self._changes):
            if number not in done:
                continue
            if change.gone is not None:
                names.pop(change.gone, None)
                folders.discard(change.gone)
            if change.makes_folder:
                folders.add(change.name)
            elif change.file is not None:
                names[change.name] = change.file
        visible = {path: file for path, file in names.items() if _is_reachable(path, folders) and not is_aside(path)}
        unsynced = [path for path, file in visible.items() if file.written != file.synced]
        for fate in Bytes if unsynced else [Bytes.WHOLE]:
            fates = {path: fate if len(unsynced) == 1 else chance.choice(list(Bytes)) for path in unsynced}
            yield {path: file.after(fates.get(path, Bytes.WHOLE)) for path, file in visible.items()}


def is_aside(path: str) -> bool:
    """Whether it is a temporary name, which nobody reads."""
    return os.path.basename(path).startswith((".tmp-", ".reg-tmp-"))


def _matters(change: _Change) -> bool:
    """Whether a reader can see the change: of temporary names nobody knows."""
    return any(name and not is_aside(name) for name in (change.name, change.gone))


def _subsets(pending: Sequence[int], chance: random.Random) -> Iterable[Sequence[int]]:
    if len(pending) <= ALL_SUBSETS_UP_TO:
        return itertools.chain.from_iterable(itertools.combinations(pending, count) for count in range(len(pending) + 1))
    samples = [[number for number in pending if chance.random() < 0.5] for _ in range(SAMPLES - 2)]
    return [[], list(pending), *samples]


def _is_reachable(path: str, folders: set[str]) -> bool:
    folder = os.path.dirname(path)
    while folder:
        if folder not in folders:
            return False
        folder = os.path.dirname(folder)
    return True
