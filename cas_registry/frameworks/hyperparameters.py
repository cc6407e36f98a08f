"""Hyper-parameters as a commit holds them: flat, scalar, bounded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cas_registry.model.canonical import MAX_INTEGER, MAX_SCALAR_NAME_BYTES, Scalar

MAX_PARAMS = 1_000  # of one object; a commit holds 1 MiB in all
MAX_TEXT = 1_000  # characters of one value
_MAX_ITEMS = 20  # of a list that is told as text


def flat_params(values: Mapping[str, Any], *, prefix: str = "") -> dict[str, Scalar]:
    """Numbers, texts, booleans and None as they are; mappings with dots (`optimizer.lr`); short lists, types and functions as text. What is
    neither (an estimator within an estimator, an array) is left out, and what goes beyond the bounds."""
    found: dict[str, Scalar] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if len(name.encode("utf-8", "replace")) > MAX_SCALAR_NAME_BYTES or len(found) >= MAX_PARAMS:
            continue
        if isinstance(value, Mapping):
            found |= flat_params(value, prefix=f"{name}.")
        elif (scalar := _scalar(value)) is not _NONE:
            found[name] = scalar
    return dict(list(found.items())[:MAX_PARAMS])


_NONE: Any = object()  # not to be told


def _scalar(value: Any) -> Scalar:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (type, type(_scalar))):
        return f"{value.__module__}.{value.__qualname__}"[:MAX_TEXT]
    if isinstance(value, str):
        return str(value)[:MAX_TEXT]
    if isinstance(value, (list, tuple)):
        parts = [_scalar(item) for item in value[:_MAX_ITEMS]]
        is_short = len(value) <= _MAX_ITEMS and not any(part is _NONE for part in parts)
        return repr(type(value)(parts))[:MAX_TEXT] if is_short and type(value) in {list, tuple} else _NONE
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", None) == 0:  # scalars of numpy and torch
        value = item()
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        return str(value)[:MAX_TEXT]
    return value if isinstance(value, (int, float)) else _NONE
