"""Classes that a version names, where the caller trusts them by name. Nothing else of what a version says is ever imported."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from cas_registry.errors import NotFoundError, UnsafeFileError


def full_name(kind: type) -> str:
    """`package.module.Class`, as `trust` has it."""
    return f"{kind.__module__}.{kind.__qualname__}"


def trusted_class(name: str, trust: Sequence[str], *, instead: str) -> Any:
    """The class of that name, imported. UnsafeFileError where `trust` does not have it, `instead` being what else could be done; NotFoundError
    where it is not there."""
    if name not in trust:
        raise UnsafeFileError(
            f"the version holds a {name}, whose module would have to be imported. {instead}If you trust it, load with trust={[name]}",
            types=[name],
        )
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:length])
        try:
            found: Any = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise  # it is there, and lacks something of its own
            continue
        for attribute in parts[length:]:
            found = getattr(found, attribute, None)
        if isinstance(found, type):
            return found
    raise NotFoundError(
        f"there is no class {name} here (one within a function cannot be found by name). {instead}".strip(), types=[name]
    )


def class_within(package: str, name: str, base: str) -> Any:
    """The class of that full name, where it is the package's own: an attribute of the package that stands in one of its modules and is a subclass
    of `base` (an attribute, too); None for any other."""
    own: Any = importlib.import_module(package)
    found = getattr(own, name.rpartition(".")[2], None) if name.startswith(f"{package}.") else None
    parent = getattr(own, base, None)
    is_own = (
        isinstance(found, type)
        and isinstance(parent, type)
        and issubclass(found, parent)
        and found.__module__.startswith(f"{package}.")
    )
    return found if is_own else None
