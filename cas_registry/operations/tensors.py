"""The tensors of a version: what there is, from maps alone; one of them, from its own chunks alone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from cas_registry.errors import InvalidInputError, NotFoundError, UnsupportedFormatError
from cas_registry.model.maps import Located
from cas_registry.model.tensors import ElementType, Tensor
from cas_registry.operations.transfer import fetch_group
from cas_registry.operations.version_files import VersionFile, VersionFiles, list_files
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

STEP_BYTES = 8 * 1024 * 1024
_NUMPY = {
    ElementType.BOOL: "?", ElementType.U8: "u1", ElementType.I8: "i1", ElementType.U16: "<u2", ElementType.I16: "<i2",
    ElementType.U32: "<u4", ElementType.I32: "<i4", ElementType.U64: "<u8", ElementType.I64: "<i8", ElementType.F16: "<f2",
    ElementType.F32: "<f4", ElementType.F64: "<f8", ElementType.C64: "<c8", ElementType.C128: "<c16",
}  # fmt: skip
_ML_DTYPES = {
    ElementType.BF16: "bfloat16", ElementType.F8_E4M3: "float8_e4m3fn", ElementType.F8_E5M2: "float8_e5m2",
    ElementType.F8_E8M0: "float8_e8m0fnu", ElementType.F8_E4M3FNUZ: "float8_e4m3fnuz", ElementType.F8_E5M2FNUZ: "float8_e5m2fnuz",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor of a version: the file that it is in, its name, type (as safetensors or its container calls it), shape, bytes."""

    path: str
    name: str
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor with the chunks of its file, and where those start."""

    path: str
    tensor: Tensor
    chunks: Sequence[Located]
    starts: Sequence[int]

    def covering(self) -> tuple[Sequence[Located], int]:
        """The chunks that hold the tensor's bytes, and how many bytes of the first come before it."""
        if not self.tensor.size_bytes:
            return (), 0
        first = bisect_right(self.starts, self.tensor.offset) - 1
        last = bisect_right(self.starts, self.tensor.offset + self.tensor.size_bytes - 1)
        return self.chunks[first:last], self.tensor.offset - self.starts[first]


def stored_tensors(stores: Stores, version: Version, path: str | None = None) -> Iterator[StoredTensor]:
    """Every tensor of a version, or of one of its files, from trees and maps alone."""
    located = VersionFiles(stores.objects, version.map)  # first: it brings the trees along
    files = [file for file in list_files(stores.objects, version.tree)[0] if path is None or file.path == path]
    if path is not None and not files:
        raise NotFoundError(f"{version.model}@{version.commit.short} has no file {path!r}; reg ls lists them", path=path)
    located.prepare((file.entry, file.folder) for file in files)
    for file in files:
        yield from tensors_of_file(located, file)


def tensors_of_file(located: VersionFiles, file: VersionFile) -> Iterator[StoredTensor]:
    """The tensors of one file, by the maps of a version that has it."""
    index = located.index(file.entry, file.folder)
    if index is None:
        return
    chunks = located.chunks(file.entry, file.folder)
    starts = list(accumulate((item.placement.raw_bytes for item in chunks[:-1]), initial=0))
    for tensor in index.tensors:
        yield StoredTensor(file.path, tensor, chunks, starts)


def list_tensors(stores: Stores, version: Version, path: str | None = None) -> list[TensorInfo]:
    """Names, types, shapes and sizes; no data is read."""
    return [
        TensorInfo(found.path, found.tensor.name, found.tensor.dtype, found.tensor.shape, found.tensor.size_bytes)
        for found in stored_tensors(stores, version, path)
    ]


def read_tensor(stores: Stores, version: Version, name: str, path: str | None = None) -> npt.NDArray[np.generic]:
    """One tensor as an array of its shape, from its own chunks, each verified. It may share memory with nothing else and is writable.

    NotFoundError if no file has it, InvalidInputError if several do and `path` does not say which, UnsupportedFormatError
    for an element type that numpy and ml_dtypes have no name for.
    """
    found = [item for item in stored_tensors(stores, version, path) if item.tensor.name == name]
    if not found:
        where = f"{version.model}@{version.commit.short}" + (f":{path}" if path else "")
        raise NotFoundError(f"{where} has no tensor {name!r}; Model.tensors lists them", tensor=name)
    if len(found) > 1:
        raise InvalidInputError(f"{name!r} is in {', '.join(item.path for item in found)}: say which by path=", tensor=name)
    return to_array(found[0].tensor, b"".join(read_steps(stores, found[0])))


def read_steps(stores: Stores, found: StoredTensor) -> Iterator[bytes]:
    """A tensor's bytes, some MiB at a time; every step but the last is of whole elements."""
    chunks, skip = found.covering()
    left = found.tensor.size_bytes
    group: list[Located] = []
    size = 0
    for number, located in enumerate(chunks):
        group.append(located)
        size += located.placement.raw_bytes
        if size >= STEP_BYTES or number == len(chunks) - 1:
            data = b"".join(fetch_group(stores.objects, group))[skip : skip + left]
            yield data
            left -= len(data)
            group, size, skip = [], 0, 0


def to_array(tensor: Tensor, data: bytes) -> npt.NDArray[np.generic]:
    """The tensor's elements in its shape."""
    import numpy as np

    dtype = dtype_of(tensor)
    flat = np.frombuffer(bytearray(data), dtype=dtype)
    if tensor.strides is None:
        return flat.reshape(tensor.shape)
    strides = tuple(stride * dtype.itemsize for stride in tensor.strides)
    if any(stride < 0 for stride in strides):
        raise UnsupportedFormatError(f"{tensor.name}: negative strides", tensor=tensor.name)
    reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True) if size)
    if 0 not in tensor.shape and reach >= flat.size:
        raise UnsupportedFormatError(f"{tensor.name}: its strides reach beyond its bytes", tensor=tensor.name)
    return np.lib.stride_tricks.as_strided(flat, tensor.shape, strides).copy()


def dtype_of(tensor: Tensor) -> np.dtype[np.generic]:
    """The numpy type of its elements. UnsupportedFormatError where there is none."""
    import numpy as np

    if tensor.element in _NUMPY:
        return np.dtype(_NUMPY[tensor.element])
    if tensor.element in _ML_DTYPES:
        import ml_dtypes

        found: np.dtype[np.generic] = np.dtype(getattr(ml_dtypes, _ML_DTYPES[tensor.element]))
        return found
    raise UnsupportedFormatError(
        f"{tensor.name} has elements of type {tensor.dtype}, which numpy has no type for; read its file with Model.open",
        tensor=tensor.name,
    )
