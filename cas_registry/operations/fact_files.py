"""Parameters and metrics from files, as trainings leave them: params.yaml, metrics.json. What is nested gets names with dots.

`train: {lr: 0.1, layers: [64, 32]}` is `train.lr`, `train.layers.0`, `train.layers.1`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cas_registry.errors import AccessError, InvalidInputError, LimitError, NotFoundError
from cas_registry.model.canonical import MAX_SCALAR_NAME_BYTES, Scalar

MAX_FILE_BYTES = 1024 * 1024  # what a commit may take
MAX_FACTS = 10_000
MAX_DEPTH = 64


def read_facts(path: Path, *, what: str) -> dict[str, Scalar]:
    """The scalars of a JSON, YAML or TOML file by their dotted names, in its order. `what` is `param` or `metric`.

    Raises NotFoundError, AccessError, LimitError, and InvalidInputError for what is neither, for a file that holds no names, and for two values of
    one name.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise InvalidInputError(f"{path}: {what}s are read from {', '.join(_READERS)}", path=str(path))
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path}", path=str(path)) from error
    except OSError as error:
        raise AccessError(f"cannot read {path}: {error.strerror}", path=str(path)) from error
    if len(data) > MAX_FILE_BYTES:
        raise LimitError(f"{path} is longer than {MAX_FILE_BYTES:,} bytes", path=str(path))
    try:
        value = read(data.decode("utf-8-sig"), str(path))
    except InvalidInputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{path} cannot be read: {str(error)[:200]}", path=str(path)) from error
    if not isinstance(value, Mapping):
        raise InvalidInputError(f"{path} holds no names with values", path=str(path))
    return flatten(value, what=what)


def flatten(value: Mapping[Any, Any], *, what: str) -> dict[str, Scalar]:
    """Nested mappings and lists as one flat map, names joined by dots; what is empty leaves nothing.

    InvalidInputError where two values would have one name; LimitError for more than `MAX_FACTS` values, or too long a name.
    """
    flat: dict[str, Scalar] = {}
    _flatten(value, (), flat, what, [0])
    return flat


def _flatten(value: object, names: tuple[str, ...], flat: dict[str, Scalar], what: str, seen: list[int]) -> None:
    seen[0] += 1
    if seen[0] > 2 * MAX_FACTS or len(names) > MAX_DEPTH:
        raise LimitError(f"more than {MAX_FACTS:,} {what}s, or nested more than {MAX_DEPTH} deep; name those that matter")
    if isinstance(value, Mapping):
        for key, item in value.items():
            _flatten(item, (*names, str(key)), flat, what, seen)
        return
    if isinstance(value, list | tuple):
        for number, item in enumerate(value):
            _flatten(item, (*names, str(number)), flat, what, seen)
        return
    name = ".".join(names)
    if name in flat:
        raise InvalidInputError(f"two {what}s would be called {name!r}", name=name)
    if not 1 <= len(name.encode("utf-8", "replace")) <= MAX_SCALAR_NAME_BYTES:
        raise LimitError(f"the {what} {name[:80]!r} must have a name of 1 to {MAX_SCALAR_NAME_BYTES} bytes")
    flat[name] = value if value is None or isinstance(value, bool | int | float | str) else str(value)
    if len(flat) > MAX_FACTS:
        raise LimitError(f"more than {MAX_FACTS:,} {what}s; name those that matter")


def _yaml(text: str, what: str) -> Any:
    from cas_registry.operations.yaml_text import load_yaml  # noqa: PLC0415 - loads PyYAML

    return load_yaml(text, what=what)


_READERS: Mapping[str, Callable[[str, str], Any]] = {
    ".json": lambda text, _: json.loads(text),
    ".yaml": _yaml,
    ".yml": _yaml,
    ".toml": lambda text, _: tomllib.loads(text),
}
