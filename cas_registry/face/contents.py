"""What goes into a version, and comes out of it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

from cas_registry.errors import ConflictError, InvalidInputError, NotFoundError
from cas_registry.face.cards import Cards
from cas_registry.face.infos import FileInfo
from cas_registry.face.world import AnyPath
from cas_registry.model.canonical import Scalar
from cas_registry.model.ids import TreeId
from cas_registry.model.inputs import Input
from cas_registry.model.revision import parse_revision
from cas_registry.model.schema import Schema
from cas_registry.model.tree import TreeEntry
from cas_registry.operations.progress import NoProgress, Progress
from cas_registry.store.refs import Version
from cas_registry.worktree.binding import (
    FolderState,
    read_state,
    write_state,
)
from cas_registry.worktree.file_cache import FileCache
from cas_registry.worktree.target import TargetFolder

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from cas_registry.model.lockfile import Lock
    from cas_registry.operations.checkout import Beside, CheckoutPlan, CheckoutReport, CheckoutRequest, FolderTools
    from cas_registry.operations.commit import CommitReport
    from cas_registry.operations.plan import CommitPlan
    from cas_registry.operations.repack import RepackReport
    from cas_registry.operations.status import StatusReport
    from cas_registry.operations.tensors import TensorInfo


class Contents(Cards):
    """The files and tensors of a model's versions."""

    def commit(
        self,
        paths: AnyPath | Sequence[AnyPath],
        *,
        branch: str = "main",
        message: str = "",
        params: Mapping[str, Scalar] | None = None,
        metrics: Mapping[str, Scalar] | None = None,
        labels: Mapping[str, Scalar] | None = None,
        framework: Mapping[str, Scalar] | None = None,
        inputs: Mapping[str, str] | Iterable[Input | str] = (),
        schema: Schema | None = None,
        params_file: AnyPath | Sequence[AnyPath] = (),
        metrics_file: AnyPath | Sequence[AnyPath] = (),
        capture: bool = True,
        code_diff: bool = False,
        tags: Iterable[str] = (),
        base: str | None = None,
        delta: str = "auto",
        expect: str | None = None,
        allow_empty: bool = False,
        author: str | None = None,
        sign: bool = False,
        key: AnyPath | None = None,
        progress: Progress | None = None,
    ) -> CommitReport:
        """Commit a folder (its contents are the version) or several paths (each under its own name).

        Returns once the version is durable. Concurrent commits to one branch all land, one after another; with `expect` (a
        revision) the branch must stand there, else ConflictError. `tags` move in the same step. `delta`
        is auto, never or always: whether tensors may be stored as differences to the parent's or the `base`'s, and whether fetching those
        has a budget (4 GiB from a remote store). A folder equal to the
        branch's head makes no commit (`report.created` is False) unless `allow_empty`. With `sign` the log entry is signed, as by
        `Model.sign`, before it is there; where no commit is made, the one that put the branch where it stands.

        `params`, `metrics`, `labels` and `framework` are numbers, text, booleans and None by name; `params_file` and `metrics_file` name JSON,
        YAML or TOML files with more of them, nested ones with dots (`train.lr`). `inputs` say what the version was made from, as in
        `{"train": "data/train.csv", "base": "bert@prod", "eval": "s3://data/eval.parquet@sha256:…"}` (docs/versions.md has the grammar). `schema` is
        the model's signature, by default that of an MLmodel file in the folder. Unless `capture` is False, or REG_CAPTURE is 0, the version tells of the code
        (git), the environment, the installed packages and the loaded frameworks; with `code_diff` also of what is not in git's commit.
        Raises RuleError (the rules of a tag ask for more), ChangedDuringCommitError, HostileNameError, LimitError, AccessError, BackendError,
        OutcomeUnknownError.
        """
        from cas_registry.operations.commit import CommitRequest, check_delta, commit_files

        items = [paths] if isinstance(paths, (str, PathLike)) else list(paths)
        folders = [Path(fspath(item)) for item in items]
        place = folders[0] if folders else Path()
        told = progress or NoProgress()
        request = CommitRequest(
            model=self._name,
            paths=folders,
            author=author or self._world.author,
            time_ms=self._now_ms,
            branch=branch,
            message=message,
            params=_with_files(params_file, params, what="param"),
            metrics=_with_files(metrics_file, metrics, what="metric"),
            labels=dict(labels or {}),
            framework=dict(framework or {}),
            inputs=self._made_inputs(inputs, told) if inputs else (),
            schema=schema,
            tags=tuple(tags),
            base=self.resolve(base) if base else None,
            delta=check_delta(delta),
            allow_empty=allow_empty,
            expect=self.resolve(expect).commit if expect else None,
            endorse=(endorser := self._endorser(key, wanted=sign)),
            trust=self._trusted,
            capture=partial(self._world.capture, place if place.is_dir() else place.parent, diff=code_diff)
            if capture
            else None,
        )
        report = commit_files(
            self._stores,
            request,
            stat_cache=self._stat_cache(folders[0] if len(folders) == 1 else None),
            clock_ns=self._world.clock_ns,
            progress=told,
        )
        if not report.created:
            for tag in request.tags:
                self.tag(tag, report.commit.hex, reason=message, sign=sign, key=key)
        if endorser is None:
            return report
        signer = endorser.key if report.created else self._sign(branch, key, expect=report.commit).key
        return replace(report, signed_by=signer)

    def plan(
        self,
        paths: AnyPath | Sequence[AnyPath],
        *,
        branch: str = "main",
        base: str | None = None,
        delta: str = "auto",
        prices: Mapping[str, Scalar] | None = None,
        progress: Progress | None = None,
    ) -> CommitPlan:
        """What `commit` of the same paths would write: bytes raw, new and stored, requests, and dollars by `prices` (the fields of
        `Prices`; by default the list prices of S3). Files are read and encoded; nothing is written anywhere."""
        from cas_registry.operations.commit import CommitRequest, check_delta
        from cas_registry.operations.plan import parse_prices, plan_commit

        items = [paths] if isinstance(paths, (str, PathLike)) else list(paths)
        folders = [Path(fspath(item)) for item in items]
        request = CommitRequest(
            model=self._name,
            paths=folders,
            author=self._world.author,
            time_ms=self._now_ms,
            branch=branch,
            base=self.resolve(base) if base else None,
            delta=check_delta(delta),
        )
        return plan_commit(
            self._stores,
            request,
            prices=parse_prices(prices or {}),
            stat_cache=self._stat_cache(folders[0] if len(folders) == 1 else None, read_only=True),
            clock_ns=self._world.clock_ns,
            progress=progress or NoProgress(),
        )

    def checkout(
        self,
        revision: str,
        folder: AnyPath,
        *,
        paths: Iterable[str] = (),
        force: bool = False,
        remember: bool = True,
        cache: bool = True,
        link: bool = False,
        verify: bool | None = None,
        safe_only: bool = False,
        lock: AnyPath | None = None,
        foresee: Callable[[CheckoutPlan], None] = lambda _: None,
        progress: Progress | None = None,
    ) -> CheckoutReport:
        """Make `folder` hold the version: only files that differ are written; each is verified before it takes its name.

        `paths` select files, folders or patterns. Files on disk that are of no version checked out there raise LocalEditsError
        (nothing is changed) unless `force`. With `remember`, `folder/.reg/state.json` notes what the folder holds, so that
        the next checkout can tell edits from versions, and take from the files what it need not fetch.

        Files of a remote registry that are 1 MiB or larger are kept in the cache of this machine and copied from there (sharing
        blocks, where the file system can), unless `cache` is False. With `link` they are not copied: the folder's files are further
        names of the cache's, read-only, and whatever registry it is. Who makes such a file writable and edits it in place edits it
        in every folder that has it; the cache notices, since it verifies what it gives.

        With `verify` (by default where REG_VERIFY is 1) the version is the one that `Model.verify` accepts, or nothing is written.
        With `safe_only`, UnsafeFileError lists the files that run code on loading, and those that nobody looked at, and nothing is
        written. It goes by what was found when they were committed, which is the word of whoever committed them.

        With `lock`, a lock file, the version is the one that it has for this revision, wherever that stands by now (ConflictError where the
        registry is another one, or `verify` finds another version); the folder keeps what `verify_folder` needs to prove it.

        `foresee` is told before the first change what will be written and fetched; if it raises, nothing was changed.
        """
        if link and not cache:
            raise InvalidInputError("files are linked to the cache: link (--link) needs it, leave out no-cache")
        must_verify = self._world.verify if verify is None else verify
        version, locked = self._chosen(revision, verify=must_verify, lock=lock)
        branch = None if (parsed := parse_revision(revision)).release else parsed.name
        request = self._into(version, Path(fspath(folder)), patterns=tuple(paths), force=force, link=link, safe_only=safe_only)
        return self._fill(
            request,
            branch=branch,
            remember=remember,
            cached=link or (cache and self._is_remote),
            locked=locked,
            foresee=foresee,
            progress=progress,
        )

    def _fill(
        self, request: CheckoutRequest, *, branch: str | None, remember: bool = True, cached: bool, locked: Lock | None = None,
        transient: bool = False, foresee: Callable[[CheckoutPlan], None] = lambda _: None, progress: Progress | None,
    ) -> CheckoutReport:  # fmt: skip
        """Check out, and note in the folder what it holds. Of a transient one nothing is remembered elsewhere either: it is gone in a second."""
        from cas_registry.operations.checkout import checkout_version

        version, target = request.version, request.target
        notes = remember and not request.patterns
        after = FolderState(
            registry=self._reading.format.registry,
            model=version.model,
            folder=".",
            commit=version.commit.hex,
            tree=version.tree,
            branch=branch,
        )

        def announce(opened: TargetFolder) -> None:
            if notes:
                before = request.held or after
                write_state(opened, replace(before, pending=tuple(dict.fromkeys([*before.pending, version.tree]))))

        def conclude(opened: TargetFolder) -> None:
            if notes:
                write_state(opened, after)
                if locked:
                    from cas_registry.model.lockfile import LOCK_NAME, encode_lock

                    opened.write_private(LOCK_NAME, encode_lock(locked).encode("utf-8"))

        tools = self._tools(None if transient else target, cached=cached, progress=progress)
        return checkout_version(self._reading, request, tools, foresee=foresee, announce=announce, conclude=conclude)

    def plan_checkout(
        self,
        revision: str,
        folder: AnyPath,
        *,
        paths: Iterable[str] = (),
        force: bool = False,
        cache: bool = True,
        link: bool = False,
        verify: bool | None = None,
        safe_only: bool = False,
        lock: AnyPath | None = None,
        progress: Progress | None = None,
    ) -> CheckoutPlan:
        """What `checkout` of the same would write and fetch, with the same refusals. Nothing is written; trees and maps are read."""
        from cas_registry.operations.checkout import plan_checkout

        target = Path(fspath(folder))
        must_verify = self._world.verify if verify is None else verify
        version, _ = self._chosen(revision, verify=must_verify, lock=lock)
        request = self._into(version, target, patterns=tuple(paths), force=force, link=link, safe_only=safe_only)
        tools = self._tools(target, cached=link or (cache and self._is_remote), read_only=True, progress=progress)
        return plan_checkout(self._reading, request, tools)

    def _into(
        self, version: Version, target: Path, *, beside: Beside | None = None, patterns: tuple[str, ...] = (), force: bool = False,
        link: bool = False, safe_only: bool = False,
    ) -> CheckoutRequest:  # fmt: skip
        """A version for a folder, with what that remembers of itself."""
        from cas_registry.operations.checkout import CheckoutRequest

        return CheckoutRequest(
            version, target, self._held(target), beside, patterns, force=force, link=link, safe_only=safe_only
        )

    def _tools(self, folder: Path | None, *, cached: bool, read_only: bool = False, progress: Progress | None) -> FolderTools:
        from cas_registry.operations.checkout import FolderTools

        return FolderTools(
            self._file_cache(wanted=cached),
            self._stat_cache(folder, read_only=read_only),
            self._world.clock_ns,
            progress or NoProgress(),
        )

    def _held(self, target: Path) -> FolderState | None:
        """What a folder remembers of itself, and not of another one, which it committed."""
        state = self.folder_state(target)
        return state if state and state.folder == "." else None

    def folder_state(self, folder: AnyPath) -> FolderState | None:
        """What a folder holds according to its own `.reg/state.json`, if that is about this registry."""
        state = read_state(Path(fspath(folder)))
        return state if state and state.registry == self._stores.format.registry else None

    def status(self, folder: AnyPath, revision: str, *, progress: Progress | None = None) -> StatusReport:
        """How a folder differs from a version: what a commit of it would add, change and remove."""
        from cas_registry.operations.status import compare_folder

        version = self.resolve(revision)
        path = Path(fspath(folder))
        return compare_folder(
            self._reading,
            version.tree,
            path,
            stat_cache=self._stat_cache(path),
            clock_ns=self._world.clock_ns,
            progress=progress or NoProgress(),
        )

    def files(self, revision: str, paths: Iterable[str] = ()) -> list[FileInfo]:
        """The files of a version (or those that `paths` select), sorted by path. Reads trees and maps only."""
        from cas_registry.operations.version_files import list_files, marks_of, select

        version = self.resolve(revision)
        files = select(list_files(self._reading.objects, version.tree)[0], tuple(paths))
        marks = marks_of(self._reading.objects, version.map, ((file.entry, file.folder) for file in files))
        return [
            FileInfo(file.path, file.entry.size_bytes, file.entry.id, file.entry.mode, mark)
            for file, mark in zip(files, marks, strict=True)
        ]

    def ls(self, revision: str) -> list[FileInfo]:
        """The entries right in one folder of a version: `prod` or `prod:folder`; a file lists as itself."""
        from cas_registry.operations.version_files import marks_of

        parsed = parse_revision(revision)
        version = self._resolve(parsed)
        tree_id, prefix = version.tree, ""
        entries: Sequence[TreeEntry] | None = None
        for name in parsed.path.split("/") if parsed.path else ():
            entry = None if entries else self._reading.objects.read_tree(tree_id).get(name)
            if entry is None:
                raise NotFoundError(f"{revision}: there is no {prefix}{name} in this version", path=parsed.path)
            if isinstance(entry.id, TreeId):
                tree_id, prefix = entry.id, f"{prefix}{name}/"
            else:
                entries = [entry]
        if entries is None:
            entries = self._reading.objects.read_tree(tree_id).entries
        files = [entry for entry in entries if not entry.is_folder]
        marks = marks_of(self._reading.objects, version.map, ((entry, tree_id) for entry in files))
        mark_of = {entry.name: mark for entry, mark in zip(files, marks, strict=True)}
        return [
            FileInfo(f"{prefix}{entry.name}", entry.size_bytes, entry.id, entry.mode, mark_of.get(entry.name))
            for entry in entries
        ]

    def open(self, revision: str, path: str | None = None) -> io.BufferedReader:
        """A file of a version as a seekable, read-only file object: fetches what is read, verifies every chunk.

        Goes on reading the version that it was opened at, whatever moves meanwhile. Give `path`, or `REV:PATH`.
        """
        from cas_registry.operations.reading import open_file

        version, where = self._file(revision, path)
        return open_file(self._reading, version, where, self._kept_files)

    def read_bytes(self, revision: str, path: str | None = None) -> bytes:
        """The whole of a file, verified."""
        from cas_registry.operations.reading import read_file

        version, where = self._file(revision, path)
        return read_file(self._reading, version, where, self._kept_files)

    def tensors(self, revision: str, path: str | None = None) -> list[TensorInfo]:
        """The tensors of a version, or of one of its files (`path`, or `REV:PATH`): names, types, shapes, sizes. No data is read.

        Those that an ONNX model keeps in a file beside it are that file's.
        """
        from cas_registry.operations.tensors import list_tensors

        parsed = parse_revision(revision)
        return list_tensors(self._reading, self._resolve(parsed), path or parsed.path)

    def tensor(self, revision: str, name: str, path: str | None = None) -> npt.NDArray[np.generic]:
        """One tensor as a numpy array (bfloat16 and fp8 by ml_dtypes), from its own chunks alone, each verified.

        Raises NotFoundError; InvalidInputError where several files have it and `path` (or `REV:PATH`) does not say which.
        """
        from cas_registry.operations.tensors import read_tensor

        parsed = parse_revision(revision)
        return read_tensor(self._reading, self._resolve(parsed), name, path or parsed.path)

    def repack(self, *, level: int | None = None, dry_run: bool = False, progress: Progress | None = None) -> RepackReport:
        """Encode all versions anew, each tensor against the best of all versions, the rest by zstd at `level`, in full packs.

        No id changes, and whoever reads meanwhile goes on. Where less than 1 % and 1 MiB would be gained, or in a dry run, nothing is written.
        What the versions no longer need stays in the bucket (`report.unreferenced_bytes`).
        """
        from cas_registry.operations.repack import RepackRequest, repack

        request = RepackRequest([self._name], self._world.author, self._now_ms, level, dry_run)
        return repack(self._stores, request, progress=progress or NoProgress())

    def _file(self, revision: str, path: str | None) -> tuple[Version, str]:
        parsed = parse_revision(revision)
        where = path or parsed.path
        if not where:
            raise InvalidInputError(f"which file of {revision}? Give its path, as in {revision}:config.json")
        return self._resolve(parsed), where

    def _made_inputs(self, inputs: Mapping[str, str] | Iterable[Input | str], progress: Progress) -> tuple[Input, ...]:
        """The inputs as a commit holds them: versions resolved, digests computed."""
        from cas_registry.operations.inputs import Surroundings, make_input, parse_input

        around = Surroundings(self.resolve, self._world.home_folder, self._hashing(progress))
        if isinstance(inputs, str):
            raise InvalidInputError("inputs are a list of NAME=WHAT, or a mapping of names")
        written = [f"{name}={what}" for name, what in inputs.items()] if isinstance(inputs, Mapping) else inputs
        return tuple(item if isinstance(item, Input) else make_input(parse_input(item), around) for item in written)

    def _chosen(self, revision: str, *, verify: bool, lock: AnyPath | None) -> tuple[Version, Lock | None]:
        """The version to check out, verified if it must be, and that of the lock file, alone in a lock, if there is one."""
        locked = self._locked(revision, lock) if lock is not None else None
        version = self.verify(revision).version if verify else locked[1] if locked else self.resolve(revision)
        if locked and version.commit != locked[0].versions[0].id:
            raise ConflictError(
                f"{revision} verifies as {version.commit.short}, and {fspath(lock or '')} locks {locked[1].commit.short}",
                commit=version.commit.hex,
            )
        return version, locked[0] if locked else None

    def _locked(self, revision: str, lock: AnyPath) -> tuple[Lock, Version]:
        """What a lock file has for a revision, alone in a lock, and where that is in the registry."""
        from cas_registry.operations.lock import find_locked, read_lock

        parsed, path = parse_revision(revision), Path(fspath(lock))
        found = read_lock(path)
        locked, version = find_locked(self._reading, found, parsed.model or self._name, parsed.asked, path=path)
        return replace(found, versions=(locked,)), version

    @property
    def _kept_files(self) -> FileCache | None:
        """The whole files that are read while the store is not to be asked."""
        return self._file_cache(wanted=self._is_remote) if self._reading.offline else None

    def _file_cache(self, *, wanted: bool) -> FileCache:
        folder = self._world.cache_folder if wanted else None
        return FileCache(folder, limit_bytes=self._world.cache_bytes if folder else 0, clock_ns=self._world.clock_ns)


def _with_files(files: AnyPath | Sequence[AnyPath], given: Mapping[str, Scalar] | None, *, what: str) -> dict[str, Scalar]:
    """Those of the files, a later one's over an earlier one's, under those that were given."""
    if not files:
        return dict(given or {})
    from cas_registry.operations.fact_files import read_facts

    found: dict[str, Scalar] = {}
    for file in [files] if isinstance(files, (str, PathLike)) else files:
        found |= read_facts(Path(fspath(file)), what=what)
    return {**found, **(given or {})}
