"""What a version says of the objects that were saved into it: the file `cas-model.json` beside theirs. See docs/frameworks.md.

The file is the word of whoever committed it. It chooses among the adapters that are installed and among the formats that those know; it
cannot say that a format is harmless.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cas_registry.errors import FormatError, InvalidInputError, LimitError, UnsupportedFormatError
from cas_registry.model.canonical import Scalar
from cas_registry.model.names import check_component, check_path

MANIFEST = "cas-model.json"
MAX_MANIFEST_BYTES = 16 * 1024 * 1024  # some 100,000 files, as checkpoints in many shards have
MAX_OBJECTS = 100
MAX_FILES = 100_000
MAX_DETAILS = 1_000
_KIND = "saved objects"
_MAX_TEXT = 64 * 1024


@dataclass(frozen=True, slots=True)
class SavedObject:
    """One object of a version, as the manifest tells of it.

    `adapter` wrote `files` (paths below `folder`, which is "" for the version's own folder) in `format`, from an object of the type `kind`
    (`sklearn.linear_model._logistic.LogisticRegression`). `details` are what the adapter needs beside the files, flat. `trust` are types
    that the loader has to be told to trust. `versions` are those of the libraries at work. `needs_pickle` is for people who look: loading asks the
    adapter.
    """

    adapter: str
    kind: str
    format: str
    files: tuple[str, ...]
    needs_pickle: bool = False
    folder: str = ""
    details: Mapping[str, Scalar] = field(default_factory=dict)
    trust: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def paths(self) -> tuple[str, ...]:
        """The files by their paths in the version."""
        return tuple(f"{self.folder}/{file}" if self.folder else file for file in self.files)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The objects of a version by name, what is known of the data that they were trained on, and what else their maker said."""

    objects: Mapping[str, SavedObject]
    data: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest as JSON for people, keys sorted. Raises InvalidInputError for what JSON cannot hold, LimitError."""
    value = {
        "kind": _KIND,
        "v": 1,
        "objects": {name: _object_value(found) for name, found in manifest.objects.items()},
        "data": manifest.data,
        "metadata": manifest.metadata,
    }
    try:
        data = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, indent=1).encode("utf-8") + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"extra_metadata and details must be JSON (numbers, text, lists, mappings): {error}") from error
    if len(data) > MAX_MANIFEST_BYTES:
        raise LimitError(f"{MANIFEST} would take {len(data):,} bytes; the limit is {MAX_MANIFEST_BYTES:,}")
    try:
        decode_manifest(data)
    except FormatError as error:
        raise InvalidInputError(f"this {MANIFEST} could not be read again: {error}") from error
    return data


def decode_manifest(data: bytes) -> Manifest:
    """The manifest in `data`; fields of no meaning here are passed over. Raises FormatError, UnsupportedFormatError."""
    if len(data) > MAX_MANIFEST_BYTES:
        raise FormatError(f"{MANIFEST} of {len(data):,} bytes is over the limit of {MAX_MANIFEST_BYTES:,}")
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{MANIFEST} is not JSON: {str(error)[:200]}") from error
    row = _mapping(value, "the manifest")
    if row.get("kind") != _KIND:
        raise FormatError(f"{MANIFEST} does not tell of {_KIND}")
    version = row.get("v")
    if version != 1 or isinstance(version, bool):
        if isinstance(version, int) and version > 1:
            raise UnsupportedFormatError(
                f"{MANIFEST} of version {version}: written by a newer cas_registry; upgrade to read it"
            )
        raise FormatError(f"{MANIFEST} of version {str(version)[:40]!r}")
    objects = _mapping(row.get("objects"), "objects")
    if len(objects) > MAX_OBJECTS:
        raise FormatError(f"{MANIFEST} of more than {MAX_OBJECTS} objects")
    return Manifest(
        {_component(name): _decode_object(found) for name, found in objects.items()},
        _mapping(row.get("data", {}), "data"),
        _mapping(row.get("metadata", {}), "metadata"),
    )


def _object_value(found: SavedObject) -> dict[str, object]:
    return {
        "adapter": found.adapter,
        "class": found.kind,
        "format": found.format,
        "pickle": found.needs_pickle,
        "folder": found.folder,
        "files": list(found.files),
        "details": dict(found.details),
        "trust": list(found.trust),
        "versions": dict(found.versions),
    }


def _decode_object(value: object) -> SavedObject:
    row = _mapping(value, "an object")
    files = _texts(row.get("files"), "files", MAX_FILES)
    if not files:
        raise FormatError("an object without files")
    folder = _text(row.get("folder", ""), "folder")
    pickle = row.get("pickle")
    if not isinstance(pickle, bool):
        raise FormatError("pickle is neither true nor false")
    found = SavedObject(
        adapter=_text(row.get("adapter"), "adapter"),
        kind=_text(row.get("class"), "class"),
        format=_text(row.get("format"), "format"),
        files=files,
        needs_pickle=pickle,
        folder=_component(folder) if folder else "",
        details=_scalars(row.get("details", {})),
        trust=_texts(row.get("trust", []), "trust", MAX_DETAILS),
        versions={name: _text(version, "a version") for name, version in _mapping(row.get("versions", {}), "versions").items()},
    )
    for path in found.paths:
        try:
            check_path(path)
        except InvalidInputError as error:
            raise FormatError(f"a file with a hostile name: {error}") from error
    return found


def _scalars(value: object) -> dict[str, Scalar]:
    row = _mapping(value, "details")
    if len(row) > MAX_DETAILS or not all(found is None or isinstance(found, (bool, int, float, str)) for found in row.values()):
        raise FormatError(f"details that are not at most {MAX_DETAILS:,} numbers, texts, booleans and nulls")
    return row


def _component(name: str) -> str:
    try:
        check_component(name)
    except InvalidInputError as error:
        raise FormatError(f"an object with a hostile name: {error}") from error
    return name


def _mapping(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FormatError(f"{what} is not an object of JSON")
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise FormatError(f"{what} is not text of at most {_MAX_TEXT:,} characters")
    return value


def _texts(value: object, what: str, most: int) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > most:
        raise FormatError(f"{what} is not a list of at most {most:,} texts")
    return tuple(_text(item, what) for item in value)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")
