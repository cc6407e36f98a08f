"""Looking at versions and between them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from cas_registry.face.base import ModelBase
from cas_registry.face.infos import VersionInfo
from cas_registry.model.entry import RefKind
from cas_registry.operations.progress import NoProgress, Progress

if TYPE_CHECKING:
    from cas_registry.operations.diff import VersionDiff
    from cas_registry.operations.history import LogRecord


class History(ModelBase):
    """The versions of a model, as people look at them."""

    def diff(self, old: str, new: str, *, values: bool = False, progress: Progress | None = None) -> VersionDiff:
        """What differs from `old` to `new`: files, tensors, bytes shared and new, params and metrics.

        Reads trees and maps only, and small tensors that share a chunk with others; with `values` also the tensors that changed,
        to measure how far they moved.
        """
        from cas_registry.operations.diff import diff_versions

        ends = self.resolve(old), self.resolve(new)
        return diff_versions(self._reading, *ends, values=values, progress=progress or NoProgress())

    def log(self, revision: str = "main", *, limit: int | None = None) -> list[LogRecord]:
        """A version and its ancestors, newest first, at most `limit`."""
        return list(islice(self.walk(revision), limit))

    def walk(self, revision: str = "main", *more: str) -> Iterator[LogRecord]:
        """One or several versions and their ancestors, each once, newest first, read as they are asked for."""
        from cas_registry.operations.history import walk_history

        return walk_history(self._reading, *(self.resolve(wanted) for wanted in (revision, *more)))

    def show(self, revision: str) -> VersionInfo:
        """A version with its commit and the refs at it."""
        version = self.resolve(revision)
        commit = self._reading.objects.read_commit(version.commit)
        found = self._reading.refs(version.model).head()
        refs = {
            kind: tuple(
                sorted(name for name, ref in found[1].of(kind).items() if ref.commit == version.commit) if found else ()
            )
            for kind in RefKind
        }
        stats = self._reading.log(version.log).read(version.at).entry.stats
        return VersionInfo(version, commit, stats, refs[RefKind.BRANCH], refs[RefKind.TAG])
