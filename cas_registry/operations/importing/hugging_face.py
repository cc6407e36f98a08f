"""A Hugging Face cache, one repository of it, or a folder that was downloaded (huggingface.co/docs/huggingface_hub, guide on the cache).

    models--ORG--NAME/snapshots/COMMIT/…   a version: links into blobs, by the name of the repository's own files
    models--ORG--NAME/refs/NAME            the commit at which a branch or tag of the hub stood
    models--ORG--NAME/blobs/HASH           the bytes, by SHA-256, or by git's SHA-1; or a link into the next
    blobs/XX/HASH                          what several repositories share (huggingface_hub 2), by a hash that is not checked

A snapshot may hold a part of its commit: what was downloaded is what is imported. The cache does not tell who made a commit, nor when;
its author here is who imports, its time when it was downloaded.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cas_registry.errors import InvalidInputError, NotFoundError
from cas_registry.operations.importing import naming
from cas_registry.operations.importing.foreign import ForeignTag, ForeignVersion, Layout, SourceOptions, Unreadable, reading
from cas_registry.operations.importing.likeness import likeness, nothing_of
from cas_registry.operations.importing.places import own_folder

_REPOSITORY = re.compile(r"models--(?P<name>.+)")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA1, _SHA256 = 40, 64  # hex digits
_MAX_REF_BYTES = 1024
_PIECE_BYTES = 1024 * 1024
_SHARED, _SHARED_MARK = "blobs", ".huggingface-shared-blobs"  # beside the repositories
_DOWNLOADS = Path(".cache", "huggingface", "download")  # what `hf download --local-dir` remembers of each file


def open_source(place: str, options: SourceOptions) -> HuggingFaceSource:
    """The cache (`~/.cache/huggingface/hub`), a `models--…` folder of it, or any folder with a model's files."""
    del options
    folder = Path(place)
    if not folder.is_dir():
        raise NotFoundError(f"there is no folder {place}", path=place)
    if not _REPOSITORY.fullmatch(folder.resolve().name) and not _repositories(folder):
        if _repositories(folder / "hub"):
            return HuggingFaceSource((folder / "hub").resolve())  # HF_HOME, in which the cache lies
        _refuse_others(folder, place)
    return HuggingFaceSource(folder.resolve())


@dataclass(frozen=True, slots=True)
class HuggingFaceSource:
    """A folder, which is only read."""

    folder: Path
    kind: str = "huggingface"

    @property
    def place(self) -> str:
        return str(self.folder)

    def versions(self) -> Iterator[ForeignVersion | Unreadable]:
        if _REPOSITORY.fullmatch(self.folder.name):
            yield from _snapshots(self.folder)
            return
        repositories = _repositories(self.folder)
        if not repositories:
            yield self._plain()
        for repository in repositories:
            yield from _snapshots(repository)

    def _plain(self) -> ForeignVersion:
        """A folder as one version: its id is that of the commit it was downloaded from, or that of its files."""
        with reading(str(self.folder)):
            own_folder(self.folder, within=self.folder)  # files alone, and none of elsewhere
            commits = {
                path.read_text("utf-8")[:_MAX_REF_BYTES].partition("\n")[0].strip()
                for path in sorted((self.folder / _DOWNLOADS).rglob("*.metadata"))
            }
            commit = next(iter(commits)) if len(commits) == 1 else ""
            identity = commit if _COMMIT.fullmatch(commit) else _digest_of_all(self.folder)
        return ForeignVersion(
            model=self.folder.name,
            id=identity,
            name=identity[:12],
            lay_out=_without_downloads(self.folder),
            time_ms=_modified_ms(self.folder),
            message=f"{self.folder.name} at {identity[:12]}" if commit else self.folder.name,
            code={"commit": commit} if commit else {},
            size_bytes=sum(path.stat().st_size for path in _files(self.folder)),
        )


def _repositories(cache: Path) -> list[Path]:
    if not cache.is_dir():
        return []
    with reading(str(cache)):
        return sorted(path for path in cache.iterdir() if _REPOSITORY.fullmatch(path.name) and path.is_dir())


def _refuse_others(folder: Path, place: str) -> None:
    """Any folder may be a model's, but not one without files, nor a store of another kind, which has none in its top."""
    with reading(place):
        if any(path.is_file() for path in folder.iterdir()):
            return
        if {"modelstore", "mlflow", "wandb"}.intersection(likeness(place)) or not _files(folder):
            raise nothing_of(place, "a Hugging Face cache, nor a folder with a model's files")


def _snapshots(repository: Path) -> Iterator[ForeignVersion | Unreadable]:
    name = repository.name.removeprefix("models--").replace("--", "/")
    tags: dict[str, list[ForeignTag]] = {}
    refs = repository / "refs"
    with reading(str(repository)):
        for path in sorted(refs.rglob("*")):
            if path.is_file() and not path.is_symlink():
                ref = path.relative_to(refs).as_posix()
                commit = path.read_text("utf-8")[:_MAX_REF_BYTES].strip()
                tags.setdefault(commit, []).append(ForeignTag(_tag_of(ref), f"{ref} of {name}"))
        snapshots = sorted((path for path in (repository / "snapshots").glob("*") if path.is_dir()), key=_modified_ms)
    for snapshot in snapshots:
        commit = snapshot.name
        if not _COMMIT.fullmatch(commit):
            yield Unreadable(name, commit[:80], "a snapshot is called by a commit, 40 hex digits")
            continue
        yield ForeignVersion(
            model=name,
            id=commit,
            name=commit[:12],
            lay_out=_checked(snapshot, repository),
            time_ms=_modified_ms(snapshot),
            message=f"{name} at {commit[:12]}",
            labels={"huggingface.repository": name},
            code={"commit": commit, "repository": f"https://huggingface.co/{name}"},
            tags=tuple(tags.get(commit, ())),
            size_bytes=sum(path.stat().st_size for path in _files(snapshot) if path.is_file()),
        )


def _tag_of(ref: str) -> str:
    """`main` is a branch here, so the hub's is the tag `hub/main`; `refs/pr/1` is `pr/1`."""
    short = ref.removeprefix("refs/")
    return f"hub/{short}" if short in {"main", "master"} else short


def _checked(snapshot: Path, repository: Path) -> Layout:
    def lay_out(scratch: Path) -> Path:
        del scratch
        shared = repository.parent / _SHARED
        folder = own_folder(snapshot, within=repository, also=shared if (shared / _SHARED_MARK).is_file() else None)
        blobs = (repository / "blobs").resolve()
        for path in _files(folder):
            blob = Path(path.parent.resolve(), path.readlink()) if path.is_symlink() else path
            if blob.parent.resolve() == blobs and not _is_its_name(blob):
                raise InvalidInputError(f"{path.name} is not whole: {blob} has other bytes than its name says")
        return folder

    return lay_out


def _without_downloads(folder: Path) -> Layout:
    """The folder's own files, by links, without what the downloader remembers of them."""

    def lay_out(scratch: Path) -> Path:
        root = own_folder(folder, within=folder)
        for path in _files(root):
            target = scratch / naming.inside(path.relative_to(root).as_posix())
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path.resolve())
        return scratch

    return lay_out


def _files(folder: Path) -> list[Path]:
    hidden = folder / _DOWNLOADS.parent
    found = [Path(path, name) for path, _, names in os.walk(folder) for name in names]
    return sorted(path for path in found if not path.is_relative_to(hidden) and ".git" not in path.relative_to(folder).parts)


def _is_its_name(blob: Path) -> bool:
    if len(blob.name) == _SHA256:
        return _digest(blob, hashlib.sha256()) == blob.name
    if len(blob.name) == _SHA1:
        header = f"blob {blob.stat().st_size}\0".encode()
        return _digest(blob, hashlib.sha1(header, usedforsecurity=False)) == blob.name
    return True  # an older hub's own tag, which tells nothing of the bytes


def _digest_of_all(folder: Path) -> str:
    whole = hashlib.sha256()
    for path in _files(folder):
        whole.update(f"{path.relative_to(folder).as_posix()}\0{_digest(path, hashlib.sha256())}\n".encode())
    return whole.hexdigest()


def _digest(path: Path, digest: hashlib._Hash) -> str:
    with path.open("rb") as opened:
        while piece := opened.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _modified_ms(path: Path) -> int:
    return path.stat().st_mtime_ns // 1_000_000
