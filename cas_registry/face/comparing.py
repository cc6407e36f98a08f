"""Versions beside each other: what differs, what changed when, what came of what, and what each of them takes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import fspath
from pathlib import Path
from typing import TYPE_CHECKING

from cas_registry.errors import InvalidInputError
from cas_registry.face.contents import Contents
from cas_registry.face.world import AnyPath, World
from cas_registry.model.ids import CommitId
from cas_registry.model.note import Note
from cas_registry.model.revision import parse_revision
from cas_registry.operations.progress import NoProgress, Progress
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores

if TYPE_CHECKING:
    from cas_registry.operations.bisect import BisectNext, BisectReport, BisectStep, Judgement
    from cas_registry.operations.blame import BlameReport
    from cas_registry.operations.comparison import Comparison
    from cas_registry.operations.history import LogRecord
    from cas_registry.operations.index import Index
    from cas_registry.operations.origins import Lineage
    from cas_registry.operations.usage import Family, ModelUsage, UsageReport


class Comparing(Contents):
    """The versions of a model beside each other, and beside those of others."""

    def compare(self, *revisions: str, only: Collection[str] = ()) -> Comparison:
        """Two or more versions side by side: metrics, params, labels, inputs, framework, packages, environment, code, files and tensors,
        or only some of these. They may be of several models (`other@prod`).

        Labels and metrics are told with what notes say of them. Reads commits, trees and maps, no data. InvalidInputError for fewer than
        two, and for a section that there is not.
        """
        return _compare(self._reading, self._world, [self.resolve(revision) for revision in revisions], only)

    def bisect(
        self,
        good: str | Sequence[str],
        bad: str,
        test: Callable[[Path, Version], bool | None],
        *,
        folder: AnyPath | None = None,
        first_parent: bool = False,
        force: bool = False,
        on_step: Callable[[BisectStep], None] | None = None,
        progress: Progress | None = None,
    ) -> BisectReport:
        """Find the first version that fails a test, between one (or several) that passes it and one that does not, in about log2 tests.

        `test` is given a folder that holds a version, and that version; it returns True where it is good, False where it is bad, None
        where it cannot tell. The folder is a temporary one, gone in the end, unless `folder` names another, which then holds what was tested
        last; from step to step only what differs is fetched and written. LocalEditsError where `folder` holds files of no version checked out there, unless `force`: then, and
        from the second step on, they are overwritten. Versions that were retired count as those that cannot be told. With `first_parent`
        a merge stands for all that it brought. InvalidInputError where the bad version comes before a good one, or their histories do
        not meet. What `test` raises ends it.
        """
        from cas_registry.operations.bisect import find_first_bad

        goods = [self.resolve(name) for name in ([good] if isinstance(good, str) else good)]
        with _folder_or_temporary(folder) as (target, temporary):

            def judge(record: LogRecord, number: int, _: int) -> Judgement:
                report = self.checkout(
                    f"{record.commit.log}@{record.id.hex}", target, force=force or temporary or number > 1, progress=progress
                )
                return _judgement(test(target, report.version))

            return find_first_bad(
                self._reading, self.resolve(bad), goods, judge, first_parent=first_parent, on_step=on_step or (lambda _: None)
            )

    def bisect_next(
        self, good: str | Sequence[str], bad: str, *, skipped: Collection[str] = (), first_parent: bool = False
    ) -> BisectNext:
        """One step of `bisect`: which version to test next, given what is known to be good and bad, and what could not be tested."""
        from cas_registry.operations.bisect import find_next

        goods = [self.resolve(name) for name in ([good] if isinstance(good, str) else good)]
        untold = [self.resolve(name).commit for name in skipped]
        return find_next(self._reading, self.resolve(bad), goods, untold, first_parent=first_parent)

    def blame(
        self, revision: str, path: str | None = None, *, tensors: bool = False, tensor: str | None = None,
        progress: Progress | None = None,
    ) -> BlameReport:  # fmt: skip
        """Which version last changed each file at or below `path` (or `REV:PATH`), or with `tensors` each of their tensors, or those named `tensor`.

        Goes back from version to version, to a parent that has the same, and stops when all is settled. NotFoundError if there is no
        such file or tensor.
        """
        from cas_registry.operations.blame import blame_files, blame_tensors

        parsed = parse_revision(revision)
        version, where = self._resolve(parsed), (path or parsed.path or "").strip("/") or None
        if tensors or tensor is not None:
            return blame_tensors(self._reading, version, where, tensor, progress=progress or NoProgress())
        return blame_files(self._reading, version, where, progress=progress or NoProgress())

    def lineage(
        self, revision: str, *, up: bool = True, down: bool = True, depth: int | None = None, progress: Progress | None = None
    ) -> Lineage:
        """What a version was made from, and what was made from it, over all models: parents, inputs, and versions that hold the very
        content of an input; `depth` steps either way (None: all the way).

        Reads the commits on the way up; the way down is told by the index of this machine, which is brought up to date first.
        """
        from cas_registry.operations.index import ask_index
        from cas_registry.operations.origins import IndexedDescendants, trace

        version, listener = self.resolve(revision), progress or NoProgress()

        def question(index: Index) -> Lineage:
            descendants = IndexedDescendants(index, self._reading.objects, progress=listener)
            return trace(self._reading, version, descendants, up=up, down=down, depth=depth)

        return ask_index(self._reading, self._world.cache_folder, question, now_ms=self._now_ms, progress=listener)

    def du(self, *revisions: str, progress: Progress | None = None) -> UsageReport:
        """What versions take (every one of this model, if none are named), each by itself and all together: raw and stored bytes, those
        that no other version of the registry needs, and what a collection would free if just these were retired.

        Reads the maps of all versions of the registry, and no pack; memory grows with the chunks of the versions asked about.
        """
        from cas_registry.operations.usage import measure_versions

        if revisions:
            versions = [self.resolve(revision) for revision in revisions]
        else:
            refs = self._stores.refs(self._name)
            versions = list(refs.versions(refs.existing_head()[0]))
        return measure_versions(self._stores, versions, progress=progress or NoProgress())


class ComparingModels:
    """The models of a registry beside each other."""

    _stores: Stores
    _world: World

    def compare(self, *revisions: str, only: Collection[str] = ()) -> Comparison:
        """`Model.compare` of versions that name their models (`fraud@prod`). InvalidInputError for one that does not."""
        return _compare(self._stores.reading, self._world, [self._named(revision) for revision in revisions], only)

    def _named(self, revision: str) -> Version:
        parsed = parse_revision(revision)
        if parsed.model is None:
            raise InvalidInputError(f"of which model is {revision!r}? Write MODEL@{revision}", revision=revision)
        return self._stores.reading.refs(parsed.model).resolve(parsed, now_ms=self._world.clock_ns() // 1_000_000)

    def du(self, *, progress: Progress | None = None) -> list[ModelUsage]:
        """What each model takes, the largest first: of its stored bytes those that no other model needs, and what a collection would free if
        all of it were retired. Reads the maps of all versions; memory grows with the chunks of all of them."""
        from cas_registry.operations.usage import measure_models

        return measure_models(self._stores, progress=progress or NoProgress())

    def families(self, *, progress: Progress | None = None) -> list[Family]:
        """Which models share chunks, the largest families first. Reads and takes what `du` does."""
        from cas_registry.operations.usage import find_families

        return find_families(self._stores, progress=progress or NoProgress())


def _compare(stores: Stores, world: World, versions: Sequence[Version], only: Collection[str]) -> Comparison:
    from cas_registry.operations.comparison import compare_versions

    return compare_versions(stores, versions, only, _notes(stores, world, versions))


def _notes(stores: Stores, world: World, versions: Sequence[Version]) -> Mapping[CommitId, Sequence[Note]]:
    """What was said of versions later. A log says how many notes it has; the index is asked where there are any."""
    heads = {log: stores.log(log).head() for log in {version.log for version in versions}}
    noted = [version for version in versions if (head := heads[version.log]) and head.entry.notes]
    if not noted:
        return {}
    from cas_registry.operations.index import ask_index

    def question(index: Index) -> dict[CommitId, Sequence[Note]]:
        return {version.commit: [record.note for record in index.notes(version.log, version.commit)] for version in noted}

    return ask_index(stores, world.cache_folder, question, now_ms=world.clock_ns() // 1_000_000)


def _judgement(passed: bool | None) -> Judgement:  # noqa: FBT001 - what a test returns
    from cas_registry.operations.bisect import Judgement

    return Judgement.SKIP if passed is None else Judgement.GOOD if passed else Judgement.BAD


@contextmanager
def _folder_or_temporary(folder: AnyPath | None) -> Iterator[tuple[Path, bool]]:
    """That folder, or a new one that is gone in the end; and whether it is such a one."""
    if folder is not None:
        yield Path(fspath(folder)), False
        return
    with tempfile.TemporaryDirectory(prefix="reg-bisect-") as made:
        yield Path(made), True
