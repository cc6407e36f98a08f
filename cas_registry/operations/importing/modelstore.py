"""A modelstore bucket or folder (github.com/operatorai/modelstore): a model for each domain, a version for each model id.

    operatorai-model-store/DOMAIN/versions/ID.json               what is told of it: model, storage, code
    operatorai-model-store/DOMAIN/versions/STATE/ID.json         that it is in a state
    operatorai-model-store/DOMAIN/DATE/ID/artifacts.tar.gz       its files, at the path that `storage` tells

A state becomes a label (`state.NAME`) of each version in it, and a tag at the newest of these. Times are local to whoever wrote them, without a
zone; they are taken for UTC.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cas_registry.errors import InvalidInputError, RegistryError
from cas_registry.model.canonical import Scalar
from cas_registry.operations.importing import naming
from cas_registry.operations.importing.foreign import ForeignTag, ForeignVersion, SourceOptions, Unreadable, reading
from cas_registry.operations.importing.likeness import nothing_of
from cas_registry.operations.importing.places import Place, open_place
from cas_registry.operations.importing.unpacking import unpack_tar

_ROOT = "operatorai-model-store"
_VERSIONS = "versions"
_RESERVED = "modelstore-"  # how the states of modelstore's own begin: what is deleted
_MAX_JSON_BYTES = 4 * 1024 * 1024  # of what is told of one version; its parameters may be many
_PACKED_SUFFIXES = (".tar.gz", ".tgz", ".tar")
_PLACED = 2  # folders before the name of what is told of a version: DOMAIN/versions


def open_source(place: str, options: SourceOptions) -> ModelstoreSource:
    """The store whose folder `operatorai-model-store` lies right in `place`, or is `place` itself."""
    found = open_place(place.rstrip("/").removesuffix(f"/{_ROOT}"), options.storage_options)
    return ModelstoreSource(found, keep_archive=options.keep_archive)


@dataclass(frozen=True, slots=True)
class ModelstoreSource:
    """A store, which is only read."""

    files: Place
    keep_archive: bool = False
    kind: str = "modelstore"

    @property
    def place(self) -> str:
        return self.files.url

    def versions(self) -> Iterator[ForeignVersion | Unreadable]:
        sizes = self.files.files(_ROOT)
        told: dict[tuple[str, str], str] = {}
        states: dict[tuple[str, str], list[str]] = {}
        for path in sizes:
            domain, *state, name = _place_of(path) or ("", "")
            if not domain:
                continue
            identity = name.removesuffix(".json")
            if state:
                states.setdefault((domain, identity), []).append(state[0])
            else:
                told[domain, identity] = path
        if not sizes:
            raise nothing_of(self.place, f"a modelstore: it holds no folder {_ROOT} with files")
        found = [
            self._version(domain, identity, path, sizes, sorted(states.get((domain, identity), ())))
            for (domain, identity), path in told.items()
        ]
        yield from (item for item in found if isinstance(item, Unreadable))
        readable = [item for item in found if isinstance(item, ForeignVersion)]
        yield from sorted(readable, key=lambda version: (version.model, version.time_ms or 0, version.id))

    def _version(
        self, domain: str, identity: str, path: str, sizes: Mapping[str, int], states: list[str]
    ) -> ForeignVersion | Unreadable:
        try:
            with reading(path):
                meta = json.loads(self.files.read(path, limit=_MAX_JSON_BYTES))
                return self._told(domain, identity, meta, sizes, [state for state in states if not state.startswith(_RESERVED)])
        except RegistryError as error:
            return Unreadable(domain, identity, error.message)

    def _told(
        self, domain: str, identity: str, meta: Mapping[str, Any], sizes: Mapping[str, int], states: list[str]
    ) -> ForeignVersion:
        model, code = meta["model"], meta.get("code") or {}
        if model["model_id"] != identity or model["domain"] != domain:
            raise InvalidInputError(f"it is about {str(model['domain'])[:80]!r}, {str(model['model_id'])[:80]!r}")
        archive = _archive(meta["storage"])
        type_of = model.get("model_type") or {}
        library = type_of.get("library")
        packages = naming.scalars(code.get("dependencies"), what="package")
        extra = {name: value for name, value in meta.items() if name not in {"model", "storage", "code", "modelstore"}}
        labels: dict[str, Scalar] = {
            **naming.texts({"modelstore.version": meta.get("modelstore"), "modelstore.created": code.get("created")}),
            **naming.scalars({"data": model.get("data") or {}, **extra}, what="label"),
            **{f"state.{state}": True for state in states},
        }
        return ForeignVersion(
            model=domain,
            id=identity,
            name=f"{domain}/{identity}",
            lay_out=lambda scratch: self._lay_out(archive, scratch),
            author=naming.author(code.get("user")),
            time_ms=_created(code.get("created")),
            message=f"{library or 'model'} {type_of.get('type') or ''}".strip() + f" of domain {domain}",
            params=naming.scalars(model.get("parameters"), what="param"),
            labels=labels,
            framework=naming.texts(
                {"name": library, "type": type_of.get("type"), str(library): packages.get(str(library))} if library else {}
            ),
            packages=packages,
            environment=naming.texts({"runtime": code.get("runtime")}),
            code=_git(code.get("git")),
            tags=tuple(ForeignTag(state, f"state {state}") for state in states),
            size_bytes=sizes.get(archive),
        )

    def _lay_out(self, archive: str, scratch: Path) -> Path:
        fetched, unpacked = scratch / "archive", scratch / "files"
        for folder in (fetched, unpacked):
            folder.mkdir()
        file = self.files.fetch(archive, fetched)
        if self.keep_archive or not archive.endswith(_PACKED_SUFFIXES):
            (unpacked / naming.inside(archive.rpartition("/")[2])).symlink_to(file)
            return unpacked
        return unpack_tar(file, unpacked)


def _place_of(path: str) -> tuple[str, ...] | None:
    """(DOMAIN, ID.json) or (DOMAIN, STATE, ID.json) of the path of what is told of a version; None for any other."""
    domain, folder, *rest = (*path.split("/")[1:], "", "")[: _PLACED + 3]
    rest = [part for part in rest if part]
    if folder != _VERSIONS or len(rest) not in {1, 2} or not rest[-1].endswith(".json"):
        return None
    return (domain, *rest)


def _archive(storage: Mapping[str, Any]) -> str:
    """Where the files lie: below the store's own folder, wherever that was when they were written."""
    told = storage.get("path") or storage.get("prefix")
    _, root, rest = str(told).replace("\\", "/").rpartition(f"{_ROOT}/")
    parts = rest.split("/")
    if not root or not all(parts) or {".", ".."} & set(parts):
        raise InvalidInputError(f"its files lie outside of the store: {str(told)[:200]!r}")
    return f"{_ROOT}/{rest}"


def _created(text: object) -> int | None:
    for form in ("%Y/%m/%d/%H:%M:%S", "%Y-%m-%d %H:%M:%S"):
        try:
            return naming.time_ms(datetime.strptime(str(text), form).replace(tzinfo=UTC).timestamp() * 1000)
        except ValueError:
            continue
    return None


def _git(told: object) -> dict[str, Scalar]:
    if not isinstance(told, Mapping):
        return {}
    return naming.texts(
        {
            "commit": told.get("sha"),
            "branch": told.get("branch"),
            "repository": told.get("repository"),
            "dirty": None if told.get("local_changes") is None else bool(told["local_changes"]),
        }
    )
