"""What a folder looks like to somebody who came with the wrong word for it, or to the wrong folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from cas_registry.errors import NotFoundError

_RUN = re.compile(r"(?:offline-)?run-\d{8}_\d{6}-.+")
_DOWNLOADED = re.compile(r".+:v\d+")
_LFS = b"filter=lfs"
_MAX_LOOKED_AT = 10_000  # entries of a folder
_MAX_ATTRIBUTES_BYTES = 64 * 1024


def likeness(place: str) -> list[str]:
    """The kinds of sources that a folder has the marks of; none for what is no folder or cannot be read."""
    folder = Path(place)
    try:
        if not folder.is_dir():
            return []
        names = {path.name for path, _ in zip(folder.iterdir(), range(_MAX_LOOKED_AT), strict=False)}
        return [kind for kind, has_marks in _MARKS.items() if has_marks(folder, names)]
    except OSError:
        return []


def nothing_of(place: str, what: str) -> NotFoundError:
    """The error for a place that is not `what` its kind reads, with what can be done: another kind, or another folder."""
    if "://" not in place and not Path(place).exists():
        return NotFoundError(f"there is no folder {place}", path=place)
    found = likeness(place)
    if found:
        advice = " or ".join(f"reg import {kind} {place}" for kind in found)
        return NotFoundError(
            f"{place} is not {what}; it looks like {' and '.join(map(_NAMES.__getitem__, found))}: {advice}", path=place
        )
    nearby = next((f"{place.rstrip('/')}/{name}" for name in _USUAL if likeness(f"{place}/{name}")), None)
    where = f"; {nearby} looks like {_NAMES[likeness(nearby)[0]]}" if nearby else ""
    return NotFoundError(f"{place} is not {what}{where}", path=place)


def _is_mlflow(folder: Path, names: set[str]) -> bool:
    return (
        any((folder / name).is_dir() and (folder / name / "meta.yaml").is_file() for name in sorted(names)[:100])
        or (folder / "mlruns").is_dir()
    )


def _is_git_lfs(folder: Path, names: set[str]) -> bool:
    if {"HEAD", "objects", "lfs"} <= names or (folder / ".git" / "lfs").is_dir():
        return True
    attributes = folder / ".gitattributes"
    if ".git" not in names or not attributes.is_file():
        return False
    with attributes.open("rb") as opened:
        return _LFS in opened.read(_MAX_ATTRIBUTES_BYTES)


_MARKS: Mapping[str, Callable[[Path, set[str]], bool]] = {
    "modelstore": lambda folder, names: "operatorai-model-store" in names or folder.name == "operatorai-model-store",
    "mlflow": _is_mlflow,
    "dvc": lambda folder, names: (folder / ".dvc").is_dir() and bool(names),
    "git-lfs": _is_git_lfs,
    "huggingface": lambda _, names: any(name.startswith("models--") for name in names),
    "wandb": lambda folder, names: (
        any(_RUN.fullmatch(name) or _DOWNLOADED.fullmatch(name) for name in names)
        or _DOWNLOADED.fullmatch(folder.name) is not None
        or ((folder / "wandb").is_dir() and any(_RUN.fullmatch(path.name) for path in (folder / "wandb").iterdir()))
    ),
}
_NAMES = {
    "modelstore": "a modelstore",
    "mlflow": "an MLflow store",
    "dvc": "a DVC repository",
    "git-lfs": "a git-lfs repository",
    "huggingface": "a Hugging Face cache",
    "wandb": "runs or artifacts of W&B",
}
_USUAL = ("mlruns", "hub", "wandb", "artifacts", "..")  # where these stores often lie from where people stand
