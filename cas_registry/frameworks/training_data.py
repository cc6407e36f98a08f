"""What is told of the data that an object was trained on: shapes, names, types, missing values, ranges, counts of labels; never a row of it.

Tables of pandas and polars, arrays of numpy, sparse matrices, tensors and lists. What is none of these is told by its type alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cas_registry.model.canonical import Scalar
from cas_registry.model.schema import Column, Schema

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MAX_COLUMNS = 1_000  # that are told one by one
MAX_LABELS = 100  # different ones that are counted; with more the target is a quantity
_MAX_NAME = 200
_MATRIX = 2  # dimensions


@dataclass(frozen=True, slots=True)
class Described:
    """`params` are a few flat numbers for searching, `data` is all of it for the manifest, `schema` what can be said of inputs and outputs."""

    params: Mapping[str, Scalar] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    schema: Schema | None = None


def describe_data(inputs: object, targets: object) -> Described:
    """What is told of `X_train` and `y_train`, either of which may be None."""
    params: dict[str, Scalar] = {}
    data: dict[str, Any] = {}
    columns: dict[str, tuple[Column, ...]] = {"inputs": (), "outputs": ()}
    for name, side, found in (("X_train", "inputs", inputs), ("y_train", "outputs", targets)):
        if found is None:
            continue
        told = data[name] = _describe(found, count_labels=side == "outputs")
        columns[side] = _columns(told)
        if "shape" in told:
            params[f"{name}.rows"] = told["shape"][0] if told["shape"] else 1
            if len(told["shape"]) == _MATRIX:
                params[f"{name}.columns"] = told["shape"][1]
        if "labels" in told:
            params[f"{name}.labels"] = len(told["labels"])
    schema = Schema(**columns) if any(columns.values()) else None
    return Described(params, data, schema)


def _describe(found: Any, *, count_labels: bool) -> dict[str, Any]:
    kind = f"{type(found).__module__.partition('.')[0]}.{type(found).__qualname__}"
    names = _names(found)
    if names is not None:
        columns = [(name, _array(found[name])) for name in names[:MAX_COLUMNS]]
        told: dict[str, Any] = {"type": kind, "shape": [len(found), len(names)]}
        told["columns"] = [{"name": str(name)[:_MAX_NAME], **_column(values)} for name, values in columns]
        if count_labels and len(names) == 1:
            told |= _labels(columns[0][1])
        return told
    array = found if hasattr(found, "shape") and hasattr(found, "tocsr") else _array(found)  # a sparse matrix stays sparse
    if not getattr(array, "shape", ()):
        return {"type": kind}
    told = {"type": kind, "shape": [int(size) for size in array.shape], "dtype": str(array.dtype)}
    if isinstance(name := getattr(found, "name", None), str):  # of a series
        told["name"] = name[:_MAX_NAME]
    if not hasattr(array, "tocsr"):
        told |= {key: value for key, value in _column(array).items() if key != "dtype"}
        if count_labels and array.size == len(array):
            told |= _labels(array.reshape(-1))
    return told


def _names(found: Any) -> list[Any] | None:
    """The names of a table's columns."""
    columns = getattr(found, "columns", None)
    if columns is None or not hasattr(found, "dtypes"):
        return None
    names = list(columns)
    return names if len(set(map(str, names))) == len(names) else None


def _array(values: Any) -> npt.NDArray[np.generic]:
    import numpy as np  # noqa: PLC0415 - who has data to describe has loaded it already

    for method in ("detach", "cpu"):  # tensors of torch, wherever they live
        if callable(getattr(values, method, None)):
            values = getattr(values, method)()
    to_numpy = getattr(values, "to_numpy", None)
    try:
        return np.asarray(to_numpy() if callable(to_numpy) else values)
    except (TypeError, ValueError, RuntimeError):
        return np.empty(0, dtype=object)


def _column(values: npt.NDArray[Any]) -> dict[str, Any]:
    """Type, missing values and range; the range of numbers only."""
    import numpy as np  # noqa: PLC0415 - as above

    if values.dtype.kind not in "biuf":
        missing = sum(value is None or value != value for value in values.reshape(-1).tolist())  # noqa: PLR0124 - NaN, NaT
        return {"dtype": str(values.dtype), "missing": missing}
    if values.dtype.kind != "f":
        finite, missing = values.reshape(-1), 0
    else:
        flat = values.reshape(-1).astype(np.float64, copy=False)
        finite, missing = flat[np.isfinite(flat)], int(np.isnan(flat).sum())
    told: dict[str, Any] = {"dtype": str(values.dtype), "missing": missing}
    if finite.size:
        told |= {"min": finite.min().item(), "max": finite.max().item()}
        mean = float(finite.mean(dtype=np.float64))
        if math.isfinite(mean):
            told["mean"] = mean
    return told


def _labels(values: npt.NDArray[Any]) -> dict[str, Any]:
    """How often each label occurs, by its text; nothing where there are too many, or fractions."""
    if values.dtype.kind == "f" and any(not value.is_integer() for value in values.tolist()):
        return {}
    counts: dict[str, int] = {}
    for value in values.tolist():
        name = str(value)[:_MAX_NAME]
        counts[name] = counts.get(name, 0) + 1
        if len(counts) > MAX_LABELS:
            return {}
    return {"labels": dict(sorted(counts.items()))}


def _columns(told: Mapping[str, Any]) -> tuple[Column, ...]:
    if "columns" in told:
        return tuple(Column(column["name"], column["dtype"]) for column in told["columns"])
    if "dtype" not in told:
        return ()
    return (Column(told.get("name"), told["dtype"], (None, *told["shape"][1:])),)
