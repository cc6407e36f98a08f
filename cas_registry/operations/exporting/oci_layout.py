"""An OCI image layout on disk, to which versions are added (github.com/opencontainers/image-spec, image-layout.md).

Blobs first, the index last: a layout whose index names a manifest has all of it. What is there already is believed only once it was hashed,
by its SHA-256 and by the registry's BLAKE3, so a run that was stopped goes on at the file where it stopped, and what an earlier
version brought is neither fetched nor written again.
"""

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blake3

from cas_registry.codecs import Buffer
from cas_registry.errors import ConflictError, InvalidInputError
from cas_registry.model.ids import FileId
from cas_registry.operations.exporting.aside import Aside, disk_errors, write_whole
from cas_registry.operations.exporting.modelpack import ARTIFACT_TYPE, BLAKE3, COMMIT, MANIFEST_TYPE, encode
from cas_registry.worktree.scan import TEMPORARY_PREFIX

MAX_DOCUMENT_BYTES = 4 * 1024 * 1024  # what registries take of a manifest, by the distribution specification
REF_NAME = "org.opencontainers.image.ref.name"
_LAYOUT = {"imageLayoutVersion": "1.0.0"}
_EMPTY_INDEX = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}
_REF = re.compile(r"[A-Za-z0-9]+(?:(?:[-._:@+/]|--)[A-Za-z0-9]+)*")  # annotations.md, org.opencontainers.image.ref.name
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_READ_BYTES = 1024 * 1024
_MAX_REF_BYTES = 255


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob's SHA-256 in hex, and its size."""

    digest: str
    size_bytes: int


def check_ref_name(name: str) -> str:
    """A name as the specification has it, or InvalidInputError."""
    if len(name) > _MAX_REF_BYTES or not _REF.fullmatch(name):
        raise InvalidInputError(
            f"{name!r} cannot be a name in an OCI layout: letters and digits, with one of - . _ : @ + / between them", name=name
        )
    return name


class OciLayout:
    """A layout in the folder `root`, made with the first blob. ConflictError where the folder holds something else."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._blobs = root / "blobs" / "sha256"
        with disk_errors("read", root):
            names = {entry.name for entry in root.iterdir()} if root.exists() else set()
        if names and "oci-layout" not in names and not names <= {"blobs"}:
            raise ConflictError(
                f"{root} holds something else than an OCI layout; export into a folder of its own", path=str(root)
            )
        if "oci-layout" in names and self._document(root / "oci-layout").get("imageLayoutVersion") != "1.0.0":
            raise ConflictError(f"{root} is an OCI layout of another version than 1.0.0", path=str(root))

    def prepare(self) -> None:
        """Make the folders and the file that says what this is."""
        with disk_errors("create", self._blobs):
            self._blobs.mkdir(parents=True, exist_ok=True)
        if not (self._root / "oci-layout").exists():
            write_whole(self._root / "oci-layout", encode(_LAYOUT))

    def find(self, wanted: Mapping[FileId, int]) -> dict[FileId, Blob]:
        """The blobs of files that are wanted (each with its size), as far as they are here and whole."""
        told = self._told_files()
        known = {blob.digest for blob in told.values()}
        found = {file: blob for file, size in wanted.items() if (blob := told.get(file.hex)) and self._is(blob, file, size)}
        sizes = {size for file, size in wanted.items() if file not in found}
        for path in self._untold(known, sizes):
            file, digest = _hash(path)
            if file in wanted and digest == path.name:
                found[file] = Blob(digest, wanted[file])
        return found

    def add(self, parts: Iterable[Buffer]) -> Blob:
        """Write a blob. Nothing stays behind if `parts` raises."""
        hasher, size_bytes = hashlib.sha256(), 0
        with Aside(self._blobs) as aside:
            for data in parts:
                with disk_errors("write", self._blobs):
                    aside.file.write(data)
                hasher.update(data)
                size_bytes += len(data)
            digest = hasher.hexdigest()
            aside.place(self._blobs / digest, replace=True)
        return Blob(digest, size_bytes)

    def add_small(self, data: bytes) -> tuple[Blob, bool]:
        """A small blob, and whether it was not there as it should be."""
        digest = hashlib.sha256(data).hexdigest()
        path = self._blobs / digest
        if path.exists() and _hash(path)[1] == digest:
            return Blob(digest, len(data)), False
        return self.add([data]), True

    def check_name(self, name: str, commit: str, *, force: bool) -> None:
        """ConflictError where the name stands at something else than the version of this commit, unless `force`."""
        self._check_name(self._index(), name, commit, force=force)

    def has_name(self, name: str, commit: str) -> bool:
        """Whether a name stands at the version of this commit."""
        return any(_name_of(item) == name and _commit_of(self._manifest(item)) == commit for item in self._index()["manifests"])

    def name(self, name: str, manifest: Blob, commit: str, *, force: bool) -> bool:
        """Let a name stand at a manifest; says whether the index was changed. Whoever else names something at the same time waits."""
        descriptor = {
            "mediaType": MANIFEST_TYPE,
            "artifactType": ARTIFACT_TYPE,
            "digest": f"sha256:{manifest.digest}",
            "size": manifest.size_bytes,
            "annotations": {REF_NAME: name},
        }
        with self._alone():
            index = self._index()
            self._check_name(index, name, commit, force=force)
            before = index["manifests"]
            after = [descriptor if _name_of(item) == name else item for item in before]
            if descriptor not in after:
                after.append(descriptor)
            if after == before:
                return False
            data = encode({**index, "manifests": after})
            if len(data) > MAX_DOCUMENT_BYTES:
                raise InvalidInputError(f"{self._root} has no room in its index; export into another layout")
            write_whole(self._root / "index.json", data)
            return True

    def _check_name(self, index: Mapping[str, Any], name: str, commit: str, *, force: bool) -> None:
        for item in index["manifests"]:
            if _name_of(item) == name and not force and _commit_of(self._manifest(item)) != commit:
                raise ConflictError(
                    f"{name} is another artifact in {self._root}; give this one another name (--tag), or --force to move it",
                    name=name,
                )

    def _index(self) -> dict[str, Any]:
        path = self._root / "index.json"
        if not path.exists():
            return dict(_EMPTY_INDEX)
        found = self._document(path)
        manifests = found.get("manifests")
        if not isinstance(manifests, list) or not all(isinstance(item, dict) for item in manifests):
            raise ConflictError(f"{path} is no index of an OCI layout; export into a folder of its own", path=str(path))
        return found

    def _manifest(self, descriptor: Mapping[str, Any]) -> dict[str, Any]:
        """The manifest that the index names; empty where it cannot be read."""
        match = _DIGEST.fullmatch(str(descriptor.get("digest")))
        path = self._blobs / match[1] if match else None
        return self._document(path) if path and path.is_file() else {}

    def _document(self, path: Path) -> dict[str, Any]:
        """A JSON object. ConflictError for anything else: it is not ours to replace."""
        with disk_errors("read", path), path.open("rb") as file:
            data = file.read(MAX_DOCUMENT_BYTES + 1)
        try:
            found = json.loads(data) if len(data) <= MAX_DOCUMENT_BYTES else None
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise ConflictError(f"{path} is not what an OCI layout has there; export into a folder of its own", path=str(path))
        return found

    def _told_files(self) -> dict[str, Blob]:
        """What the layout's manifests say of their layers: blobs by the ids of files. To be proven."""
        told: dict[str, Blob] = {}
        for item in self._index()["manifests"]:
            layers = self._manifest(item).get("layers")
            for layer in layers if isinstance(layers, list) else ():
                annotations = layer.get("annotations") if isinstance(layer, dict) else None
                if not isinstance(annotations, dict) or not isinstance(layer.get("size"), int):
                    continue
                if match := _DIGEST.fullmatch(str(layer.get("digest"))):
                    told[str(annotations.get(BLAKE3))] = Blob(match[1], layer["size"])
        return told

    def _is(self, blob: Blob, file: FileId, size_bytes: int) -> bool:
        path = self._blobs / blob.digest
        return blob.size_bytes == size_bytes and path.is_file() and _hash(path) == (file, blob.digest)

    def _untold(self, known: set[str], sizes: set[int]) -> Iterator[Path]:
        """The blobs that no manifest tells of and that have one of these sizes: what a run that was stopped left."""
        if not sizes or not self._blobs.is_dir():
            return
        with disk_errors("list", self._blobs), os.scandir(self._blobs) as entries:
            left = [
                entry.name
                for entry in entries
                if entry.name not in known
                and not entry.name.startswith(TEMPORARY_PREFIX)
                and entry.is_file(follow_symlinks=False)
                and entry.stat().st_size in sizes
            ]
        yield from (self._blobs / name for name in sorted(left))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else changes the index meanwhile. Where the file system has no locks, one writer at a time is the caller's to see to."""
        with disk_errors("lock", self._root), (self._root / "oci-layout").open("rb") as file:
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _hash(path: Path) -> tuple[FileId, str]:
    """The BLAKE3 and the SHA-256 of a file, by reading it once."""
    blake, sha = blake3.blake3(), hashlib.sha256()
    with disk_errors("read", path), path.open("rb") as file:
        while data := file.read(_READ_BYTES):
            blake.update(data)
            sha.update(data)
    return FileId(blake.digest()), sha.hexdigest()


def _name_of(descriptor: Mapping[str, Any]) -> str | None:
    annotations = descriptor.get("annotations")
    found = annotations.get(REF_NAME) if isinstance(annotations, dict) else None
    return found if isinstance(found, str) else None


def _commit_of(manifest: Mapping[str, Any]) -> str | None:
    annotations = manifest.get("annotations")
    found = annotations.get(COMMIT) if isinstance(annotations, dict) else None
    return found if isinstance(found, str) else None
