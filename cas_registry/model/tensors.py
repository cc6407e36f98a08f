"""Tensors inside files: what they are called, what they hold, where their bytes lie.

Element types carry the names that safetensors gives them. A chunk cut from a tensor carries the type's code, so that codecs know
the width of an element; see docs/format.md, "Elements".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum


class ElementType(IntEnum):
    """What one element of a tensor is, as its code in maps and packs. OPAQUE: bytes of no further structure, such as quantised blocks."""

    NONE = 0
    OPAQUE = 1
    BOOL = 2
    U8 = 3
    I8 = 4
    U16 = 5
    I16 = 6
    U32 = 7
    I32 = 8
    U64 = 9
    I64 = 10
    F16 = 11
    BF16 = 12
    F32 = 13
    F64 = 14
    C64 = 15
    C128 = 16
    F8_E4M3 = 17
    F8_E5M2 = 18
    F8_E8M0 = 19
    F8_E4M3FNUZ = 20
    F8_E5M2FNUZ = 21

    @property
    def width(self) -> int:
        """Bytes of one number; of a complex element, of either part."""
        return _WIDTHS.get(self, 1)


_WIDTHS = {
    ElementType.U16: 2, ElementType.I16: 2, ElementType.F16: 2, ElementType.BF16: 2,
    ElementType.U32: 4, ElementType.I32: 4, ElementType.F32: 4, ElementType.C64: 4,
    ElementType.U64: 8, ElementType.I64: 8, ElementType.F64: 8, ElementType.C128: 8,
}  # fmt: skip


_FLOATS = frozenset((ElementType.F16, ElementType.BF16, ElementType.F32))


def predicts(base: ElementType, element: ElementType) -> bool:
    """Whether chunks of one type can be stored as deltas to chunks of the other: the same type, or rounded or widened floats."""
    return base is element or (base in _FLOATS and element in _FLOATS)


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of a file: `size_bytes` from byte `offset` of the file on hold its elements.

    `dtype` is the name of an `ElementType`, or the container's own name for a type that has none (`Q4_K` of GGUF). `strides`, in
    elements, are set where the elements are not in C order (a transposed view of PyTorch, say); the bytes then cover all of them.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    size_bytes: int
    strides: tuple[int, ...] | None = None

    @property
    def element(self) -> ElementType:
        return ElementType.__members__.get(self.dtype, ElementType.OPAQUE)


@dataclass(frozen=True, slots=True)
class TensorIndex:
    """The tensors of one file, in the order of their offsets. `external` lists tensors that lie in other files, by relative path."""

    container: str
    tensors: tuple[Tensor, ...]
    external: Mapping[str, tuple[Tensor, ...]] = field(default_factory=dict)
