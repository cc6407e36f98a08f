"""Artifacts of Weights & Biases that were downloaded (`artifact.download()`, `wandb artifact get`).

    artifacts/NAME:v3/…     the files of a version (NAME-v3 where a file system has no colons)

There is nothing beside the files: no author, no type, no aliases, no metadata, and the time is that of the download. What of the folder is a model
and what is data, only its owner knows.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cas_registry.errors import RegistryError
from cas_registry.operations.importing.foreign import ForeignVersion, Unreadable, reading
from cas_registry.operations.importing.places import own_folder

_FOLDER = "artifacts"  # where W&B puts downloads
_VERSION = re.compile(r"(?P<name>.+):v(?P<number>\d{1,9})")
_WITHOUT_COLON = re.compile(r"(?P<name>.+)-v(?P<number>\d{1,9})")
_PIECE_BYTES = 1024 * 1024


def find_downloads(folder: Path) -> WandbDownloads | None:
    """The versions in this folder, in its `artifacts`, or the one version that this folder is; None where there is none."""
    own = folder.resolve()
    if (found := _VERSION.fullmatch(own.name)) and own.is_dir():
        return WandbDownloads(own, ((found["name"], int(found["number"]), own),))
    for root in (own, own / _FOLDER):
        form = (_VERSION, _WITHOUT_COLON) if root.name == _FOLDER else (_VERSION,)
        if versions := _versions(root, form):
            return WandbDownloads(root, tuple(versions))
    return None


@dataclass(frozen=True, slots=True)
class WandbDownloads:
    """Folders of versions, by name and number, which are only read."""

    folder: Path
    found: tuple[tuple[str, int, Path], ...]
    kind: str = "wandb"

    @property
    def place(self) -> str:
        return str(self.folder)

    def versions(self) -> Iterator[ForeignVersion | Unreadable]:
        for name, number, folder in self.found:
            called = f"{name}:v{number}"
            try:
                with reading(called):
                    yield _version(name, number, folder)
            except RegistryError as error:
                yield Unreadable(name, called, error.message)


def _version(name: str, number: int, folder: Path) -> ForeignVersion:
    """Its id has a digest of its files: several projects have a version of the same name."""
    called = f"{name}:v{number}"
    own_folder(folder, within=folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return ForeignVersion(
        model=name,
        id=f"{called}@{_digest(folder, files)}",
        name=called,
        lay_out=lambda _: own_folder(folder, within=folder),
        time_ms=folder.stat().st_mtime_ns // 1_000_000,
        message=f"{called}, as it was downloaded",
        labels={"wandb.version": number},
        size_bytes=sum(path.stat().st_size for path in files),
    )


def _versions(root: Path, forms: tuple[re.Pattern[str], ...]) -> list[tuple[str, int, Path]]:
    found = [
        (match["name"], int(match["number"]), path)
        for path in (root.iterdir() if root.is_dir() else ())
        if path.is_dir()
        and not path.is_symlink()
        and (match := next(filter(None, (form.fullmatch(path.name) for form in forms)), None))
    ]
    return sorted(found)


def _digest(folder: Path, files: list[Path]) -> str:
    whole = hashlib.sha256()
    for path in files:
        own = hashlib.sha256()
        with path.open("rb") as opened:
            while piece := opened.read(_PIECE_BYTES):
                own.update(piece)
        whole.update(f"{path.relative_to(folder).as_posix()}\0{own.hexdigest()}\n".encode())
    return whole.hexdigest()[:32]
