"""Where a source's files lie: a folder on this machine, or a bucket."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cas_registry.backends import Backend, is_remote
from cas_registry.backends.opening import open_backend
from cas_registry.errors import InvalidInputError, LimitError, NotFoundError
from cas_registry.operations.importing.foreign import reading

_PIECE_BYTES = 16 * 1024 * 1024  # fetched at once
MAX_FILES = 1_000_000  # listed below one folder


class Place(Protocol):
    """Files by their relative paths. What is asked for may not be there (NotFoundError), or lead elsewhere (InvalidInputError)."""

    @property
    def url(self) -> str: ...
    def files(self, folder: str) -> dict[str, int]:
        """The files below a folder, sorted, by their paths from the top, with their sizes; none where there is no such folder."""

    def read(self, path: str, *, limit: int) -> bytes:
        """All of a file. LimitError for one that is longer."""

    def fetch(self, path: str, scratch: Path) -> Path:
        """Where the file is on this machine, after putting it into `scratch` under its own last name if it is not."""

    def has(self, path: str) -> bool:
        """Whether there is such a file."""


def open_place(url: str, storage_options: Mapping[str, Any] | None = None) -> Place:
    """The place at a folder or URL (s3://, gs://, az://). NotFoundError for a folder that is not there."""
    backend = open_backend(url, storage_options)
    if is_remote(backend.url) or backend.url.startswith("memory:"):
        return BucketPlace(backend)
    folder = Path(backend.url)
    if not folder.is_dir():
        raise NotFoundError(f"there is no folder {url}", path=url)
    return FolderPlace(folder)


@dataclass(frozen=True, slots=True)
class FolderPlace:
    """A folder. Links are followed as long as they end in a file below it."""

    root: Path

    @property
    def url(self) -> str:
        return str(self.root)

    def files(self, folder: str) -> dict[str, int]:
        found: dict[str, int] = {}
        with reading(str(self.root / folder)):
            for path, _, names in os.walk(self.root / folder):
                for name in names:
                    file = Path(path, name)
                    status = file.lstat()
                    found[file.relative_to(self.root).as_posix()] = status.st_size
                if len(found) > MAX_FILES:
                    raise LimitError(f"{self.root / folder} holds more than {MAX_FILES:,} files")
        return dict(sorted(found.items()))

    def read(self, path: str, *, limit: int) -> bytes:
        file = self.fetch(path, self.root)
        with reading(str(file)), file.open("rb") as opened:
            data = opened.read(limit + 1)
        if len(data) > limit:
            raise LimitError(f"{file} is longer than {limit:,} bytes")
        return data

    def fetch(self, path: str, scratch: Path) -> Path:
        del scratch
        with reading(path):
            return regular_file(self.root / path, within=self.root)

    def has(self, path: str) -> bool:
        return (self.root / path).is_file()


@dataclass(frozen=True, slots=True)
class BucketPlace:
    """What lies below a prefix of a bucket."""

    backend: Backend

    @property
    def url(self) -> str:
        return self.backend.url

    def files(self, folder: str) -> dict[str, int]:
        found: dict[str, int] = {}
        for item in self.backend.list(f"{folder}/" if folder else ""):
            found[item.key] = item.size_bytes
            if len(found) > MAX_FILES:
                raise LimitError(f"{self.url}/{folder} holds more than {MAX_FILES:,} files")
        return dict(sorted(found.items()))

    def read(self, path: str, *, limit: int) -> bytes:
        data = self.backend.get(path, length=limit + 1)
        if len(data) > limit:
            raise LimitError(f"{self.url}/{path} is longer than {limit:,} bytes")
        return data

    def fetch(self, path: str, scratch: Path) -> Path:
        target = scratch / path.rpartition("/")[2]
        size_bytes = self.backend.stat(path).size_bytes
        with reading(str(target)), target.open("xb") as opened:
            for start in range(0, size_bytes, _PIECE_BYTES):
                opened.write(self.backend.get(path, start=start, length=min(_PIECE_BYTES, size_bytes - start)))
            if opened.tell() != size_bytes:
                raise InvalidInputError(f"{self.url}/{path} changed while it was fetched")
        return target

    def has(self, path: str) -> bool:
        try:
            self.backend.stat(path)
        except NotFoundError:
            return False
        return True


def regular_file(path: Path, *, within: Path, also: Path | None = None) -> Path:
    """The path, if it leads to a file below that folder (or `also`); its links are resolved. InvalidInputError, FileNotFoundError."""
    real = path.resolve(strict=True)
    if not real.is_relative_to(within.resolve()) and not (also and real.is_relative_to(also.resolve())):
        raise InvalidInputError(f"{path} leads out of {within}", path=str(path))
    if not stat.S_ISREG(real.stat().st_mode):
        raise InvalidInputError(f"{path} is no file", path=str(path))
    return real


def own_folder(folder: Path, *, within: Path, also: Path | None = None) -> Path:
    """The folder, once nothing in it leads out of `within`: its files may be links to files there, or in `also`. InvalidInputError, NotFoundError."""
    with reading(str(folder)):
        root = folder.resolve(strict=True)
        if not root.is_relative_to(within.resolve()):
            raise InvalidInputError(f"{folder} leads out of {within}", path=str(folder))
        if not root.is_dir():
            raise NotFoundError(f"there is no folder {folder}", path=str(folder))
        for path, folders, names in os.walk(root, onerror=_raise):
            for name in folders:
                if Path(path, name).is_symlink():
                    raise InvalidInputError(f"{Path(path, name)} is a link to a folder", path=str(Path(path, name)))
            for name in names:
                regular_file(Path(path, name), within=within, also=also)
    return root


def _raise(error: OSError) -> None:
    raise error
