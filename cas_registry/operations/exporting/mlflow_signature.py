"""A commit's schema as MLflow writes signatures: the counterpart of `operations/mlmodel.py`, which reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from cas_registry.model.schema import Column, Schema

_TYPES = {"boolean", "integer", "long", "float", "double", "string", "binary", "datetime"}
_NUMPY = {  # how numpy and pandas call what a column may hold
    "bool": "boolean", "int8": "integer", "int16": "integer", "int32": "integer", "int64": "long", "uint8": "integer",
    "uint16": "integer", "uint32": "long", "float16": "float", "float32": "float", "float64": "double", "str": "string", "object": "string",
    "bytes": "binary", "datetime64[ns]": "datetime",
}  # fmt: skip
_MAX_DEPTH = 8


def signature_of(schema: Schema) -> dict[str, str | None] | None:
    """The `signature` of an MLmodel file. None where MLflow has no way to say it: a column of another type, or columns beside tensors.

    Parameters are left out: MLflow wants the default of each, which no schema has.
    """
    try:
        inputs, outputs = _columns(schema.inputs), _columns(schema.outputs)
    except _UnspeakableError:
        return None
    return {"inputs": inputs, "outputs": outputs, "params": None} if inputs or outputs else None


class _UnspeakableError(Exception):
    """A type that MLflow's signatures do not have."""


def _columns(columns: Sequence[Column]) -> str | None:
    if not columns:
        return None
    if len({column.shape is None for column in columns}) > 1:
        raise _UnspeakableError
    if len(columns) > 1 and any(column.name is None for column in columns):
        raise _UnspeakableError
    return json.dumps([_column(column) for column in columns])


def _column(column: Column) -> dict[str, Any]:
    name = {} if column.name is None else {"name": column.name}
    if column.shape is None:
        return {**_typed(column.dtype), **name, "required": True}
    shape = [-1 if size is None else size for size in column.shape]
    return {"type": "tensor", "tensor-spec": {"dtype": column.dtype, "shape": shape}, **name}


def _typed(text: str) -> dict[str, Any]:
    found, rest = _type(text, 0)
    if rest:
        raise _UnspeakableError
    return found


def _type(text: str, depth: int) -> tuple[dict[str, Any], str]:
    """The type at the beginning of a text (`map<string, array<long>>`), and what follows it."""
    if depth > _MAX_DEPTH:
        raise _UnspeakableError
    if text.startswith("array<"):
        inner, rest = _type(text.removeprefix("array<"), depth + 1)
        return {"type": "array", "items": inner}, _after(">", rest)
    if text.startswith("map<string, "):
        inner, rest = _type(text.removeprefix("map<string, "), depth + 1)
        return {"type": "map", "values": inner}, _after(">", rest)
    if text.startswith("struct<"):
        return _struct(text.removeprefix("struct<"), depth)
    word = text
    for mark in (",", ">"):
        word = word.partition(mark)[0]
    kind = _NUMPY.get(word, word)
    if kind not in _TYPES:
        raise _UnspeakableError
    return {"type": kind}, text[len(word) :]


def _struct(text: str, depth: int) -> tuple[dict[str, Any], str]:
    fields: dict[str, Any] = {}
    while not text.startswith(">"):
        name, colon, rest = text.partition(": ")
        if not colon:
            raise _UnspeakableError
        inner, text = _type(rest, depth + 1)
        fields[name.removesuffix("?")] = {**inner, "required": not name.endswith("?")}
        text = text.removeprefix(", ")
    return {"type": "object", "properties": fields}, _after(">", text)


def _after(mark: str, text: str) -> str:
    if not text.startswith(mark):
        raise _UnspeakableError
    return text.removeprefix(mark)
