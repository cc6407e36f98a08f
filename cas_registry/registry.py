"""The door: opening a registry, or making, checking and mending one; and the names under which the edge knows what the face returns."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from os import fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cas_registry.backends import Backend
from cas_registry.backends.opening import open_backend, remote_url
from cas_registry.face.finding import OfflineRegistry
from cas_registry.face.folders import BoundFolder, bind_folder, find_binding, plain_options, remember_version
from cas_registry.face.infos import FileInfo, RefInfo, VersionInfo
from cas_registry.face.model import Model
from cas_registry.face.registry import Registry, mend
from cas_registry.face.world import AnyPath, World
from cas_registry.model.inputs import Input
from cas_registry.model.manifest import Manifest, SavedObject
from cas_registry.model.on_load import OnLoad
from cas_registry.model.registry_format import DEFAULT_CHUNK_BYTES
from cas_registry.model.schema import Column, Schema
from cas_registry.operations.progress import NoProgress, Progress
from cas_registry.store.refs import Move, Version
from cas_registry.store.stores import open_stores
from cas_registry.worktree.binding import FolderState

if TYPE_CHECKING:
    from cas_registry.frameworks.listing import KnownFramework
    from cas_registry.model.lockfile import Lock
    from cas_registry.operations.bisect import BisectNext, BisectReport, BisectStep, Judgement
    from cas_registry.operations.blame import Blamed, BlameReport
    from cas_registry.operations.card import Card
    from cas_registry.operations.check_inputs import InputCheck, InputsReport, InputState
    from cas_registry.operations.checkout import CheckoutPlan, CheckoutReport
    from cas_registry.operations.collection import CollectionInfo, CollectReport
    from cas_registry.operations.commit import CommitReport
    from cas_registry.operations.comparison import ComparedRow, Comparison, FileValue, Section, TensorValue
    from cas_registry.operations.deploy import Deployment, Outcome, Reload
    from cas_registry.operations.diff import VersionDiff
    from cas_registry.operations.doctor import DoctorReport
    from cas_registry.operations.export import ExportedFile, ExportFormat, ExportReport
    from cas_registry.operations.fetch import FetchReport
    from cas_registry.operations.fork import ForkReport
    from cas_registry.operations.fsck import FsckReport
    from cas_registry.operations.history import LogRecord
    from cas_registry.operations.importing.engine import ImportedTag, ImportedVersion, ImportReport
    from cas_registry.operations.index import Found, Holding, Stay
    from cas_registry.operations.ladder import CodecShare, Ladder
    from cas_registry.operations.lineage_graphs import dot, mermaid
    from cas_registry.operations.merge import MergeReport
    from cas_registry.operations.notes import NoteRecord, NoteReport
    from cas_registry.operations.openlineage import run_events
    from cas_registry.operations.origins import Edge, Lineage, Relation, SourceNode, VersionNode
    from cas_registry.operations.plan import CommitPlan
    from cas_registry.operations.promotion import Assessment
    from cas_registry.operations.prove import Proof
    from cas_registry.operations.refs import MoveReport
    from cas_registry.operations.release import ReleaseInfo, ReleaseReport
    from cas_registry.operations.repack import RepackReport
    from cas_registry.operations.repair import RepairReport
    from cas_registry.operations.retention import Expiry
    from cas_registry.operations.retire import RetireReport
    from cas_registry.operations.rules import Verdict
    from cas_registry.operations.search import SearchResult
    from cas_registry.operations.signing import Signer, SignReport, Verification
    from cas_registry.operations.stages import Board, Standing
    from cas_registry.operations.stats import ModelStats, RegistryStats
    from cas_registry.operations.status import StatusReport
    from cas_registry.operations.tensor_diff import LayerDelta, TensorChange, TensorDelta, TensorDiff
    from cas_registry.operations.tensors import TensorInfo
    from cas_registry.operations.usage import Family, ModelUsage, Usage, UsageReport, VersionUsage
    from cas_registry.operations.watching import Change, What

__all__ = [
    "Assessment",
    "BisectNext",
    "BisectReport",
    "BisectStep",
    "BlameReport",
    "Blamed",
    "Board",
    "BoundFolder",
    "Card",
    "Change",
    "CheckoutPlan",
    "CheckoutReport",
    "CodecShare",
    "CollectReport",
    "CollectionInfo",
    "Column",
    "CommitPlan",
    "CommitReport",
    "ComparedRow",
    "Comparison",
    "Deployment",
    "DoctorReport",
    "Edge",
    "Expiry",
    "ExportFormat",
    "ExportReport",
    "ExportedFile",
    "Family",
    "FetchReport",
    "FileInfo",
    "FileValue",
    "FolderState",
    "ForkReport",
    "Found",
    "FsckReport",
    "Holding",
    "ImportReport",
    "ImportedTag",
    "ImportedVersion",
    "Input",
    "InputCheck",
    "InputState",
    "InputsReport",
    "Judgement",
    "KnownFramework",
    "Ladder",
    "LayerDelta",
    "Lineage",
    "Lock",
    "LogRecord",
    "Manifest",
    "MergeReport",
    "Model",
    "ModelStats",
    "ModelUsage",
    "Move",
    "MoveReport",
    "NoteRecord",
    "NoteReport",
    "OfflineRegistry",
    "OnLoad",
    "Outcome",
    "Proof",
    "RefInfo",
    "Registry",
    "RegistryStats",
    "Relation",
    "ReleaseInfo",
    "ReleaseReport",
    "Reload",
    "RepackReport",
    "RepairReport",
    "RetireReport",
    "SavedObject",
    "Schema",
    "SearchResult",
    "Section",
    "SignReport",
    "Signer",
    "SourceNode",
    "Standing",
    "StatusReport",
    "Stay",
    "TensorChange",
    "TensorDelta",
    "TensorDiff",
    "TensorInfo",
    "TensorValue",
    "Usage",
    "UsageReport",
    "Verdict",
    "Verification",
    "Version",
    "VersionDiff",
    "VersionInfo",
    "VersionNode",
    "VersionUsage",
    "What",
    "World",
    "bind_folder",
    "check",
    "check_may_ask",
    "diagnose",
    "dot",
    "find_binding",
    "has_seen",
    "init_registry",
    "known_frameworks",
    "mermaid",
    "open_offline",
    "open_registry",
    "plain_options",
    "registry_over",
    "remember_version",
    "repair",
    "run_events",
    "verify_folder",
]

_REPORTS = {
    "Assessment": "promotion",
    "BisectNext": "bisect",
    "BisectReport": "bisect",
    "BisectStep": "bisect",
    "BlameReport": "blame",
    "Blamed": "blame",
    "Board": "stages",
    "Card": "card",
    "Change": "watching",
    "CheckoutPlan": "checkout",
    "CheckoutReport": "checkout",
    "CodecShare": "ladder",
    "CollectReport": "collection",
    "CollectionInfo": "collection",
    "CommitPlan": "plan",
    "CommitReport": "commit",
    "ComparedRow": "comparison",
    "Comparison": "comparison",
    "Deployment": "deploy",
    "DoctorReport": "doctor",
    "Edge": "origins",
    "Expiry": "retention",
    "ExportFormat": "export",
    "ExportReport": "export",
    "ExportedFile": "export",
    "Family": "usage",
    "FetchReport": "fetch",
    "FileValue": "comparison",
    "ForkReport": "fork",
    "Found": "index",
    "FsckReport": "fsck",
    "Holding": "index",
    "ImportReport": "importing.engine",
    "ImportedTag": "importing.engine",
    "ImportedVersion": "importing.engine",
    "InputCheck": "check_inputs",
    "InputState": "check_inputs",
    "InputsReport": "check_inputs",
    "Judgement": "bisect",
    "Ladder": "ladder",
    "LayerDelta": "tensor_diff",
    "Lineage": "origins",
    "Lock": "lock",
    "LogRecord": "history",
    "MergeReport": "merge",
    "ModelStats": "stats",
    "ModelUsage": "usage",
    "MoveReport": "refs",
    "NoteRecord": "notes",
    "NoteReport": "notes",
    "Outcome": "deploy",
    "Proof": "prove",
    "RegistryStats": "stats",
    "Relation": "origins",
    "ReleaseInfo": "release",
    "ReleaseReport": "release",
    "Reload": "deploy",
    "RepackReport": "repack",
    "RepairReport": "repair",
    "RetireReport": "retire",
    "SearchResult": "search",
    "Section": "comparison",
    "SignReport": "signing",
    "Signer": "signing",
    "SourceNode": "origins",
    "Standing": "stages",
    "StatusReport": "status",
    "Stay": "index",
    "TensorChange": "tensor_diff",
    "TensorDelta": "tensor_diff",
    "TensorDiff": "tensor_diff",
    "TensorInfo": "tensors",
    "TensorValue": "comparison",
    "Usage": "usage",
    "UsageReport": "usage",
    "Verdict": "rules",
    "Verification": "signing",
    "VersionDiff": "diff",
    "VersionNode": "origins",
    "VersionUsage": "usage",
    "What": "watching",
    "dot": "lineage_graphs",
    "mermaid": "lineage_graphs",
    "run_events": "openlineage",
}  # what is exported here -> the operation that it comes from


def __getattr__(name: str) -> Any:
    if name == "KnownFramework":
        from cas_registry.frameworks.listing import KnownFramework

        return KnownFramework
    if name in _REPORTS:
        return getattr(importlib.import_module(f"cas_registry.operations.{_REPORTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def open_registry(
    url: AnyPath, world: World, *, storage_options: Mapping[str, Any] | None = None, offline: bool = False
) -> Registry:
    """The registry at `url`. NotFoundError if there is none.

    `offline`: a remote store is not asked for anything; answers come from what this machine keeps of it, and OfflineError says what that does
    not have. What would write raises it too. A registry in a folder is opened as ever.
    """
    if offline and (place := remote_url(fspath(url))):
        from cas_registry.face.keeping import open_without_store

        return Registry(open_without_store(place, world), world)
    return Registry(open_stores(open_backend(fspath(url), storage_options)), world)


def open_offline(url: AnyPath, world: World, *, storage_options: Mapping[str, Any] | None = None) -> OfflineRegistry:
    """What this machine has seen of the registry at `url`, for searching while it cannot be reached. No request is made."""
    place = fspath(url)
    return OfflineRegistry(remote_url(place) or open_backend(place, storage_options).url, world)


def check_may_ask(url: AnyPath, *, offline: bool) -> None:
    """OfflineError where the store at `url` is remote and not to be asked: for what looks after the store itself."""
    place = remote_url(fspath(url)) if offline else None
    if place is not None:
        from cas_registry.store.offline import refusal

        raise refusal(place)


def has_seen(url: AnyPath, world: World) -> bool:
    """Whether this machine keeps something of the remote registry at `url`, so that it may answer offline."""
    from cas_registry.face import keeping

    place = remote_url(fspath(url))
    return place is not None and keeping.has_seen(place, world)


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
    return mend(backend, world, sources, source_options, read_data=read_data, dry_run=dry_run, progress=progress)


def diagnose(url: AnyPath, world: World, *, storage_options: Mapping[str, Any] | None = None) -> DoctorReport:
    """Check a registry's URL end to end: reachability, rights, create-if-absent, clock, cache, versions. Raises nothing of its own."""
    from cas_registry.operations.doctor import examine

    return examine(fspath(url), storage_options or {}, cache_folder=world.cache_folder, clock_ns=world.clock_ns)


def known_frameworks() -> list[KnownFramework]:
    """The frameworks whose objects `Model.save` and `Model.load` know, in the order in which they are asked, and what of them is installed."""
    from cas_registry.frameworks.listing import known_frameworks as known

    return known()


def verify_folder(
    folder: AnyPath,
    identity: str | None = None,
    *,
    lock: AnyPath | None = None,
    model: str | None = None,
    progress: Progress | None = None,
) -> Proof:
    """Prove, without any registry, that a folder holds exactly one version: the one whose commit or tree has this id, or the one in a lock file.

    Every byte of the folder is read. For a commit's id its bytes are looked for in `lock`, else in what a checkout by a lock file left in the folder; an id
    that is none of those commits is taken for a tree's. Raises NotFoundError, InvalidInputError.
    """
    from cas_registry.operations.prove import choose_locked, prove_folder

    path = Path(fspath(folder))
    locked = choose_locked(path, identity, Path(fspath(lock)) if lock is not None else None, model)
    wanted = identity or (locked.id.hex if locked else "")
    return prove_folder(path, wanted, locked, progress=progress or NoProgress())


def registry_over(backend: Backend, world: World) -> Registry:
    """The registry on a backend made by hand: for counting requests, for tests."""
    return Registry(open_stores(backend), world)
