"""Versions of libraries: of those that wrote an object, and of those that are to load it."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from cas_registry.errors import FrameworkVersionWarning, InvalidInputError

PYTHON = "python"  # kept with pickles: they hold byte code, which another minor version does not run


def find_versions(libraries: Mapping[str, str]) -> dict[str, str]:
    """The versions of libraries (name on PyPI -> module): a loaded module's own word for it, else that of the installed distribution. One that
    says none is left out."""
    found = {name: _version_of(name, module) for name, module in libraries.items()}
    return {name: told for name, told in found.items() if told is not None}


def import_libraries(libraries: Mapping[str, str], *, adapter: str) -> None:
    """Import what an adapter needs. InvalidInputError says what is missing, and how to install it."""
    for name, module in libraries.items():
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise  # it is there, and lacks something of its own
            raise InvalidInputError(
                f"an object of {adapter} needs {name}, which is not installed: pip install {name}", library=name
            ) from error


def warn_of_others(saved: Mapping[str, str], libraries: Mapping[str, str], *, what: str, stacklevel: int) -> None:
    """Warn where a library has another version than the one that saved the object, with both."""
    present = find_versions({name: libraries.get(name, name) for name in saved})  # a module mostly is called as its library
    others = [f"{name} {saved[name]} (here {found})" for name, found in present.items() if found != saved[name]]
    if others:
        warnings.warn(
            f"{what} was saved with {', '.join(others)}: what it predicts may differ, or loading may fail",
            FrameworkVersionWarning,
            stacklevel=stacklevel + 1,
        )


def _version_of(name: str, module: str) -> str | None:
    if name == PYTHON:
        return f"{sys.version_info.major}.{sys.version_info.minor}"
    own = vars(sys.modules[module]).get("__version__") if module in sys.modules else None
    if isinstance(own, str):
        return own
    try:
        return version(name)
    except PackageNotFoundError:
        return None
