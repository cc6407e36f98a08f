"""Objects out of a folder. What may run code is refused before anything is fetched, unless the caller allows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cas_registry.errors import InvalidInputError, NotFoundError, UnsafeFileError, UnsupportedFormatError
from cas_registry.frameworks.adapter import Adapter, LoadOptions
from cas_registry.frameworks.table import adapter_named, adapters
from cas_registry.frameworks.versions import import_libraries, warn_of_others
from cas_registry.model.manifest import SavedObject

DEFAULT_NAME = "model"  # of an object that was saved without one


def choose_object(objects: Mapping[str, SavedObject], name: str | None, *, what: str) -> tuple[str, SavedObject]:
    """The object of that name; without one the only one, else the one called `model`. NotFoundError says what there is."""
    wanted = next(iter(objects)) if name is None and len(objects) == 1 else name or DEFAULT_NAME
    if wanted not in objects:
        raise NotFoundError(
            f"{what} has no object {wanted!r}; there {'is' if len(objects) == 1 else 'are'} {', '.join(sorted(objects)) or 'none'}",
            objects=sorted(objects),
        )
    return wanted, objects[wanted]


def recognize_object(paths: Sequence[str], *, what: str) -> SavedObject:
    """What the files of a version without manifest look like. NotFoundError where they look like nothing that is known."""
    for adapter in adapters():
        found = adapter.recognizes(paths)
        if found is not None:
            return found
    raise NotFoundError(
        f"{what} was not saved as an object (Model.save), and its files look like none that is known; check it out and load it by hand"
    )


def check_object(stored: SavedObject, options: LoadOptions, *, what: str, warn_level: int) -> Adapter:
    """The adapter that is to load an object, once nothing speaks against it; its libraries are imported then.

    Raises UnsafeFileError for a format that may run code, unless that is allowed; UnsupportedFormatError where the adapter or the format is
    not known here; InvalidInputError for a library that is missing, or an option that the adapter does not take.
    """
    adapter = adapter_named(stored.adapter)
    if stored.format not in {*adapter.formats, *adapter.pickle_formats}:
        raise UnsupportedFormatError(
            f"{what} is in a format {stored.format[:80]!r} that the adapter {adapter.name} does not know; upgrade what brings it",
            format=stored.format,
        )
    if adapter.needs_pickle(stored.format) and not options.allow_pickle:
        raise UnsafeFileError(
            f"{what}: loading {_some(stored.paths)} ({stored.format} of {adapter.name}) runs whatever code the file holds. If you trust who "
            f"committed it (reg verify), load it with allow_pickle=True",
            paths=list(stored.paths),
            format=stored.format,
        )
    if unknown := sorted(options.more.keys() - set(adapter.load_options)):
        raise InvalidInputError(
            f"{', '.join(unknown)}: no such option of {adapter.name}; there are {', '.join(adapter.load_options) or 'none'}",
            options=unknown,
        )
    needed = {name: module for name, module in adapter.libraries.items() if name in stored.versions or not stored.versions}
    import_libraries(needed, adapter=adapter.name)
    warn_of_others(stored.versions, adapter.libraries, what=what, stacklevel=warn_level + 1)
    return adapter


def load_object(adapter: Adapter, stored: SavedObject, folder: Path, options: LoadOptions) -> Any:
    """The object whose version's files lie in `folder`."""
    return adapter.load(folder / stored.folder if stored.folder else folder, stored, options)


def _some(paths: Sequence[str]) -> str:
    return f"{paths[0]} and {len(paths) - 1} more" if len(paths) > 1 else paths[0] if paths else "it"
