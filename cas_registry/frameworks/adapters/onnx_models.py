"""ONNX: a model as its own protobuf; beyond what that can hold, its tensors lie in a file beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.frameworks.hyperparameters import flat_params
from cas_registry.model.manifest import SavedObject
from cas_registry.model.schema import Column, Schema

_FILE = "model.onnx"
_DATA = "model.onnx.data"
MAX_INLINE_BYTES = 1_900_000_000  # protobuf ends at 2 GiB


def _matches(obj: object) -> bool:
    return is_a(obj, "onnx:ModelProto")


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    import onnx

    limit_bytes = options.more.get("max_inline_bytes", MAX_INLINE_BYTES)
    if obj.ByteSize() > limit_bytes:
        onnx.save_model(obj, folder / _FILE, save_as_external_data=True, all_tensors_to_one_file=True, location=_DATA)
        onnx.load_external_data_for_model(obj, str(folder))  # writing them took the tensors out of the caller's model
        for tensor in obj.graph.initializer:
            if tensor.data_location == onnx.TensorProto.DEFAULT:
                tensor.ClearField("data_location")  # said nothing before
    else:
        (folder / _FILE).write_bytes(obj.SerializeToString(deterministic=True))
    params = {
        "ir_version": obj.ir_version,
        "producer": f"{obj.producer_name} {obj.producer_version}".strip(),
        "opset": {entry.domain or "ai.onnx": entry.version for entry in obj.opset_import},
        "nodes": len(obj.graph.node),
        "metadata": {entry.key: entry.value for entry in obj.metadata_props},
    }
    return Saved("onnx", params=flat_params(params), schema=_schema(obj.graph))


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    del options
    import onnx

    return onnx.load_model(folder / next(path for path in stored.files if path.endswith(".onnx")))


def _schema(graph: Any) -> Schema:
    weights = {tensor.name for tensor in graph.initializer}
    return Schema(_columns(value for value in graph.input if value.name not in weights), _columns(graph.output))


def _columns(values: Iterable[Any]) -> tuple[Column, ...]:
    return tuple(_column(value) for value in values)


def _column(value: Any) -> Column:
    from onnx import TensorProto

    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":  # a sequence, a map
        return Column(value.name, str(kind or "unknown").removesuffix("_type"))
    tensor = value.type.tensor_type
    shape = tuple(size.dim_value if size.HasField("dim_value") else None for size in tensor.shape.dim)
    name = TensorProto.DataType.Name(tensor.elem_type).lower()
    return Column(
        value.name, {"float": "float32", "double": "float64"}.get(name, name), shape if tensor.HasField("shape") else None
    )


def _recognizes(paths: Sequence[str]) -> SavedObject | None:
    found = [path for path in paths if path.endswith(".onnx") and "/" not in path]
    if len(found) != 1:
        return None
    beside = [path for path in paths if path.startswith(found[0]) or path.endswith((".data", ".onnx_data"))]
    return SavedObject("onnx", "onnx.ModelProto", "onnx", tuple(sorted({*found, *beside})))


ADAPTER = Adapter(
    name="onnx",
    modules=("onnx",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"onnx": "onnx"},
    formats=("onnx",),
    save_options=("max_inline_bytes",),
    recognizes=_recognizes,
)
