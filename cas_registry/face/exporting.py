"""Versions on their way out, to readers that know no registry."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from cas_registry.errors import InvalidInputError
from cas_registry.face.contents import Contents
from cas_registry.face.world import AnyPath
from cas_registry.model.entry import RefKind
from cas_registry.model.revision import parse_revision
from cas_registry.operations.progress import Progress

if TYPE_CHECKING:
    from cas_registry.operations.export import ExportReport


class Exporting(Contents):
    """A model's versions in the forms that others read."""

    def export(
        self,
        revision: str,
        destination: AnyPath | BinaryIO,
        *,
        format: str | None = None,  # noqa: A002 - the word for it
        metadata: bool = False,
        tag: str | None = None,
        dry_run: bool = False,
        force: bool = False,
        verify: bool | None = None,
        progress: Progress | None = None,
    ) -> ExportReport:
        """Write a version as a `folder`, a `tar` (`.tar`, `.tar.gz` or `.tar.zst`), an `oci` layout (ModelPack) or an `mlflow` model.

        Without `format` it is a tar where `destination` is called like one or is a binary stream, else a folder. The same version is the same
        bytes; what is there already is neither fetched nor written again, and a run that was stopped goes on (an archive begins anew). With
        `metadata` a `cas-version.json` beside the files says what the registry knows of the version, without what looks like a credential. `tag`
        is what an OCI layout calls it (by default `v17`, its number); other versions that are in the layout share their blobs. With `dry_run`
        nothing is written, and the report tells what would be.

        ConflictError where the destination holds something else, unless `force`: files of the export's names are replaced then, and others
        stay. With `verify` (by default where REG_VERIFY is 1) the version is the one that `Model.verify` accepts. InvalidInputError where the
        version has no such form: what MLflow has no loader for, or a name that an OCI layout cannot have. Bytes that go to a stream are verified
        piece by piece before they do, but one that breaks off was written in part.
        """
        from cas_registry.operations.export import ExportRequest, export_version, format_of

        if parse_revision(revision).path:
            raise InvalidInputError(f"{revision} names a file, and an export is of a whole version; reg cat prints a file")
        target = Path(fspath(destination)) if isinstance(destination, (str, PathLike)) else destination
        must_verify = self._world.verify if verify is None else verify
        version, _ = self._chosen(revision, verify=must_verify, lock=None)
        commit = self._stores.objects.read_commit(version.commit)
        found = self._stores.refs(version.model).head()
        tags = [name for name, ref in found[1].of(RefKind.TAG).items() if ref.commit == version.commit] if found else []
        request = ExportRequest(
            version, commit, tuple(tags), target, format_of(target, format), metadata, tag, force=force, dry_run=dry_run
        )
        tools = self._tools(
            target if isinstance(target, Path) else None, cached=self._is_remote, read_only=dry_run, progress=progress
        )
        return export_version(self._stores, request, tools)
