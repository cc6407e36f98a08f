"""Artifacts of Weights & Biases that are on this machine (docs.wandb.ai): those that runs in offline mode logged. Those that were downloaded are
read by `importing/wandb_downloads.py`.

    wandb/offline-run-DATE-ID/run-ID.wandb   what the run did: config, summary, and the artifacts that it logged, with the MD5 of each file
    DATA/artifacts/staging/…                 the files, until the run is synchronised; DATA is WANDB_DATA_DIR, or ~/.local/share/wandb
    CACHE/artifacts/obj/md5/…                the files, where they are kept; CACHE is WANDB_CACHE_DIR, or ~/.cache/wandb

An artifact is a model, each time that a run logged it a version. Its own time is not on disk: that of its run is taken. Aliases become tags. Artifacts
of runs that were online, files that are references, and what was deleted with the staging folder are not to be had here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cas_registry.errors import InvalidInputError, LimitError, NotFoundError, RegistryError
from cas_registry.model.canonical import Scalar
from cas_registry.operations.importing import naming
from cas_registry.operations.importing.foreign import (
    ForeignTag,
    ForeignVersion,
    Layout,
    Source,
    SourceOptions,
    Unreadable,
    reading,
)
from cas_registry.operations.importing.likeness import nothing_of
from cas_registry.operations.importing.wandb_downloads import find_downloads
from cas_registry.operations.importing.wandb_log import LoggedArtifact, LoggedFile, LoggedRun, read_log
from cas_registry.redaction import redact

MAX_LOG_BYTES = 1024**3  # of one run's file, which is read as a whole
MAX_MANIFEST_BYTES = 256 * 1024 * 1024
_RUN = re.compile(r"(?:offline-)?run-(?P<date>\d{8}_\d{6})-(?P<id>.+)")
_OWN = "_wandb"  # what W&B itself puts into config and summary
_DIGEST_BYTES = 16  # of MD5, and of XXH128
_PIECE_BYTES = 1024 * 1024


def open_source(place: str, options: SourceOptions) -> Source:
    """The runs in this folder, in its `wandb`, or the one run that this folder is; where there are none, the artifacts that were downloaded to it."""
    folder = Path(place)
    for root in (folder, folder / "wandb"):
        if _RUN.fullmatch(root.name) or any(_RUN.fullmatch(path.name) for path in (root.iterdir() if root.is_dir() else ())):
            return WandbSource(root.resolve(), Path(options.objects) if options.objects else None, tuple(options.types))
    if downloads := find_downloads(folder):
        return downloads
    if any((folder / name).is_dir() for name in ("obj", "artifacts/obj", "staging", "artifacts/staging")):
        raise NotFoundError(
            f"{place} holds what W&B keeps of files, without their names: import the folder with the runs (wandb), and give this one as --objects",
            path=place,
        )
    raise nothing_of(place, "a folder with runs of W&B (offline-run-…) or artifacts that were downloaded (NAME:v0)")


@dataclass(frozen=True, slots=True)
class WandbSource:
    """A folder of runs, which is only read, and another one in which files may be kept by their MD5."""

    folder: Path
    cache: Path | None = None
    types: tuple[str, ...] = ("model",)
    kind: str = "wandb"

    @property
    def place(self) -> str:
        return str(self.folder)

    def versions(self) -> Iterator[ForeignVersion | Unreadable]:
        runs = (
            [self.folder]
            if _RUN.fullmatch(self.folder.name)
            else sorted(path for path in self.folder.iterdir() if _RUN.fullmatch(path.name))
        )
        found: list[tuple[int, ForeignVersion]] = []
        others: set[str] = set()
        failed = False
        for run in runs:
            for file in sorted(run.glob("run-*.wandb")):
                try:
                    with reading(str(file)):
                        logged = read_log(_whole(file, MAX_LOG_BYTES), what=str(file))
                except RegistryError as error:
                    failed = True
                    yield Unreadable(None, run.name, error.message)
                    continue
                for artifact in logged.artifacts:
                    if artifact.type not in self.types:
                        others.add(artifact.type)
                    else:
                        try:
                            with reading(f"{logged.id}/{artifact.name}"):
                                found.append((logged.start_ms or 0, self._version(run, logged, artifact)))
                        except RegistryError as error:
                            failed = True
                            yield Unreadable(artifact.name, f"{logged.id}/{artifact.name}", error.message)
        if others and not (found or failed):
            there = ", ".join(f"--type {kind}" for kind in sorted(others))
            raise NotFoundError(
                f"{self.place} has no artifact of the type {' or '.join(self.types)}; of others it has: {there}",
                path=self.place,
            )
        yield from (version for _, version in sorted(found, key=lambda item: (item[1].model, item[0])))

    def _version(self, folder: Path, run: LoggedRun, artifact: LoggedArtifact) -> ForeignVersion:
        about = _about(folder)
        config = {name: value for name, value in run.config.items() if name != _OWN}
        summary = {name: value for name, value in run.summary.items() if not name.startswith("_")}
        metrics = naming.scalars(summary, what="metric")
        labels: dict[str, Scalar] = {
            **naming.scalars(artifact.metadata, what="label"),
            **naming.texts(
                {
                    "wandb.run": run.id,
                    "wandb.run_name": run.name,
                    "wandb.project": run.project,
                    "wandb.entity": run.entity,
                    "wandb.type": artifact.type,
                    "wandb.digest": artifact.digest,
                    "wandb.tags": ", ".join((*run.tags, *artifact.tags)),
                }
            ),
        }
        told_git = about.get("git")
        git: Mapping[str, Any] = told_git if isinstance(told_git, Mapping) else {}
        code = {
            "commit": run.commit or git.get("commit"),
            "repository": redact(run.repository or str(git.get("remote") or "")),
            "entry_point": about.get("program"),
        }
        return ForeignVersion(
            model=artifact.name.partition(":")[0],
            id=artifact.client_id or f"{run.id}/{artifact.name}/{artifact.digest}",
            name=f"{run.id}/{artifact.name}",
            lay_out=self._layout(artifact),
            author=naming.author(run.entity or about.get("username") or about.get("email")),
            time_ms=run.start_ms,
            message=naming.message(artifact.description or run.notes or f"{artifact.name} of run {run.name or run.id}"),
            params=naming.scalars(config, what="param"),
            metrics={name: value for name, value in metrics.items() if isinstance(value, int | float)},
            labels=labels,
            environment=naming.texts({"python": about.get("python"), "os": about.get("os")}),
            code=naming.texts(code),
            tags=tuple(ForeignTag(alias, f"alias {alias} of {artifact.name}, run {run.id}") for alias in artifact.aliases),
            size_bytes=sum(file.size_bytes for file in artifact.files) if artifact.files else None,
        )

    def _layout(self, artifact: LoggedArtifact) -> Layout:
        def lay_out(scratch: Path) -> Path:
            files = artifact.files or tuple(_listed(artifact.manifest_file))
            for file in files:
                target = scratch / naming.inside(file.path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(self._staged(file, artifact.algorithm))
            return scratch

        return lay_out

    def _staged(self, file: LoggedFile, algorithm: str) -> Path:
        """Where the bytes of a file are, once they are known to be the ones."""
        if file.reference:
            raise InvalidInputError(f"{file.path} is a reference to {redact(file.reference)[:200]}: W&B never had its bytes")
        digest = _hexadecimal(file.digest)
        kept_as = algorithm.lower() or "md5"
        kept = [self.cache / Path(*parts, kept_as, digest[:2], digest[2:]) for parts in _IN_CACHE] if self.cache else []
        for path in [*([Path(file.local_path)] if file.local_path else []), *kept]:
            if path.is_symlink() or not path.is_file():
                continue
            found = _digest_of(algorithm)
            with reading(str(path)), path.open("rb") as opened:
                while piece := opened.read(_PIECE_BYTES):
                    found.update(piece)
            if found.hexdigest() == digest:
                return path.resolve()
            raise InvalidInputError(f"{path} has other bytes than {file.path} had when it was logged")
        raise NotFoundError(
            f"the bytes of {file.path} are not on this machine: neither staged at {file.local_path or 'a path'} nor in a cache (--objects)"
        )


_IN_CACHE = (("artifacts", "obj"), ("obj",))  # below the cache folder, or that of artifacts


def _digest_of(algorithm: str) -> Any:
    """Something to reckon the digest with. NotFoundError where its package is not installed, InvalidInputError for one that nobody knows."""
    if not algorithm:
        return hashlib.md5(usedforsecurity=False)
    if algorithm != "XXH128":
        raise InvalidInputError(f"the digests of its files are reckoned by {algorithm[:40]!r}, which is not known here")
    try:
        from xxhash import xxh3_128  # noqa: PLC0415 - of few artifacts
    except ImportError as error:
        raise NotFoundError("the digests of its files are of XXH128: pip install xxhash, and import again") from error
    return xxh3_128()


def _listed(manifest: str) -> Iterator[LoggedFile]:
    """The files of a manifest that lies beside the run's file, as it does for an artifact of many files."""
    import gzip  # noqa: PLC0415 - where there are as many

    if not manifest:
        return
    data = _whole(Path(manifest), MAX_MANIFEST_BYTES)
    if data[:2] == b"\x1f\x8b":
        with gzip.open(manifest) as opened:
            data = opened.read(MAX_MANIFEST_BYTES + 1)
        if len(data) > MAX_MANIFEST_BYTES:
            raise LimitError(f"{manifest} is longer than {MAX_MANIFEST_BYTES:,} bytes")
    for line in data.decode("utf-8").splitlines():
        row = json.loads(line)
        yield LoggedFile(
            str(row["path"]), str(row.get("digest", "")), str(row.get("ref") or ""), int(row.get("size") or 0),
            str(row.get("local_path") or row.get("localPath") or ""),
        )  # fmt: skip


def _about(folder: Path) -> Mapping[str, Any]:
    """What W&B noted of the machine and the program, if it did."""
    path = folder / "files" / "wandb-metadata.json"
    if path.is_symlink() or not path.is_file():
        return {}
    found = json.loads(_whole(path, 1024 * 1024))
    return found if isinstance(found, dict) else {}


def _whole(path: Path, limit: int) -> bytes:
    if not path.is_file():  # a pipe would keep its reader for ever
        raise NotFoundError(f"there is no file {path}", path=str(path))
    with path.open("rb") as opened:
        data = opened.read(limit + 1)
    if len(data) > limit:
        raise LimitError(f"{path} is longer than {limit:,} bytes", path=str(path))
    return data


def _hexadecimal(digest: str) -> str:
    try:
        found = base64.b64decode(digest, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInputError(f"not a digest: {digest[:80]!r}") from error
    if len(found) != _DIGEST_BYTES:
        raise InvalidInputError(f"not a digest of {_DIGEST_BYTES} bytes: {digest[:80]!r}")
    return found.hex()
