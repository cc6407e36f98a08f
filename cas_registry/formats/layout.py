"""Checks that every container's tensors pass: sizes that follow from types and shapes, places within the file, no overlaps."""

from collections.abc import Iterable, Mapping, Sequence
from math import prod

from cas_registry.formats.source import MAX_NAME_BYTES, MalformedError
from cas_registry.model.tensors import ElementType, Tensor, TensorIndex

MAX_TENSORS = 200_000
MAX_DIMENSIONS = 64  # numpy's own limit, and PyTorch's
MAX_BYTES = (1 << 63) - 1  # offsets and sizes are signed 64-bit numbers everywhere below
MAX_EXPANDED_ELEMENTS = 1 << 28  # of a view that repeats its elements by strides of zero

_COMPLEX = (ElementType.C64, ElementType.C128)
_BITS = {
    element.name: 8 * element.width * (2 if element in _COMPLEX else 1)
    for element in ElementType
    if element not in {ElementType.NONE, ElementType.OPAQUE}
} | {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}  # fmt: skip


def is_known(dtype: str) -> bool:
    """Whether `packed_bytes` knows the size of an element of this type."""
    return dtype in _BITS


def packed_bytes(dtype: str, shape: Sequence[int]) -> int:
    """What a tensor of a known type takes, its elements side by side."""
    return bits_to_bytes(_BITS[dtype] * element_count(shape))


def bits_to_bytes(bits: int) -> int:
    return (bits + 7) // 8


def element_count(shape: Sequence[int]) -> int:
    """The product of the dimensions; malformed where they are not plausible ones."""
    if len(shape) > MAX_DIMENSIONS or not all(type(length) is int and 0 <= length <= MAX_BYTES for length in shape):
        raise MalformedError("not a shape")
    if 0 in shape:
        return 0
    count = prod(shape)
    if count > MAX_BYTES:
        raise MalformedError("more elements than any file holds")
    return count


def row_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides, in elements, of a tensor in C order."""
    strides: list[int] = []
    step = 1
    for length in reversed(shape):
        strides.append(step)
        step *= length
    return tuple(reversed(strides))


def spanned_elements(shape: Sequence[int], strides: Sequence[int]) -> int:
    """How many elements lie from the first to the last one of a strided view; malformed where a stride is not plausible."""
    count = element_count(shape)
    if len(shape) != len(strides) or not all(type(stride) is int and 0 <= stride <= MAX_BYTES for stride in strides):
        raise MalformedError("not strides")
    if count == 0:
        return 0
    span = 1 + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
    if count > max(span, MAX_EXPANDED_ELEMENTS):
        raise MalformedError("a view that repeats its elements without end")
    return span


def needed_strides(shape: Sequence[int], strides: Sequence[int]) -> tuple[int, ...] | None:
    """None where these strides are those of C order; dimensions of length 1 may have any."""
    if 0 in shape:
        return None
    rows = row_strides(shape)
    if all(length == 1 or stride == row for length, stride, row in zip(shape, strides, rows, strict=True)):
        return None
    return tuple(strides)


def unique_names(tensors: Iterable[Tensor]) -> list[Tensor]:
    """The same tensors; of two with one name the later gets `#2`, for containers that join names out of parts."""
    seen: dict[str, int] = {}
    named: list[Tensor] = []
    for tensor in tensors:
        name = tensor.name
        seen[tensor.name] = count = seen.get(tensor.name, 0) + 1
        if count > 1:
            name = f"{name}#{count}"
            seen.setdefault(name, 1)
            tensor = Tensor(name, tensor.dtype, tensor.shape, tensor.offset, tensor.size_bytes, tensor.strides)  # noqa: PLW2901
        named.append(tensor)
    return named


def index_of(
    container: str,
    tensors: Iterable[Tensor],
    size_bytes: int,
    *,
    aliases: bool = False,
    external: Mapping[str, tuple[Tensor, ...]] | None = None,
) -> TensorIndex:
    """The index of a file of `size_bytes`, once all tensors pass. With `aliases`, tensors may share bytes."""
    return TensorIndex(container, arranged(tensors, size_bytes, aliases=aliases), external or {})


def arranged(tensors: Iterable[Tensor], size_bytes: int, *, aliases: bool = False) -> tuple[Tensor, ...]:
    """The tensors in the order of their offsets; malformed where names repeat or places are impossible."""
    placed = sorted(tensors, key=lambda tensor: (tensor.offset, tensor.size_bytes, tensor.name))
    if len(placed) > MAX_TENSORS:
        raise MalformedError("too many tensors")
    end = 0
    names: set[str] = set()
    for tensor in placed:
        if tensor.offset < 0 or tensor.size_bytes < 0 or tensor.offset + tensor.size_bytes > size_bytes:
            raise MalformedError("a tensor beyond the file")
        if tensor.size_bytes and tensor.offset < end and not aliases:
            raise MalformedError("tensors that overlap")
        end = max(end, tensor.offset + tensor.size_bytes)
        _check_name(tensor.name)
        names.add(tensor.name)
    if len(names) != len(placed):
        raise MalformedError("two tensors of one name")
    return tuple(placed)


def _check_name(name: str) -> None:
    try:
        length = len(name.encode())
    except UnicodeEncodeError as error:
        raise MalformedError("a name that is not Unicode") from error
    if length > MAX_NAME_BYTES:
        raise MalformedError("a name without end")
