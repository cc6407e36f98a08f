"""The face: `Registry` and `Model` hold the parts together and delegate; they decide nothing.

A verb is imported when it is called: what a short one waits for longest is the code of the others.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cas_registry.backends import Backend, is_remote
from cas_registry.backends.opening import open_backend
from cas_registry.errors import FormatError, InvalidInputError, NotFoundError
from cas_registry.model.canonical import Scalar
from cas_registry.model.commit import Commit
from cas_registry.model.entry import CATALOGUE, CommitStats, RefKind
from cas_registry.model.ids import CommitId, FileId, TreeId
from cas_registry.model.keep import Keep
from cas_registry.model.names import check_model
from cas_registry.model.on_load import OnLoad
from cas_registry.model.registry_format import DEFAULT_CHUNK_BYTES
from cas_registry.model.revision import Revision, parse_revision
from cas_registry.model.tree import Mode, TreeEntry
from cas_registry.operations.progress import NoProgress, Progress
from cas_registry.store.refs import Move, Version
from cas_registry.store.stores import Stores, open_stores
from cas_registry.worktree.binding import (
    Binding,
    FolderState,
    find_bound_folder,
    is_secret,
    read_binding,
    read_state,
    write_binding,
    write_state,
)
from cas_registry.worktree.file_cache import FileCache
from cas_registry.worktree.stat_cache import StatCache
from cas_registry.worktree.target import TargetFolder

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from cas_registry.operations.checkout import CheckoutReport
    from cas_registry.operations.collection import CollectionInfo, CollectReport
    from cas_registry.operations.commit import CommitReport
    from cas_registry.operations.diff import VersionDiff
    from cas_registry.operations.doctor import DoctorReport
    from cas_registry.operations.fsck import FsckReport
    from cas_registry.operations.history import LogRecord
    from cas_registry.operations.ladder import CodecShare, Ladder
    from cas_registry.operations.plan import CommitPlan
    from cas_registry.operations.refs import MoveReport, MoveRequest
    from cas_registry.operations.repack import RepackReport
    from cas_registry.operations.repair import RepairReport
    from cas_registry.operations.retention import Expiry
    from cas_registry.operations.retire import RetireReport
    from cas_registry.operations.signing import Endorser, Signer, SignReport, Verification
    from cas_registry.operations.stats import ModelStats, RegistryStats
    from cas_registry.operations.status import StatusReport
    from cas_registry.operations.tensor_diff import LayerDelta, TensorChange, TensorDelta, TensorDiff
    from cas_registry.operations.tensors import TensorInfo

__all__ = [
    "BoundFolder",
    "CheckoutReport",
    "CodecShare",
    "CollectReport",
    "CollectionInfo",
    "CommitPlan",
    "CommitReport",
    "DoctorReport",
    "Expiry",
    "FileInfo",
    "FolderState",
    "FsckReport",
    "Ladder",
    "LayerDelta",
    "LogRecord",
    "Model",
    "ModelStats",
    "Move",
    "MoveReport",
    "OnLoad",
    "RefInfo",
    "Registry",
    "RegistryStats",
    "RepackReport",
    "RepairReport",
    "RetireReport",
    "SignReport",
    "Signer",
    "StatusReport",
    "TensorChange",
    "TensorDelta",
    "TensorDiff",
    "TensorInfo",
    "Verification",
    "Version",
    "VersionDiff",
    "VersionInfo",
    "World",
    "bind_folder",
    "check",
    "diagnose",
    "find_binding",
    "init_registry",
    "open_registry",
    "plain_options",
    "registry_over",
    "remember_version",
    "repair",
]

AnyPath = str | PathLike[str]
_REPORTS = {
    "CheckoutReport": "checkout",
    "CollectReport": "collection",
    "CollectionInfo": "collection",
    "CodecShare": "ladder",
    "CommitPlan": "plan",
    "CommitReport": "commit",
    "DoctorReport": "doctor",
    "Expiry": "retention",
    "FsckReport": "fsck",
    "Ladder": "ladder",
    "LayerDelta": "tensor_diff",
    "LogRecord": "history",
    "ModelStats": "stats",
    "MoveReport": "refs",
    "RegistryStats": "stats",
    "RepackReport": "repack",
    "RepairReport": "repair",
    "RetireReport": "retire",
    "SignReport": "signing",
    "Signer": "signing",
    "StatusReport": "status",
    "TensorChange": "tensor_diff",
    "TensorDelta": "tensor_diff",
    "TensorDiff": "tensor_diff",
    "TensorInfo": "tensors",
    "Verification": "signing",
    "VersionDiff": "diff",
}  # what is exported here -> the operation that it comes from


class World(Protocol):
    """Who is at work, where the cache is and how large its files may grow together, what time it is, where to remember what was seen
    of logs, what to sign with, whom to trust, and whether to check out nothing else."""

    @property
    def author(self) -> str: ...
    @property
    def cache_folder(self) -> Path | None: ...
    @property
    def cache_bytes(self) -> int: ...
    @property
    def clock_ns(self) -> Callable[[], int]: ...
    @property
    def state_folder(self) -> Path | None: ...
    @property
    def signing_key(self) -> Path | None: ...
    @property
    def allowed_signers(self) -> Path: ...
    @property
    def verify(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file (or, from `Model.ls`, a folder) of a version. `id` is its BLAKE3: what `b3sum` prints for a file."""

    path: str
    size_bytes: int
    id: FileId | TreeId
    mode: Mode
    on_load: OnLoad | None = None  # what its content does to whoever loads it, as found when it was committed; None of a folder

    @property
    def runs_code(self) -> bool:
        """Whether loading the file runs code, or may, as far as its content was looked at (`on_load` says how far)."""
        return self.on_load is not None and self.on_load.runs_code

    @property
    def is_folder(self) -> bool:
        return self.mode is Mode.FOLDER


@dataclass(frozen=True, slots=True)
class RefInfo:
    """A live branch or tag, the commit and version number that it stands at, and the log entry that last moved it."""

    kind: RefKind
    name: str
    commit: CommitId
    number: int
    moved: int


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """A version with its commit, what it cost when it was made, and the refs that stand at it."""

    version: Version
    commit: Commit
    stats: CommitStats | None
    branches: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BoundFolder:
    """A working folder with a `.reg/config.toml`: its registry (absolute, where it is a folder), and what it last dealt with."""

    folder: Path
    registry: str
    model: str | None
    storage_options: Mapping[str, Any]
    state: FolderState | None


class Registry:
    """A registry at a URL. Every question is asked of the bucket; that its logs only go on from what this machine saw of them last is
    checked (RollbackError). Safe to use from several threads."""

    def __init__(self, stores: Stores, world: World) -> None:
        self._stores = _watched(stores, world)
        self._world = world

    def __repr__(self) -> str:
        return f"Registry({self.url!r})"

    @property
    def url(self) -> str:
        """Where the registry is, without credentials."""
        return self._stores.backend.url

    @property
    def id(self) -> str:
        """The registry's own random id (32 hex digits)."""
        return self._stores.format.registry

    @property
    def is_shared(self) -> bool:
        """Whether several writers may work at once; False for a registry made with `single_writer`."""
        return not self._stores.format.single_writer

    def model(self, name: str) -> Model:
        """The model of that name, which its first commit creates. HostileNameError for a name outside the grammar."""
        return Model(self._stores, self._world, check_model(name))

    def model_names(self) -> list[str]:
        """The names of the models, sorted; in three reads."""
        return sorted(name for name, row in self._stores.catalogue.models().items() if not row.retired)

    def models(self) -> list[ModelStats]:
        """Every model with its figures, sorted by name."""
        from cas_registry.operations.stats import model_stats

        rows = self._stores.catalogue.models()
        return [model_stats(self._stores, name) for name, row in sorted(rows.items()) if not row.retired]

    def folder_state(self, folder: AnyPath) -> FolderState | None:
        """What a folder's `.reg/state.json` remembers, if that is about this registry; see `remember_version`."""
        state = read_state(Path(fspath(folder)))
        return state if state and state.registry == self.id else None

    def stats(self, *, progress: Progress | None = None) -> RegistryStats:
        """Raw and stored bytes by model and by area of the bucket, and what deduplication, codecs and deltas save.

        Reads all trees and maps and lists the bucket; memory grows with the distinct files and chunks of all versions.
        """
        from cas_registry.operations.stats import registry_stats

        return registry_stats(self._stores, progress=progress or NoProgress())

    def repack(
        self,
        models: Iterable[str] | None = None,
        *,
        level: int | None = None,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> RepackReport:
        """`Model.repack` of several models (of all, if none are named) together, so that what they share stays shared."""
        from cas_registry.operations.repack import RepackRequest, repack

        names = sorted(check_model(name) for name in models) if models is not None else self.model_names()
        request = RepackRequest(names, self._world.author, self._world.clock_ns() // 1_000_000, level, dry_run)
        return repack(self._stores, request, progress=progress or NoProgress())

    def gc(
        self,
        *,
        delete: bool = False,
        policy: bool = False,
        grace_s: float = 24 * 3600,
        trash_window_s: float = 7 * 24 * 3600,
        confirmed: int | None = None,
        progress: Progress | None = None,
    ) -> CollectReport:
        """Collect what no version needs: find it, and with `delete` go on with the collections under way and begin one of the rest.

        Safe beside any number of writers, however long anybody stalls and whatever the clocks say; what was decided on is deleted once the
        trash window has passed, by whichever run comes then. With `policy` what the retention policies let go is retired first.
        Raises ConflictError where more than half of all bytes would go and `confirmed` is not the number of objects, IntegrityError
        at anything that cannot be read: nothing more is deleted then.
        """
        from cas_registry.operations.collection import CollectRequest, collect
        from cas_registry.operations.retention import apply_policies

        if policy and delete:
            apply_policies(self._stores, who=self._world.author, time_ms=self._now_ms)
        request = CollectRequest(
            self._world.author, self._now_ms, delete, int(grace_s * 1000), int(trash_window_s * 1000), confirmed
        )
        return collect(self._stores, request, progress=progress or NoProgress())

    def undo_gc(self, epoch: int, *, reason: str = "") -> CollectionInfo:
        """Call a collection off before it deletes. NotFoundError if there is none, ConflictError if it is too late."""
        from cas_registry.operations.collection import undo

        return undo(self._stores, epoch, who=self._world.author, time_ms=self._now_ms, why=reason)

    def policies(self) -> Mapping[str, Keep]:
        """The retention policies by model; `"*"` is that of every model without its own."""
        return self._stores.catalogue.policies()

    def set_policy(self, keep: Keep | None, *, model: str | None = None) -> None:
        """Give a model (None: every model without its own) a retention policy, or take it away. Nothing is retired before `gc` applies it."""
        from cas_registry.model.keep import EVERY_MODEL, check_keep

        name = EVERY_MODEL if model is None else check_model(model)
        self._stores.catalogue.set_policy(
            name, check_keep(keep) if keep else None, time_ms=self._now_ms, who=self._world.author
        )

    def expired(self) -> list[Expiry]:
        """What the retention policies let go: the next `gc(policy=True, delete=True)` retires it."""
        from cas_registry.operations.retention import find_expired

        return find_expired(self._stores, now_ms=self._now_ms)

    def retire(self, model: str, *, reason: str = "", force: bool = False) -> RetireReport:
        """Take a whole model away: its versions, branches and tags. ConflictError where it has tags, unless `force` deletes them.

        What only it needed goes with the next collection. A later commit to the model begins it anew.
        """
        from cas_registry.operations.retire import RetireRequest, retire_model

        request = RetireRequest(check_model(model), self._world.author, self._now_ms, reason, force)
        return retire_model(self._stores, request)

    @property
    def _now_ms(self) -> int:
        return self._world.clock_ns() // 1_000_000

    def fsck(self, *, read_data: bool | float = False, progress: Progress | None = None) -> FsckReport:
        """Check that everything a log names is there and whole; with `read_data` every byte of every pack, or of a share of them (0.05).

        A share is drawn at random each time. InvalidInputError for one beyond 1.
        """
        from cas_registry.operations.fsck import check_registry

        return check_registry(self._stores.backend, read_data=read_data, progress=progress or NoProgress())

    def repair(
        self,
        sources: Iterable[AnyPath] = (),
        *,
        storage_options: Mapping[str, Any] | None = None,
        read_data: bool | float = False,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> RepairReport:
        """Write again what `fsck` finds damaged, as far as the right bytes can be had: here, or at `sources` (folders, other registries).

        Nothing is deleted; what cannot be had stays as it is, and the report's check names it. With `read_data` packs whose bytes are
        damaged are found, too. Raises NotFoundError for a source that is not there, ConflictError where a collection gets in the way (repair
        again), and AccessError without rights to write.
        """
        return _repair(
            self._stores.backend, self._world, sources, storage_options, read_data=read_data, dry_run=dry_run, progress=progress
        )


class Model:
    """One model of a registry: branches, tags and versions. Revisions are `prod`, `main~2`, `main@{3}`, 8 or more hex digits, and
    may name another model in front (`other@prod`)."""

    def __init__(self, stores: Stores, world: World, name: str) -> None:
        self._stores = stores
        self._world = world
        self._name = name

    def __repr__(self) -> str:
        return f"Model({self._name!r} of {self._stores.backend.url!r})"

    @property
    def name(self) -> str:
        return self._name

    def commit(
        self,
        paths: AnyPath | Sequence[AnyPath],
        *,
        branch: str = "main",
        message: str = "",
        params: Mapping[str, Scalar] | None = None,
        metrics: Mapping[str, Scalar] | None = None,
        framework: Mapping[str, Scalar] | None = None,
        inputs: Iterable[str] = (),
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
        Raises ChangedDuringCommitError, HostileNameError, LimitError, AccessError, BackendError, OutcomeUnknownError.
        """
        from cas_registry.operations.commit import CommitRequest, check_delta, commit_files

        items = [paths] if isinstance(paths, (str, PathLike)) else list(paths)
        folders = [Path(fspath(item)) for item in items]
        request = CommitRequest(
            model=self._name,
            paths=folders,
            author=author or self._world.author,
            time_ms=self._now_ms,
            branch=branch,
            message=message,
            params=dict(params or {}),
            metrics=dict(metrics or {}),
            framework=dict(framework or {}),
            inputs=tuple(inputs),
            tags=tuple(tags),
            base=self.resolve(base) if base else None,
            delta=check_delta(delta),
            allow_empty=allow_empty,
            expect=self.resolve(expect).commit if expect else None,
            endorse=(endorser := self._endorser(key, wanted=sign)),
        )
        report = commit_files(
            self._stores,
            request,
            stat_cache=self._stat_cache(folders[0] if len(folders) == 1 else None),
            clock_ns=self._world.clock_ns,
            progress=progress or NoProgress(),
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
        """
        from cas_registry.operations.checkout import checkout_version

        if link and not cache:
            raise InvalidInputError("files are linked to the cache: link (--link) needs it, leave out no-cache")
        target = Path(fspath(folder))
        must_verify = self._world.verify if verify is None else verify
        version = self.verify(revision).version if must_verify else self.resolve(revision)
        patterns = tuple(paths)
        state = self.folder_state(target)
        if state and state.folder != ".":  # the folder remembers another one, which it committed
            state = None
        bases = [state.tree, *state.pending] if state else []
        after = FolderState(
            registry=self._stores.format.registry,
            model=version.model,
            folder=".",
            commit=version.commit.hex,
            tree=version.tree,
            branch=parse_revision(revision).name,
        )

        def announce(opened: TargetFolder) -> None:
            if remember and not patterns:
                before = state or after
                write_state(opened, replace(before, pending=tuple(dict.fromkeys([*before.pending, version.tree]))))

        def conclude(opened: TargetFolder) -> None:
            if remember and not patterns:
                write_state(opened, after)

        return checkout_version(
            self._stores,
            version,
            target,
            base_trees=bases,
            base_commit=_commit_of(state) if state else None,
            patterns=patterns,
            force=force,
            file_cache=self._file_cache(wanted=link or (cache and is_remote(self._stores.backend.url))),
            link=link,
            safe_only=safe_only,
            stat_cache=self._stat_cache(target),
            clock_ns=self._world.clock_ns,
            progress=progress or NoProgress(),
            announce=announce,
            conclude=conclude,
        )

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
            self._stores,
            version.tree,
            path,
            stat_cache=self._stat_cache(path),
            clock_ns=self._world.clock_ns,
            progress=progress or NoProgress(),
        )

    def diff(self, old: str, new: str, *, values: bool = False, progress: Progress | None = None) -> VersionDiff:
        """What differs from `old` to `new`: files, tensors, bytes shared and new, params and metrics.

        Reads trees and maps only, and small tensors that share a chunk with others; with `values` also the tensors that changed,
        to measure how far they moved.
        """
        from cas_registry.operations.diff import diff_versions

        ends = self.resolve(old), self.resolve(new)
        return diff_versions(self._stores, *ends, values=values, progress=progress or NoProgress())

    def log(self, revision: str = "main", *, limit: int | None = None) -> list[LogRecord]:
        """A version and its ancestors, newest first, at most `limit`."""
        return list(islice(self.walk(revision), limit))

    def walk(self, revision: str = "main", *more: str) -> Iterator[LogRecord]:
        """One or several versions and their ancestors, each once, newest first, read as they are asked for."""
        from cas_registry.operations.history import walk_history

        return walk_history(self._stores, *(self.resolve(wanted) for wanted in (revision, *more)))

    def show(self, revision: str) -> VersionInfo:
        """A version with its commit and the refs at it."""
        version = self.resolve(revision)
        commit = self._stores.objects.read_commit(version.commit)
        found = self._stores.refs(version.model).head()
        refs = {
            kind: tuple(
                sorted(name for name, ref in found[1].of(kind).items() if ref.commit == version.commit) if found else ()
            )
            for kind in RefKind
        }
        stats = self._stores.log(version.log).read(version.at).entry.stats
        return VersionInfo(version, commit, stats, refs[RefKind.BRANCH], refs[RefKind.TAG])

    def resolve(self, revision: str) -> Version:
        """The version that a revision names, in at most three reads for a branch or tag. NotFoundError says what there is."""
        parsed = parse_revision(revision)
        return self._resolve(parsed)

    def files(self, revision: str, paths: Iterable[str] = ()) -> list[FileInfo]:
        """The files of a version (or those that `paths` select), sorted by path. Reads trees and maps only."""
        from cas_registry.operations.version_files import list_files, marks_of, select

        version = self.resolve(revision)
        files = select(list_files(self._stores.objects, version.tree)[0], tuple(paths))
        marks = marks_of(self._stores.objects, version.map, ((file.entry, file.folder) for file in files))
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
            entry = None if entries else self._stores.objects.read_tree(tree_id).get(name)
            if entry is None:
                raise NotFoundError(f"{revision}: there is no {prefix}{name} in this version", path=parsed.path)
            if isinstance(entry.id, TreeId):
                tree_id, prefix = entry.id, f"{prefix}{name}/"
            else:
                entries = [entry]
        if entries is None:
            entries = self._stores.objects.read_tree(tree_id).entries
        files = [entry for entry in entries if not entry.is_folder]
        marks = marks_of(self._stores.objects, version.map, ((entry, tree_id) for entry in files))
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
        return open_file(self._stores, version, where)

    def read_bytes(self, revision: str, path: str | None = None) -> bytes:
        """The whole of a file, verified."""
        from cas_registry.operations.reading import read_file

        version, where = self._file(revision, path)
        return read_file(self._stores, version, where)

    def tensors(self, revision: str, path: str | None = None) -> list[TensorInfo]:
        """The tensors of a version, or of one of its files (`path`, or `REV:PATH`): names, types, shapes, sizes. No data is read.

        Those that an ONNX model keeps in a file beside it are that file's.
        """
        from cas_registry.operations.tensors import list_tensors

        parsed = parse_revision(revision)
        return list_tensors(self._stores, self._resolve(parsed), path or parsed.path)

    def tensor(self, revision: str, name: str, path: str | None = None) -> npt.NDArray[np.generic]:
        """One tensor as a numpy array (bfloat16 and fp8 by ml_dtypes), from its own chunks alone, each verified.

        Raises NotFoundError; InvalidInputError where several files have it and `path` (or `REV:PATH`) does not say which.
        """
        from cas_registry.operations.tensors import read_tensor

        parsed = parse_revision(revision)
        return read_tensor(self._stores, self._resolve(parsed), name, path or parsed.path)

    def tag(
        self,
        name: str,
        revision: str,
        *,
        reason: str = "",
        expect: str | None = None,
        sign: bool = False,
        key: AnyPath | None = None,
    ) -> MoveReport:
        """Create or move a tag. With `expect` (a revision) it must stand there, else ConflictError and nothing moves.

        With `sign` the log entry is signed, as by `Model.sign`, before it is there; where the tag stands there already, the one that
        put it there.
        """
        from cas_registry.operations.refs import set_ref

        endorser = self._endorser(key, wanted=sign)
        version = self.resolve(revision)
        report = set_ref(self._stores, replace(self._move(RefKind.TAG, name, reason, expect), endorse=endorser), version)
        if endorser is None:
            return report
        return replace(report, signed_by=endorser.key if report.moved else self._sign(name, key, expect=version.commit).key)

    def delete_tag(self, name: str, *, reason: str = "") -> MoveReport:
        """Delete a tag; its history stays."""
        from cas_registry.operations.refs import delete_ref

        return delete_ref(self._stores, self._move(RefKind.TAG, name, reason, None))

    def branch(
        self, name: str, revision: str, *, force: bool = False, reason: str = "", expect: str | None = None
    ) -> MoveReport:
        """Create a branch at a version; with `force` an existing one is moved there."""
        from cas_registry.operations.refs import set_ref

        request = self._move(RefKind.BRANCH, name, reason, expect)
        return set_ref(self._stores, request, self.resolve(revision), may_move=force)

    def delete_branch(self, name: str, *, reason: str = "") -> MoveReport:
        """Delete a branch; its history stays."""
        from cas_registry.operations.refs import delete_ref

        return delete_ref(self._stores, self._move(RefKind.BRANCH, name, reason, None))

    def branches(self) -> list[RefInfo]:
        """The live branches, sorted by name."""
        return self._refs(RefKind.BRANCH)

    def tags(self) -> list[RefInfo]:
        """The live tags, sorted by name."""
        return self._refs(RefKind.TAG)

    def history(self, kind: RefKind, name: str) -> list[Move]:
        """Every move of a branch or tag, newest first: who, when, why, from where to where."""
        return self._stores.refs(self._name).history(kind, name)

    def retire(self, *revisions: str, reason: str = "", force: bool = False) -> RetireReport:
        """Take versions away: nobody finds them any more, and what only they needed goes with the next collection.

        ConflictError where a branch or tag stands at one of them, unless `force` deletes it. Commit, number and history stay.
        """
        from cas_registry.operations.retire import RetireRequest, retire_versions

        request = RetireRequest(self._name, self._world.author, self._now_ms, reason, force)
        return retire_versions(self._stores, request, [self.resolve(revision) for revision in revisions])

    def restore(self, revision: str, *, reason: str = "") -> RetireReport:
        """Take back that a version was retired, by its commit's id. ConflictError once a collection may delete what it needs."""
        from cas_registry.operations.retire import RetireRequest, restore_version

        try:
            commit = self.resolve(revision).commit
        except NotFoundError as error:
            if "retired" not in error.fields:
                raise
            commit = CommitId.parse(error.fields["commit"])
        return restore_version(self._stores, RetireRequest(self._name, self._world.author, self._now_ms, reason), commit)

    def sign(self, revision: str, *, key: AnyPath | None = None) -> SignReport:
        """Sign the log entry that put a branch or tag where it stands, by `ssh-keygen -Y` and a private key, or a public one whose private
        half the ssh-agent holds; by default that of REG_SIGNING_KEY. Several people may sign one entry.

        Raises SignatureError, and NotFoundError where there is no such key or no ssh-keygen.
        """
        return self._sign(revision, key)

    def verify(self, revision: str, *, allowed_signers: AnyPath | None = None, accept: bool = False) -> Verification:
        """The version of a branch or tag, with those who signed that it stands there, by the caller's own `allowed_signers` file and what
        lies beside it (`docs/cli.md`, verify).

        The log's chain of hashes is followed, from what this machine saw of it last; with `accept` that is forgotten first. Raises
        SignatureError where it is not signed as it must be, RollbackError for a log that does not go on from there.
        """
        from cas_registry.operations.signing import verify_ref
        from cas_registry.operations.trust import load_trust

        trust = load_trust(Path(fspath(allowed_signers)) if allowed_signers else self._world.allowed_signers)
        parsed = parse_revision(revision)
        model = parsed.model or self._name
        if accept and self._stores.watch:
            for log in (check_model(model), CATALOGUE):
                self._stores.watch.accept(log)
        return verify_ref(self._stores, model, parsed, trust)

    def repack(self, *, level: int | None = None, dry_run: bool = False, progress: Progress | None = None) -> RepackReport:
        """Encode all versions anew, each tensor against the best of all versions, the rest by zstd at `level`, in full packs.

        No id changes, and whoever reads meanwhile goes on. Where less than 1 % and 1 MiB would be gained, or in a dry run, nothing is written.
        What the versions no longer need stays in the bucket (`report.unreferenced_bytes`).
        """
        from cas_registry.operations.repack import RepackRequest, repack

        request = RepackRequest([self._name], self._world.author, self._now_ms, level, dry_run)
        return repack(self._stores, request, progress=progress or NoProgress())

    @property
    def _now_ms(self) -> int:
        return self._world.clock_ns() // 1_000_000

    def _resolve(self, revision: Revision) -> Version:
        return self._stores.refs(revision.model or self._name).resolve(revision, now_ms=self._now_ms)

    def _file(self, revision: str, path: str | None) -> tuple[Version, str]:
        parsed = parse_revision(revision)
        where = path or parsed.path
        if not where:
            raise InvalidInputError(f"which file of {revision}? Give its path, as in {revision}:config.json")
        return self._resolve(parsed), where

    def _refs(self, kind: RefKind) -> list[RefInfo]:
        found = self._stores.refs(self._name).head()
        table = found[1].of(kind) if found else {}
        return [
            RefInfo(kind, name, ref.version.commit, ref.version.number, ref.moved)
            for name, ref in sorted(table.items())
            if ref.version
        ]

    def _move(self, kind: RefKind, name: str, reason: str, expect: str | None) -> MoveRequest:
        from cas_registry.operations.refs import MoveRequest

        return MoveRequest(
            model=self._name,
            kind=kind,
            name=name,
            who=self._world.author,
            time_ms=self._now_ms,
            why=reason,
            expect=self.resolve(expect).commit if expect else None,
        )

    def _sign(self, revision: str, key: AnyPath | None, *, expect: CommitId | None = None) -> SignReport:
        from cas_registry.operations.signing import sign_ref

        parsed = parse_revision(revision)
        return sign_ref(
            self._stores, parsed.model or self._name, parsed, key=self._signing_key(key), time_ms=self._now_ms, expect=expect
        )

    def _endorser(self, key: AnyPath | None, *, wanted: bool) -> Endorser | None:
        if not wanted:
            return None
        from cas_registry.operations.signing import Endorser

        return Endorser(self._stores, self._signing_key(key), time_ms=self._now_ms)

    def _signing_key(self, key: AnyPath | None) -> Path:
        found = Path(fspath(key)) if key else self._world.signing_key
        if found is None:
            raise InvalidInputError(
                "which key is to sign? Name its file with --key or REG_SIGNING_KEY; git's user.signingkey is not looked at"
            )
        return found

    def _file_cache(self, *, wanted: bool) -> FileCache:
        folder = self._world.cache_folder if wanted else None
        return FileCache(folder, limit_bytes=self._world.cache_bytes if folder else 0, clock_ns=self._world.clock_ns)

    def _stat_cache(self, folder: Path | None, *, read_only: bool = False) -> StatCache:
        cache = self._world.cache_folder
        if cache is None or folder is None:
            return StatCache(None)
        return StatCache(
            cache / "stat" / f"{FileId.of(str(folder.resolve()).encode('utf-8', 'surrogateescape')).hex[:32]}.cache",
            read_only=read_only,
        )


def __getattr__(name: str) -> Any:
    if name in _REPORTS:
        return getattr(importlib.import_module(f"cas_registry.operations.{_REPORTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _watched(stores: Stores, world: World) -> Stores:
    """The stores, watching what this machine sees of their logs; those of a registry in memory are gone before anybody looks again."""
    folder = world.state_folder
    if folder is None or stores.backend.url.startswith("memory:"):
        return stores
    from cas_registry.store.watch import Watch

    return replace(stores, watch=Watch(folder / stores.format.registry, clock_ns=world.clock_ns))


def _commit_of(state: FolderState) -> CommitId | None:
    try:
        return CommitId.parse(state.commit)
    except FormatError:
        return None


def open_registry(url: AnyPath, world: World, *, storage_options: Mapping[str, Any] | None = None) -> Registry:
    """The registry at `url`. NotFoundError if there is none."""
    return Registry(open_stores(open_backend(fspath(url), storage_options)), world)


def init_registry(
    url: AnyPath,
    world: World,
    *,
    storage_options: Mapping[str, Any] | None = None,
    single_writer: bool = False,
    chunk_bytes: int = DEFAULT_CHUNK_BYTES,
) -> Registry:
    """Make a registry at `url`. AlreadyExistsError if there is one, BackendError if the store is not fit for shared writing."""
    from cas_registry.operations.init import create_registry

    stores = create_registry(
        open_backend(fspath(url), storage_options),
        time_ms=world.clock_ns() // 1_000_000,
        who=world.author,
        single_writer=single_writer,
        chunk_bytes=chunk_bytes,
    )
    return Registry(stores, world)


def check(
    url: AnyPath,
    *,
    storage_options: Mapping[str, Any] | None = None,
    read_data: bool | float = False,
    progress: Progress | None = None,
) -> FsckReport:
    """`Registry.fsck` of the registry at `url`, also where it is too damaged to be opened. NotFoundError if there is none."""
    from cas_registry.operations.fsck import check_registry

    return check_registry(open_backend(fspath(url), storage_options), read_data=read_data, progress=progress or NoProgress())


def repair(
    url: AnyPath,
    world: World,
    sources: Iterable[AnyPath] = (),
    *,
    storage_options: Mapping[str, Any] | None = None,
    source_options: Mapping[str, Any] | None = None,
    read_data: bool | float = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> RepairReport:
    """`Registry.repair` of the registry at `url`, also where it is too damaged to be opened. NotFoundError if there is none."""
    backend = open_backend(fspath(url), storage_options)
    return _repair(backend, world, sources, source_options, read_data=read_data, dry_run=dry_run, progress=progress)


def _repair(
    backend: Backend, world: World, sources: Iterable[AnyPath], source_options: Mapping[str, Any] | None, *,
    read_data: float, dry_run: bool, progress: Progress | None,
) -> RepairReport:  # fmt: skip
    from cas_registry.operations.repair import RepairRequest, repair_registry

    places = [fspath(place) for place in sources]
    request = RepairRequest(world.author, world.clock_ns() // 1_000_000, places, source_options, read_data, dry_run)
    return repair_registry(backend, request, progress=progress or NoProgress())


def diagnose(url: AnyPath, world: World, *, storage_options: Mapping[str, Any] | None = None) -> DoctorReport:
    """Check a registry's URL end to end: reachability, rights, create-if-absent, clock, cache, versions. Raises nothing of its own."""
    from cas_registry.operations.doctor import examine

    return examine(fspath(url), storage_options or {}, cache_folder=world.cache_folder, clock_ns=world.clock_ns)


def find_binding(start: AnyPath) -> BoundFolder | None:
    """The nearest folder at or above `start` that is bound to a registry. InvalidInputError if its configuration is damaged."""
    folder = find_bound_folder(Path(fspath(start)).absolute())
    if folder is None:
        return None
    binding = read_binding(folder)
    registry = binding.registry if "://" in binding.registry else str(folder / binding.registry)
    return BoundFolder(folder, registry, binding.model, binding.storage_options, read_state(folder))


def bind_folder(
    folder: AnyPath, registry: Registry, *, model: str | None = None, storage_options: Mapping[str, Any] | None = None
) -> BoundFolder:
    """Bind a folder to a registry. Of the storage options only plain ones that look like no secret are written down."""
    path = Path(fspath(folder)).absolute()
    kept = plain_options(storage_options or {})
    write_binding(path, Binding(registry.url, model, kept))
    return BoundFolder(path, registry.url, model, kept, read_state(path))


def plain_options(storage_options: Mapping[str, Any]) -> dict[str, str | bool | int]:
    """The storage options that may be written down or shown: text, numbers and booleans whose names do not speak of secrets."""
    return {
        name: value for name, value in storage_options.items() if isinstance(value, str | bool | int) and not is_secret(name)
    }


def remember_version(
    keeper: AnyPath, held: AnyPath, registry: Registry, model: str, commit: CommitId, tree: TreeId, *, branch: str | None = None
) -> None:
    """Note in `keeper/.reg/state.json` that the folder `held` (the same, or one that it works with) holds a version."""
    folder, content = Path(fspath(keeper)).absolute(), Path(fspath(held)).absolute()
    where = content.relative_to(folder) if content.is_relative_to(folder) else content
    state = FolderState(registry.id, model, where.as_posix(), commit.hex, tree, branch=branch)
    if read_state(folder) == state:
        return
    with TargetFolder(folder) as opened:
        write_state(opened, state)


def registry_over(backend: Backend, world: World) -> Registry:
    """The registry on a backend made by hand: for counting requests, for tests."""
    return Registry(open_stores(backend), world)
