"""A version for others to read: as a folder, a tar, an OCI layout (ModelPack), an MLflow model.

The same version is the same bytes, and a second run over a finished export changes nothing. Nothing takes its name before it is whole and
verified, but for an archive on its way down a pipe.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from cas_registry.errors import ConflictError, InvalidInputError
from cas_registry.model.commit import Commit
from cas_registry.operations.checkout import FolderTools
from cas_registry.operations.exporting.contents import Contents, FileStream, read_contents, with_made
from cas_registry.operations.exporting.folder import export_folder
from cas_registry.operations.exporting.record import RECORD_NAME, encode_record, is_record_of
from cas_registry.operations.transfer import worker_pool
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores

PIPE = "-"  # what a report calls a stream
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst")  # what the name of an archive ends in


class ExportFormat(StrEnum):
    """What an export is."""

    FOLDER = "folder"
    TAR = "tar"
    OCI = "oci"
    MLFLOW = "mlflow"


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What to export, and where to: `destination` is a path, or (of a tar) whatever takes bytes. `tags` are those that stand at the version,
    `metadata` asks for the record of it, `name` is what an OCI layout calls it (its number, by default)."""

    version: Version
    commit: Commit
    tags: tuple[str, ...]
    destination: Path | BinaryIO
    format: ExportFormat
    metadata: bool = False
    name: str | None = None
    force: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file of an export, by its path there (in an OCI layout, where it belongs): whether it was written, or was there already."""

    path: str
    size_bytes: int
    written: bool
    media_type: str | None = None


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was exported; in a dry run, what would be: `written` files are then those that would be.

    `changed` says whether anything was written at all. `name` and `digest` are what an OCI layout has the version by; a dry run knows no digest.
    """

    version: Version
    format: ExportFormat
    destination: str
    files: tuple[ExportedFile, ...]
    changed: bool
    fetched_bytes: int
    dry_run: bool
    name: str | None = None
    digest: str | None = None

    @property
    def size_bytes(self) -> int:
        """Of all files of the export."""
        return sum(file.size_bytes for file in self.files)

    @property
    def written_bytes(self) -> int:
        """Of those that were written."""
        return sum(file.size_bytes for file in self.files if file.written)


def export_version(
    stores: Stores, request: ExportRequest, tools: FolderTools, *, executor: Executor | None = None
) -> ExportReport:
    """Export a version. Raises ConflictError (LocalEditsError) where the destination holds something else, unless it is forced;
    InvalidInputError where the version has no such form; IntegrityError, AccessError, BackendError."""
    contents = read_contents(stores, request.version)
    if request.name is not None and request.format is not ExportFormat.OCI:
        raise InvalidInputError("a name (--tag) is given to a version in an OCI layout alone")
    if request.metadata:
        contents = with_made(contents, {RECORD_NAME: encode_record(request.version, request.commit, request.tags, contents)})
    if not isinstance(request.destination, Path):
        if request.format is not ExportFormat.TAR:
            raise InvalidInputError(f"only a tar can be written to a stream, not the format {request.format.value}")
        return _pipe_archive(stores, request, request.destination, contents, tools, executor)
    match request.format:
        case ExportFormat.FOLDER:
            return _export_folder(stores, request, request.destination, contents, tools)
        case ExportFormat.TAR:
            return _export_archive(stores, request, request.destination, contents, tools, executor)
        case ExportFormat.OCI:
            return _export_layout(stores, request, request.destination, contents, tools, executor)
        case ExportFormat.MLFLOW:
            from cas_registry.operations.exporting.mlflow_model import mlflow_files  # noqa: PLC0415 - loads PyYAML

            made = mlflow_files(request.version, request.commit, contents, _opener(stores, request.version))
            return _export_folder(stores, request, request.destination, with_made(contents, made), tools)


def format_of(destination: Path | BinaryIO, asked: str | None) -> ExportFormat:
    """The format asked for, else what the destination looks like. InvalidInputError for one that there is not."""
    if asked is None:
        stream = not isinstance(destination, Path)
        return ExportFormat.TAR if stream or destination.name.lower().endswith(ARCHIVES) else ExportFormat.FOLDER
    try:
        return ExportFormat(asked)
    except ValueError as error:
        known = ", ".join(kind.value for kind in ExportFormat)
        raise InvalidInputError(f"there is no format {asked!r} of exports; there are: {known}") from error


def _export_folder(
    stores: Stores, request: ExportRequest, folder: Path, contents: Contents, tools: FolderTools
) -> ExportReport:
    def may_renew(path: str, found: bytes) -> bool:
        return path == RECORD_NAME and is_record_of(found, request.version)  # tags move

    written, fetched_bytes = export_folder(
        stores, request.version, folder, contents, tools, may_renew=may_renew, force=request.force, dry_run=request.dry_run
    )
    files = tuple(ExportedFile(path, size_bytes, path in written) for path, size_bytes in contents.sizes.items())
    return _report(request, files, changed=bool(written), fetched_bytes=fetched_bytes)


def _pipe_archive(
    stores: Stores, request: ExportRequest, sink: BinaryIO, contents: Contents, tools: FolderTools, executor: Executor | None
) -> ExportReport:
    from cas_registry.operations.exporting.archive import write_archive  # noqa: PLC0415 - loads zstandard

    stream = FileStream(stores, request.version, tools.progress)
    if not request.dry_run:
        with worker_pool(executor) as pool:
            write_archive(sink, contents, request.commit.time_ms // 1000, stream, pool)
    return _report(request, _all(contents, written=True), changed=True, fetched_bytes=stream.fetched_bytes)


def _export_archive(
    stores: Stores, request: ExportRequest, target: Path, contents: Contents, tools: FolderTools, executor: Executor | None
) -> ExportReport:
    from cas_registry.operations.exporting.archive import (  # noqa: PLC0415 - loads zstandard
        compression_of,
        is_archive_of,
        write_archive,
    )
    from cas_registry.operations.exporting.aside import Aside, disk_errors  # noqa: PLC0415

    compression, time_s = compression_of(target), request.commit.time_ms // 1000
    if target.exists():
        with disk_errors("read", target), target.open("rb") as file:
            same = is_archive_of(file, compression, contents, time_s)
        if same:
            return _report(request, _all(contents, written=False), changed=False, fetched_bytes=0)
        if not request.force:
            raise ConflictError(f"{target} is there and is not this version; give --force to replace it", path=str(target))
    if request.dry_run:
        return _report(request, _all(contents, written=True), changed=True, fetched_bytes=0)
    stream = FileStream(stores, request.version, tools.progress)
    with Aside(target.parent) as aside, worker_pool(executor) as pool:
        with disk_errors("write", target), compression.writing(aside.file) as sink:
            write_archive(sink, contents, time_s, stream, pool)
        aside.place(target, replace=request.force)
    return _report(request, _all(contents, written=True), changed=True, fetched_bytes=stream.fetched_bytes)


def _export_layout(
    stores: Stores, request: ExportRequest, root: Path, contents: Contents, tools: FolderTools, executor: Executor | None
) -> ExportReport:
    from cas_registry.operations.exporting.artifact import add_version  # noqa: PLC0415 - of this format alone

    stream = FileStream(stores, request.version, tools.progress)
    added = add_version(
        stores, request.version, request.commit, root, contents, stream, name=request.name, force=request.force,
        dry_run=request.dry_run, executor=executor,
    )  # fmt: skip
    files = tuple(
        ExportedFile(path, size_bytes, path in added.written, added.media_types[path])
        for path, size_bytes in contents.sizes.items()
    )
    report = _report(request, files, changed=added.changed, fetched_bytes=stream.fetched_bytes)
    return replace(report, name=added.name, digest=added.digest)


def _opener(stores: Stores, version: Version) -> Callable[[str], BinaryIO]:
    """What opens a file of the version by its path."""
    from cas_registry.operations.reading import open_file  # noqa: PLC0415

    return lambda path: open_file(stores, version, path)


def _all(contents: Contents, *, written: bool) -> tuple[ExportedFile, ...]:
    return tuple(ExportedFile(path, size_bytes, written) for path, size_bytes in contents.sizes.items())


def _report(request: ExportRequest, files: tuple[ExportedFile, ...], *, changed: bool, fetched_bytes: int) -> ExportReport:
    where = str(request.destination.absolute()) if isinstance(request.destination, Path) else PIPE
    return ExportReport(request.version, request.format, where, files, changed, fetched_bytes, request.dry_run)
