"""Nested values without pickle: arrays lie in one safetensors file under their paths, and a JSON file says what else there is, and where.

Dicts, lists, tuples, text, numbers, booleans and None stay what they are, and so do keys that are numbers; arrays of numpy, JAX and PyTorch
come back as arrays of the same library and type (bfloat16 and fp8 by ml_dtypes). A PyTorch tensor that stands in two places is written once.
Anything else has no place here: InvalidInputError says where it stands.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cas_registry.errors import FormatError, InvalidInputError, LimitError
from cas_registry.frameworks.adapter import is_a

MAX_VALUES = 1_000_000  # that are looked at before a value counts as none of arrays
MAX_DEPTH = 200  # json recurses, and Python stops it near 1,000
_TAG = "$"
_METADATA = "__metadata__"  # what safetensors calls something else
_NUMPY = {  # what safetensors calls them, and numpy with ml_dtypes
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32", "I32": "int32", "U64": "uint64",
    "I64": "int64", "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64", "C64": "complex64", "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu", "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz",
}  # fmt: skip


def array_kind(value: object) -> str | None:
    """`torch`, `numpy` or `jax`, where the value is an array of that library."""
    if is_a(value, "torch:Tensor"):
        return "torch"
    if is_a(value, "numpy:ndarray", "numpy:generic"):
        return "numpy"
    return "jax" if is_a(value, "jax:Array") else None


def has_array(value: object, *kinds: str) -> bool:
    """Whether plain containers hold an array of one of these libraries somewhere."""
    pending = [value]
    for _ in range(MAX_VALUES):
        if not pending:
            return False
        found = pending.pop()
        if array_kind(found) in kinds:
            return True
        if isinstance(found, Mapping):
            pending += found.values()
        elif isinstance(found, (list, tuple)):
            pending += found
    return False


def write_tree(value: object, folder: Path, stem: str) -> None:
    """Write `STEM.json`, and `STEM.safetensors` where there are arrays."""
    writer = _Writer()
    skeleton = writer.take(value, ())
    text = json.dumps(skeleton, ensure_ascii=False, allow_nan=False, indent=1)
    (folder / f"{stem}.json").write_text(text + "\n", encoding="utf-8")
    if writer.arrays:
        from safetensors.numpy import save_file

        save_file(writer.arrays, folder / f"{stem}.safetensors")


def read_tree(folder: Path, stem: str) -> Any:
    """What `write_tree` was given. Raises FormatError."""
    file = folder / f"{stem}.safetensors"
    arrays: dict[str, Any] = {}
    if file.exists():
        from safetensors import deserialize

        arrays = dict(deserialize(file.read_bytes()))
    try:
        return _Reader(arrays).give(json.loads((folder / f"{stem}.json").read_text(encoding="utf-8")))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"{stem}.json is no tree of values: {error}", path=f"{stem}.json") from error


class _Writer:
    """Takes a tree apart; `arrays` are what safetensors is given."""

    def __init__(self) -> None:
        self.arrays: dict[str, Any] = {}
        self._names: dict[tuple[object, ...], str] = {}

    def take(self, value: object, path: tuple[str, ...]) -> Any:  # noqa: PLR0911 - one for each kind of value
        if len(path) > MAX_DEPTH:
            raise LimitError(f"values are nested more than {MAX_DEPTH} deep at {'/'.join(path[:8])}/…")
        kind = array_kind(value)
        if kind:
            return self._array(kind, value, path)
        match value:
            case None | bool() | str():
                return value
            case int() if type(value) is int:
                return value
            case float() if type(value) is float:
                return value if math.isfinite(value) else {_TAG: "float", "value": repr(value)}
            case list() if type(value) is list:
                return [self.take(item, (*path, str(number))) for number, item in enumerate(value)]
            case tuple() if type(value) is tuple:
                return {_TAG: "tuple", "items": [self.take(item, (*path, str(number))) for number, item in enumerate(value)]}
            case Mapping():
                return self._mapping(value, path)
            case _:
                raise InvalidInputError(
                    f"{'/'.join(path) or 'the value'} is a {type(value).__module__}.{type(value).__qualname__}, which is neither an array nor "
                    "a plain value; convert it, or leave it out",
                    path="/".join(path),
                )

    def _mapping(self, value: Mapping[Any, object], path: tuple[str, ...]) -> Any:
        if all(type(key) is str for key in value) and _TAG not in value:
            return {key: self.take(item, (*path, key)) for key, item in value.items()}
        if not all(type(key) in (str, int, float, bool, type(None)) for key in value):
            raise InvalidInputError(
                f"{'/'.join(path) or 'the value'} has keys that are neither text nor numbers", path="/".join(path)
            )
        return {_TAG: "dict", "items": [[key, self.take(item, (*path, str(key)))] for key, item in value.items()]}

    def _array(self, kind: str, value: Any, path: tuple[str, ...]) -> Any:
        mark = {_TAG: kind}
        if kind == "jax" and str(value.dtype).startswith("key<"):  # a key of random numbers, which numpy has no type for
            import jax

            mark = {_TAG: "jax key", "impl": str(jax.random.key_impl(value))}
            value = jax.random.key_data(value)
        identity = tensor_identity(value) if kind == "torch" else None
        name = self._names.get(identity) if identity else None
        if name is None:
            name = "/".join(path) or "value"
            while name in self.arrays or name == _METADATA:  # a key may have a slash
                name += "_"
            self.arrays[name] = _as_numpy(kind, value, name)
            if identity:
                self._names[identity] = name
        return {**mark, "name": name}


def tensor_identity(value: Any) -> tuple[object, ...] | None:
    """What tells that two tensors of PyTorch are one; None for an empty one, which is like any other."""
    if not value.numel():
        return None
    return value.data_ptr(), tuple(value.shape), value.stride(), value.dtype, str(value.device)


def _as_numpy(kind: str, value: Any, name: str) -> Any:
    """The array as numpy has it, its elements side by side, least significant byte first."""
    import numpy as np

    dtype = str(value.dtype).removeprefix("torch.") if kind == "torch" else np.dtype(value.dtype).newbyteorder("=").name
    if dtype not in _NUMPY.values():
        raise InvalidInputError(
            f"{name} has elements of type {dtype}, for which safetensors has no name; convert it", path=name
        )
    if kind == "torch":
        import torch

        whole = value.detach().cpu().contiguous()
        data = whole.reshape(-1).view(torch.uint8).numpy() if whole.numel() else np.empty(0, np.uint8)
        return data.view(_numpy_type(dtype)).reshape(tuple(value.shape))  # numpy itself knows neither bfloat16 nor fp8
    return np.asarray(value, _numpy_type(dtype), order="C")


class _Reader:
    """Puts a tree together; what was one tensor in two places is one again."""

    def __init__(self, stored: Mapping[str, Any]) -> None:
        self._stored = stored
        self._made: dict[str, Any] = {}

    def give(self, value: Any) -> Any:  # noqa: PLR0911 - likewise
        match value:
            case list():
                return [self.give(item) for item in value]
            case dict() if _TAG not in value:
                return {key: self.give(item) for key, item in value.items()}
            case {"$": "tuple", "items": list() as items}:
                return tuple(self.give(item) for item in items)
            case {"$": "dict", "items": list() as items}:
                return {key: self.give(item) for key, item in items}
            case {"$": "float", "value": str() as text}:
                return float(text)
            case {"$": "jax key", "name": str() as name, "impl": str() as impl}:
                import jax

                return jax.random.wrap_key_data(_restored("jax", self._stored[name]), impl=impl)
            case {"$": str() as kind, "name": str() as name}:
                if name not in self._made:
                    self._made[name] = _restored(kind, self._stored[name])
                return self._made[name]
            case dict():
                raise FormatError(f"a mark that is not known: {value}")
            case _:
                return value


def _restored(kind: str, stored: Mapping[str, Any]) -> Any:
    name, shape, data = _NUMPY[stored["dtype"]], stored["shape"], bytearray(stored["data"])
    if kind == "torch":
        import torch

        dtype = getattr(torch, name)
        return torch.frombuffer(data, dtype=dtype).reshape(shape) if data else torch.empty(shape, dtype=dtype)
    import numpy as np

    array = np.frombuffer(data, dtype=_numpy_type(name)).reshape(shape)
    if kind == "numpy":
        return array
    if kind == "jax":
        import jax.numpy as jnp

        return jnp.asarray(array)
    raise FormatError(f"unknown kind of array {kind!r}")


def _numpy_type(name: str) -> Any:
    import numpy as np

    if name.startswith(("bfloat16", "float8")):
        import ml_dtypes

        return np.dtype(getattr(ml_dtypes, name))
    return np.dtype(name)
