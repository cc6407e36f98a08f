"""Objects into a folder, with the manifest that says what they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cas_registry.errors import InvalidInputError
from cas_registry.frameworks.adapter import Adapter, Saved, SaveOptions
from cas_registry.frameworks.table import adapter_for, adapters, kind_of
from cas_registry.frameworks.training_data import describe_data
from cas_registry.frameworks.versions import PYTHON, find_versions
from cas_registry.model.canonical import Scalar
from cas_registry.model.manifest import MANIFEST, Manifest, SavedObject, encode_manifest
from cas_registry.model.names import check_component
from cas_registry.model.schema import Schema

ADAPTER_OPTION = "adapter"  # which one is asked first, for objects that several can save


@dataclass(frozen=True, slots=True)
class SaveRequest:
    """What to save, by name, and what to say of it. `inputs` and `targets` are the data that it was trained on."""

    objects: Mapping[str, object]
    allow_pickle: bool = False
    inputs: object = None
    targets: object = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WrittenObjects:
    """What stands in the folder, and what a commit can tell of it: hyper-parameters, signature, versions of the frameworks."""

    manifest: Manifest
    params: Mapping[str, Scalar]
    schema: Schema | None
    framework: Mapping[str, Scalar]


def write_objects(request: SaveRequest, folder: Path) -> WrittenObjects:
    """Write the objects and the manifest into an empty folder: one alone right there, several in a folder of its name each.

    Raises InvalidInputError: a type that nobody knows, an option that no adapter takes, an object that its framework's safe format does not
    cover.
    """
    preferred = request.options.get(ADAPTER_OPTION)
    chosen = {name: adapter_for(obj, preferred=preferred) for name, obj in request.objects.items()}
    _check_options(request.options, chosen)
    is_alone = len(chosen) == 1
    saved = {
        name: _write(adapter, request, name, folder if is_alone else folder / name, is_alone=is_alone)
        for name, adapter in chosen.items()
    }
    described = describe_data(request.inputs, request.targets)
    manifest = Manifest({name: stored for name, (stored, _) in saved.items()}, described.data, request.metadata)
    (folder / MANIFEST).write_bytes(encode_manifest(manifest))
    params = {
        (param if is_alone else f"{name}.{param}"): value
        for name, (_, told) in saved.items()
        for param, value in told.params.items()
    }
    schemas = [told.schema for _, told in saved.values() if told.schema is not None]
    return WrittenObjects(
        manifest,
        {**described.params, **params},
        schemas[0] if schemas else described.schema,
        {library: version for stored, _ in saved.values() for library, version in stored.versions.items() if library != PYTHON},
    )


def _check_options(options: Mapping[str, Any], chosen: Mapping[str, Adapter]) -> None:
    names = {adapter.name for adapter in chosen.values()}
    preferred = options.get(ADAPTER_OPTION)
    if preferred is not None and preferred not in names:
        known_names = [adapter.name for adapter in adapters()]
        raise InvalidInputError(
            f"{preferred!r} saves none of these objects, which are of {', '.join(sorted(names))}; adapters are {', '.join(known_names)}",
            known=known_names,
        )
    known = {ADAPTER_OPTION, *(option for adapter in chosen.values() for option in adapter.save_options)}
    if unknown := sorted(options.keys() - known):
        raise InvalidInputError(
            f"{', '.join(unknown)}: no such option of {', '.join(sorted(names))}; there are {', '.join(sorted(known))}",
            options=unknown,
        )


def _write(adapter: Adapter, request: SaveRequest, name: str, folder: Path, *, is_alone: bool) -> tuple[SavedObject, Saved]:
    check_component(name)
    folder.mkdir(exist_ok=True)
    obj = request.objects[name]
    more = {option: value for option, value in request.options.items() if option in adapter.save_options}
    try:
        saved = adapter.save(obj, folder, SaveOptions(request.allow_pickle, request.inputs, more))
    except ImportError as error:  # of what a framework only needs for writing
        raise InvalidInputError(f"saving a {kind_of(obj)} needs a library that is not installed: {error}") from error
    files = tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()))
    if not files or (is_alone and MANIFEST in files):
        raise InvalidInputError(f"{adapter.name} wrote no file, or one called {MANIFEST}, for a {kind_of(obj)}")
    if saved.format not in {*adapter.formats, *adapter.pickle_formats}:
        raise InvalidInputError(f"the adapter {adapter.name} does not list {saved.format!r} among its formats")
    needs_pickle = adapter.needs_pickle(saved.format)
    interpreter = {PYTHON: ""} if needs_pickle else {}
    stored = SavedObject(
        adapter=adapter.name,
        kind=kind_of(obj),
        format=saved.format,
        files=files,
        needs_pickle=needs_pickle,
        folder="" if is_alone else name,
        details=saved.details,
        trust=saved.trust,
        versions=find_versions({**adapter.libraries, **saved.libraries, **interpreter}),
    )
    return stored, saved
