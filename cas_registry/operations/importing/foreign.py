"""What a source tells of a version that is to be imported, and how it says that it cannot."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cas_registry.errors import AccessError, InvalidInputError, NotFoundError, RegistryError
from cas_registry.model.canonical import Scalar
from cas_registry.redaction import redact

Layout = Callable[
    [Path], Path
]  # given an empty folder to use if need be, the folder that holds a version's files and nothing else


@dataclass(frozen=True, slots=True)
class ForeignTag:
    """A name that stands at a version in the source: an alias, a stage, a state, a git tag. `why` tells what it is there."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class ForeignVersion:
    """A version as its source knows it.

    `id` identifies it among all versions of all sources of the kind, for ever: it is how a second import recognises it. `name` is what people call it.
    `author` and `time_ms` are None where the source does not tell. `lay_out` may be called once, and raises RegistryError where the files are
    not to be had; `size_bytes` is what it would read, where that is known beforehand.
    """

    model: str
    id: str
    name: str
    lay_out: Layout
    author: str | None = None
    time_ms: int | None = None
    message: str = ""
    params: Mapping[str, Scalar] = field(default_factory=dict)
    metrics: Mapping[str, Scalar] = field(default_factory=dict)
    labels: Mapping[str, Scalar] = field(default_factory=dict)
    framework: Mapping[str, Scalar] = field(default_factory=dict)
    packages: Mapping[str, Scalar] = field(default_factory=dict)
    environment: Mapping[str, Scalar] = field(default_factory=dict)
    code: Mapping[str, Scalar] = field(default_factory=dict)
    tags: tuple[ForeignTag, ...] = ()
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A version that a source has, and of which it can tell no more than this. `model` is None where not even that is known."""

    model: str | None
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How to read a source, where there is a choice. Each kind uses what concerns it.

    `experiment` (mlflow): its runs, in place of the registered models. `keep_archive` (modelstore): the archive as it is. `tagged` (dvc, git-lfs): only
    commits that a tag names. `paths` (dvc, git-lfs): only what lies there. `objects` (dvc, git-lfs, wandb): a folder or URL in which the bytes
    are looked for too. `types` (wandb): of artifacts.
    """

    storage_options: Mapping[str, Any] | None = None
    experiment: str | None = None
    keep_archive: bool = False
    tagged: bool = False
    paths: Sequence[str] = ()
    objects: str | None = None
    types: Sequence[str] = ("model",)


class Source(Protocol):
    """Where versions come from."""

    @property
    def kind(self) -> str: ...
    @property
    def place(self) -> str:
        """Where it is, for people: without credentials."""

    def versions(self) -> Iterable[ForeignVersion | Unreadable]:
        """Those that are there, of each model the older before the newer. RegistryError where the source as a whole cannot be read."""


@contextmanager
def reading(what: str) -> Iterator[None]:
    """What goes wrong with bytes from strangers, as errors of ours that name `what`."""
    try:
        yield
    except RegistryError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        missing = str(error.filename or "such file")
        raise NotFoundError(f"there is no {what}" if missing == what else f"{what}: there is no {missing}") from error
    except OSError as error:
        raise AccessError(f"{what} cannot be read: {redact(str(error.strerror or error))[:200]}") from error
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RecursionError,
        EOFError,
        zlib.error,
        tarfile.TarError,
    ) as error:
        raise InvalidInputError(f"{what} cannot be read: {redact(str(error))[:200] or type(error).__name__}") from error
