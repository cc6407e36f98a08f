"""A model's signature: which columns or tensors go in, and which come out."""

from collections.abc import Sequence
from dataclasses import dataclass

from cas_registry.errors import FormatError
from cas_registry.model import canonical

MAX_COLUMNS = 10_000
MAX_COLUMN_DIMENSIONS = 64
_MAX_TEXT_BYTES = 1024
_FIELDS = ("inputs", "outputs", "params")
_COLUMN_FIELDS = 3


@dataclass(frozen=True, slots=True)
class Column:
    """One column or tensor. `name` is None where it has none, `shape` where it is not known; a dimension of any size is None."""

    name: str | None
    dtype: str
    shape: tuple[int | None, ...] | None = None


@dataclass(frozen=True, slots=True)
class Schema:
    """What a model takes, gives, and takes as parameters at inference."""

    inputs: tuple[Column, ...] = ()
    outputs: tuple[Column, ...] = ()
    params: tuple[Column, ...] = ()


def schema_value(schema: Schema) -> canonical.Json:
    """The schema as a commit holds it."""
    return {field: [_column_value(column) for column in getattr(schema, field)] for field in _FIELDS}


def decode_schema(value: canonical.Json) -> Schema:
    """The schema in a commit. Raises FormatError."""
    row = canonical.mapping(value, what="schema")
    if row.keys() != set(_FIELDS):
        raise FormatError("a schema with missing or unknown fields")
    inputs, outputs, params = (
        tuple(_decode_column(item) for item in canonical.array(row[field], what=field, max_items=MAX_COLUMNS))
        for field in _FIELDS
    )
    return Schema(inputs, outputs, params)


def _column_value(column: Column) -> canonical.Json:
    shape: Sequence[canonical.Json] | None = None if column.shape is None else list(column.shape)
    return [column.name, column.dtype, shape]


def _decode_column(value: canonical.Json) -> Column:
    if not isinstance(value, list) or len(value) != _COLUMN_FIELDS:
        raise FormatError("a column that is not [name, dtype, shape]")
    name, dtype, shape = value
    dimensions = None if shape is None else canonical.array(shape, what="shape", max_items=MAX_COLUMN_DIMENSIONS)
    return Column(
        None if name is None else canonical.text(name, what="name", max_bytes=_MAX_TEXT_BYTES),
        canonical.text(dtype, what="dtype", max_bytes=_MAX_TEXT_BYTES),
        None
        if dimensions is None
        else tuple(None if size is None else canonical.integer(size, what="a dimension") for size in dimensions),
    )
