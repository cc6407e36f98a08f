"""MLflow's MLmodel file: the signature in it, as a schema (mlflow.org, model signatures)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from cas_registry.errors import FormatError, InvalidInputError, RegistryError
from cas_registry.model.canonical import encode
from cas_registry.model.schema import MAX_COLUMN_DIMENSIONS, MAX_COLUMNS, Column, Schema, decode_schema, schema_value
from cas_registry.operations.yaml_text import load_yaml

FILE_NAME = "MLmodel"
MAX_FILE_BYTES = 256 * 1024
MAX_SCHEMA_BYTES = 256 * 1024  # a quarter of what a commit may take
_MAX_DEPTH = 8  # of types within types


def read_signature(text: str) -> Schema | None:
    """The signature that an MLmodel file holds. None for one without, and for what is malformed: nobody's commit fails of it."""
    try:
        document = load_yaml(text, what=FILE_NAME)
        signature = document.get("signature") if isinstance(document, Mapping) else None
        if not isinstance(signature, Mapping):
            return None
        parts = {part: tuple(_columns(signature.get(part))) for part in ("inputs", "outputs", "params")}
    except (RegistryError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None  # each of these says that something is of another kind than it should be
    schema = Schema(**parts)
    return schema if any(parts.values()) and _can_be_stored(schema) else None


def _can_be_stored(schema: Schema) -> bool:
    try:
        decode_schema(schema_value(schema))
        return len(encode(schema_value(schema))) <= MAX_SCHEMA_BYTES
    except (FormatError, InvalidInputError):
        return False


def _columns(value: object) -> Iterator[Column]:
    """The columns of one part, which stands there as JSON in a string. ValueError or TypeError for what is none."""
    rows = json.loads(value) if isinstance(value, str) else value
    if rows is None:
        return
    if not isinstance(rows, list) or len(rows) > MAX_COLUMNS:
        raise TypeError("not a list of columns")
    for row in rows:
        yield _column(row)


def _column(row: Mapping[str, Any]) -> Column:
    name = row.get("name")
    spec = row.get("tensor-spec")
    shape = spec["shape"] if spec else row.get("shape")
    dtype = str(spec["dtype"]) if spec else _type(row, 0)
    return Column(None if name is None else str(name), dtype, None if shape is None else _shape(shape))


def _shape(shape: Any) -> tuple[int | None, ...]:
    if len(shape) > MAX_COLUMN_DIMENSIONS or not all(isinstance(size, int) for size in shape):
        raise TypeError("not a shape")
    return tuple(size if size >= 0 else None for size in shape)


def _type(row: Mapping[str, Any], depth: int) -> str:
    """`double`; `array<double>`; `map<string, long>`; `struct<a: long, b?: string>`, where what has a question mark may be missing."""
    if depth > _MAX_DEPTH:
        raise ValueError("types within types")
    kind = str(row.get("type") or row["dtype"])
    match kind:
        case "array":
            return f"array<{_type(row['items'], depth + 1)}>"
        case "map":
            return f"map<string, {_type(row['values'], depth + 1)}>"
        case "object":
            fields = sorted(row["properties"].items())
            inner = (f"{name}{'' if item.get('required', True) else '?'}: {_type(item, depth + 1)}" for name, item in fields)
            return f"struct<{', '.join(inner)}>"
        case _:
            return kind
