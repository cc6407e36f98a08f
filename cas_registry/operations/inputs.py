"""What a version is made from, as people write it: `NAME=URI[@DIGEST]`, `NAME=PATH[@DIGEST]` or `NAME=MODEL@REV`.

NAME     any text without `=`, white space and control characters
URI      has `://`, no user, password or signature
PATH     a file or folder of this machine; its digest is computed. `./fraud@v1` is a path, `fraud@v1` a version
DIGEST   ALGORITHM:VALUE, as in `blake3:8f3a…`, `sha256:…`, `etag:…`. An algorithm alone, of those of `hashing`, says that it is to be computed now
MODEL@REV  a version of this registry, which must be there

A local path is stored from the top of its git work tree (`file:data/train.csv`), else from the home folder (`file:~/data/train.csv`), else whole
(`file:///data/train.csv`): no home's name is told.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from cas_registry.errors import HostileNameError, InvalidInputError
from cas_registry.model.inputs import MAX_INPUT_NAME_BYTES, Input
from cas_registry.model.revision import parse_revision
from cas_registry.operations.hashing import ALGORITHMS, Hashing, hash_place
from cas_registry.redaction import redact
from cas_registry.store.refs import Version

FILE = "file:"
_NAME = re.compile(r"[^=\s\x00-\x1f\x7f]+")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.+", re.DOTALL)
_DIGEST = re.compile(r"(?P<place>.+)@(?P<algorithm>[a-z][a-z0-9-]{1,31})(?::(?P<value>[^@:/\s]{1,400}))?", re.DOTALL)
_WITH_PATH = re.compile(r"[^/]+://[^/]*/.*", re.DOTALL)  # else what follows an @ is a host and its port
_IS_PATH = ("./", "../", "/", "~", ".\\", "..\\")


class Kind(StrEnum):
    """What stands after the name."""

    URI = "uri"
    PATH = "path"
    VERSION = "version"


@dataclass(frozen=True, slots=True)
class WrittenInput:
    """An input as it was written: `place` is the URI, the path or the revision; `value` the digest's, None where it is to be computed."""

    name: str
    kind: Kind
    place: str
    algorithm: str | None = None
    value: str | None = None

    @property
    def digest(self) -> str | None:
        return f"{self.algorithm}:{self.value}" if self.value else None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What it takes to make an input of what was written: how versions are resolved, the home folder, and how files are hashed."""

    resolve: Callable[[str], Version]
    home: Path | None
    hashing: Hashing


def parse_input(text: str) -> WrittenInput:
    """The parts of an input. InvalidInputError says what is wrong, without repeating what may be a secret."""
    name, separator, what = text.partition("=")
    if not separator or not what or not _NAME.fullmatch(name) or len(name.encode("utf-8", "replace")) > MAX_INPUT_NAME_BYTES:
        raise InvalidInputError(
            "write an input as NAME=URI, NAME=PATH or NAME=MODEL@REV, such as train=s3://data/2026-11.parquet@sha256:…; "
            f"this one begins with {redact(name[:40])!r}",
            input=redact(name[:40]),
        )
    if _URI.fullmatch(what):
        place, algorithm, value = _split_digest(what, any_algorithm=True)
        _refuse_secrets(name, place)
        if place.startswith("file://") and value is None:
            return WrittenInput(name, Kind.PATH, place.removeprefix("file://"), algorithm)
        return WrittenInput(name, Kind.URI, place, algorithm, value)
    place, algorithm, value = _split_digest(what, any_algorithm=False)
    if algorithm is None and _is_version(what):
        return WrittenInput(name, Kind.VERSION, what)
    return WrittenInput(name, Kind.PATH, place, algorithm, value)


def make_input(written: WrittenInput, around: Surroundings) -> Input:
    """The input that a commit holds: versions resolved, digests computed.

    Raises NotFoundError for a version or a path that is not there, InvalidInputError where a path has another digest than the one given.
    """
    match written.kind:
        case Kind.VERSION:
            version = around.resolve(written.place)
            return Input(written.name, model=version.model, commit=version.commit)
        case Kind.URI:
            if written.algorithm is None or written.value is not None:
                return Input(written.name, uri=written.place, digest=written.digest)
            return Input(written.name, uri=written.place, digest=hash_place(written.place, written.algorithm, around.hashing))
        case Kind.PATH:
            path = Path(os.path.expanduser(written.place))  # noqa: PTH111 - never raises
            found = hash_place(path, written.algorithm, around.hashing)
            if written.value is not None and found != written.digest:
                raise InvalidInputError(
                    f"input {written.name!r}: {written.place} has {found}, not {written.digest}", found=found
                )
            return Input(written.name, uri=name_path(path, around.home), digest=found)


def name_path(path: Path, home: Path | None) -> str:
    """How a local path is stored: from the top of its git work tree, from the home folder, or whole."""
    from cas_registry.operations.capture.git import find_root  # noqa: PLC0415 - loads subprocess

    whole = Path(os.path.abspath(path))  # noqa: PTH100 - a link is named as it is
    root = find_root(whole.parent)
    if root and root != home:
        return f"{FILE}{whole.relative_to(root).as_posix()}"
    if home and whole.is_relative_to(home):
        return f"{FILE}~/{whole.relative_to(home).as_posix()}"
    return f"{FILE}//{whole.as_posix()}"


def find_path(uri: str, *, root: Path, home: Path | None) -> Path | None:
    """The path that `name_path` stored, seen from another `root` and `home`; None where it is no local path."""
    if not uri.startswith(FILE):
        return None
    place = uri.removeprefix(FILE).removeprefix("//")
    if place.startswith("~/"):
        return home / place[2:] if home else None
    return root / place  # a whole path stays what it is


def _split_digest(what: str, *, any_algorithm: bool) -> tuple[str, str | None, str | None]:
    found = _DIGEST.fullmatch(what)
    if found and any_algorithm and not _WITH_PATH.fullmatch(found["place"]):
        found = None
    if found and (found["algorithm"] in ALGORITHMS or (any_algorithm and found["value"])):
        return found["place"], found["algorithm"], found["value"]
    return what, None, None


def _is_version(what: str) -> bool:
    if what.startswith(_IS_PATH) or "@" not in what:
        return False
    try:
        parsed = parse_revision(what)
    except (InvalidInputError, HostileNameError):
        return False
    return parsed.model is not None and parsed.path is None


def _refuse_secrets(name: str, uri: str) -> None:
    try:
        carries_user = "@" in urlsplit(uri).netloc
    except ValueError:
        carries_user = False
    if carries_user or redact(uri) != uri:
        raise InvalidInputError(
            f"the URI of input {name!r} carries credentials or a signature, which would be there for all to read; give it without",
            input=name,
        )
