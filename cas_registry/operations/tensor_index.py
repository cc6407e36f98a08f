"""A file's tensor index as maps keep it: canonical JSON in a zstd frame. See docs/format.md, "Tensor indexes"."""

import zstandard

from cas_registry.codecs import zstd
from cas_registry.errors import FormatError, LimitError
from cas_registry.model import canonical
from cas_registry.model.canonical import MAX_INTEGER
from cas_registry.model.tensors import Tensor, TensorIndex

MAX_INDEX_BYTES = 32 * 1024 * 1024
MAX_TENSORS = 200_000
MAX_DIMENSIONS = 64


def encode_index(index: TensorIndex) -> bytes | None:
    """The bytes to attach to a map; None for an index over the limit, which is then done without."""
    rows: list[canonical.Json] = [
        [
            tensor.name, tensor.dtype, list(tensor.shape), tensor.offset, tensor.size_bytes,
            list(tensor.strides) if tensor.strides is not None else None,
        ]
        for tensor in index.tensors
    ]  # fmt: skip
    if len(rows) > MAX_TENSORS:
        return None
    try:
        data = canonical.encode({"v": 1, "kind": "tensors", "container": index.container, "tensors": rows})
    except LimitError:
        return None
    return zstd.encode(data) if len(data) <= MAX_INDEX_BYTES else None


def decode_index(encoded: bytes | memoryview, *, size_bytes: int) -> TensorIndex:
    """The index of a file of `size_bytes`, every number checked. Raises FormatError."""
    try:
        announced = zstandard.frame_content_size(encoded)
    except zstandard.ZstdError as error:
        raise FormatError(f"a damaged tensor index: {error}") from error
    if not 0 < announced <= MAX_INDEX_BYTES:
        raise FormatError(f"a tensor index that announces {announced:,} bytes; the limit is {MAX_INDEX_BYTES:,}")
    container, rows = canonical.fields(
        canonical.decode(zstd.decode(encoded, announced), kind="tensors"), "container", "tensors", what="tensor index"
    )
    if not isinstance(container, str) or not isinstance(rows, list) or len(rows) > MAX_TENSORS:
        raise FormatError("a tensor index without its container or its tensors")
    return TensorIndex(container, tuple(_decode_row(row, size_bytes) for row in rows))


def _decode_row(row: canonical.Json, limit: int) -> Tensor:
    match row:
        case [str() as name, str() as dtype, list() as shape, offset, size, strides] if strides is None or isinstance(
            strides, list
        ):
            start = canonical.integer(offset, what="offset", maximum=limit)
            length = canonical.integer(size, what="size", maximum=limit - start)
            return Tensor(name, dtype, _numbers(shape), start, length, None if strides is None else _numbers(strides))
    raise FormatError("a tensor index with a row of another form")


def _numbers(values: list[canonical.Json]) -> tuple[int, ...]:
    if len(values) > MAX_DIMENSIONS:
        raise FormatError(f"a tensor of {len(values)} dimensions; the limit is {MAX_DIMENSIONS}")
    return tuple(canonical.integer(value, what="dimension", maximum=MAX_INTEGER) for value in values)
