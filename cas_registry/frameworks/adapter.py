"""What an adapter is: how objects of one framework become files and come back. The package's own docstring says how to write one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cas_registry.model.canonical import Scalar
from cas_registry.model.manifest import SavedObject
from cas_registry.model.schema import Schema


@dataclass(frozen=True, slots=True)
class SaveOptions:
    """What the caller says beside the object.

    `allow_pickle` lets an adapter fall back on pickle where its framework's safe format does not cover the object. `sample` is what the
    object was trained on, or some rows of that (`X_train`), for those that need an input to know their signature. `more` are the adapter's own
    options, by name, of its `save_options` only.
    """

    allow_pickle: bool = False
    sample: object = None
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """What the caller allows, and asks for.

    `allow_pickle` is True where code of the files may run. `trust` are full names of types that may be made of what the files say
    (`package.module.Type`). `more` are the adapter's own options, by name, of its `load_options` only.
    """

    allow_pickle: bool = False
    trust: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Saved:
    """What an adapter wrote: the format, and what loading needs beside the files (`details`).

    `params` are the object's hyper-parameters, flat. `schema` is its signature, None where the framework does not know it. `trust` are the types that
    loading will ask the caller to trust. `libraries` are further ones at work, whose versions are kept: name on PyPI -> module.
    """

    format: str
    details: Mapping[str, Scalar] = field(default_factory=dict)
    params: Mapping[str, Scalar] = field(default_factory=dict)
    schema: Schema | None = None
    trust: tuple[str, ...] = ()
    libraries: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Adapter:
    """How objects of one framework are saved and loaded.

    `matches` is asked only where one of `modules` is loaded (always, where there are none) and must import nothing. `save(obj, folder, options)` writes below an
    empty folder; `load(folder, stored, options)` makes the object of what lies there. `libraries` are what loading imports: name on PyPI -> module;
    their versions are kept with the object and compared when it is loaded. `formats` are loaded as data, `pickle_formats` may run code.
    `keeps_files` says that what is loaded goes on using the files, so that the caller has to say where they shall stay. `recognizes` tells from the paths of a
    version without manifest how it would have been saved, None if it does not look like this framework's.
    """

    name: str
    modules: tuple[str, ...]
    matches: Callable[[object], bool]
    save: Callable[[Any, Path, SaveOptions], Saved]
    load: Callable[[Path, SavedObject, LoadOptions], Any]
    libraries: Mapping[str, str] = field(default_factory=dict)
    formats: tuple[str, ...] = ()
    pickle_formats: tuple[str, ...] = ()
    save_options: tuple[str, ...] = ()
    load_options: tuple[str, ...] = ()
    keeps_files: bool = False
    recognizes: Callable[[Sequence[str]], SavedObject | None] = lambda _: None

    def is_asked(self) -> bool:
        """Whether objects of this framework can be there at all."""
        return not self.modules or any(module in sys.modules for module in self.modules)

    def needs_pickle(self, form: str) -> bool:
        """Whether loading this format may run code: True also for one that this adapter does not know."""
        return form not in self.formats


def is_a(obj: object, *classes: str) -> bool:
    """Whether `obj` is an instance of one of the classes, `package.module:Class` each. Imports nothing: of a module that is not loaded there is no
    instance."""
    for name in classes:
        module, _, attribute = name.partition(":")
        found = vars(sys.modules[module]).get(attribute) if module in sys.modules else None
        if isinstance(found, type) and isinstance(obj, found):
            return True
    return False
