"""GGUF, versions 2 and 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): metadata, tensor infos, the tensors' bytes.

Metadata is walked over and not kept, but for the alignment. Shapes are in C order, so that a tensor has the shape it has in numpy;
GGUF itself names the fastest dimension first.
"""

from cas_registry.formats.cursor import Cursor
from cas_registry.formats.layout import MAX_DIMENSIONS, MAX_TENSORS, element_count, index_of, packed_bytes
from cas_registry.formats.source import MAX_HEADER_BYTES, MAX_NAME_BYTES, MalformedError, Window
from cas_registry.model.tensors import Tensor, TensorIndex

SIGNATURE = b"GGUF"
_VERSIONS = (2, 3)  # of the other byte order they are other numbers
_MAX_NESTING = 8  # of arrays in metadata; writers use one
_ALIGNMENT = b"general.alignment"
_DEFAULT_ALIGNMENT = 32

_U32, _STRING, _ARRAY = 4, 8, 9
_SCALAR_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

_PLAIN = {0: "F32", 1: "F16", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 30: "BF16"}
_BLOCKS = {  # name, elements in a block, bytes of a block; without Q8_1, whose block is 36 bytes to ggml and 40 to gguf-py
    2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 29: ("IQ1_M", 256, 56),
    34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}  # fmt: skip


def read(window: Window) -> TensorIndex | None:
    """None for versions not known here, those of the other byte order among them; tensors of unknown types are left out."""
    cursor = Cursor(window, len(SIGNATURE), min(window.size_bytes, MAX_HEADER_BYTES))
    if cursor.u32() not in _VERSIONS:
        return None
    tensor_count, pair_count = cursor.u64(), cursor.u64()
    if tensor_count > MAX_TENSORS:
        raise MalformedError("too many tensors")
    alignment = _DEFAULT_ALIGNMENT
    for _ in range(pair_count):  # each takes bytes of a header that is limited
        key = _string(cursor)
        kind = cursor.u32()
        if key == _ALIGNMENT and kind == _U32:
            alignment = cursor.u32()
        else:
            _skip_value(cursor, kind, 0)
    if alignment == 0 or alignment & (alignment - 1):
        raise MalformedError("an alignment that is no power of two")
    infos = [_info(cursor) for _ in range(tensor_count)]
    start = -(-cursor.position // alignment) * alignment
    tensors = (_tensor(name, shape, kind, start + offset) for name, shape, kind, offset in infos)
    return index_of("gguf", (tensor for tensor in tensors if tensor), window.size_bytes)


def _string(cursor: Cursor) -> bytes:
    length = cursor.u64()
    if length > MAX_NAME_BYTES:
        cursor.skip(length)
        return b""
    return cursor.take(length)


def _skip_value(cursor: Cursor, kind: int, depth: int) -> None:
    if kind == _STRING:
        cursor.skip(cursor.u64())
    elif kind == _ARRAY:
        if depth >= _MAX_NESTING:
            raise MalformedError("arrays nested without end")
        item, count = cursor.u32(), cursor.u64()
        if item in _SCALAR_BYTES:
            cursor.skip(count * _SCALAR_BYTES[item])
        elif item == _STRING:
            for _ in range(count):
                cursor.skip(cursor.u64())
        else:
            for _ in range(count):
                _skip_value(cursor, item, depth + 1)
    elif kind in _SCALAR_BYTES:
        cursor.skip(_SCALAR_BYTES[kind])
    else:
        raise MalformedError("a value of no known type")


def _info(cursor: Cursor) -> tuple[str, tuple[int, ...], int, int]:
    """Name, shape in C order, type, offset from where the tensors begin."""
    length = cursor.u64()
    if length > MAX_NAME_BYTES:
        raise MalformedError("a name without end")
    name = cursor.take(length).decode()
    dimensions = cursor.u32()
    if dimensions > MAX_DIMENSIONS:
        raise MalformedError("not a shape")
    shape = tuple(cursor.u64() for _ in range(dimensions))[::-1]
    return name, shape, cursor.u32(), cursor.u64()


def _tensor(name: str, shape: tuple[int, ...], kind: int, offset: int) -> Tensor | None:
    if kind in _PLAIN:
        return Tensor(name, _PLAIN[kind], shape, offset, packed_bytes(_PLAIN[kind], shape))
    if kind not in _BLOCKS:
        return None
    dtype, block_elements, block_bytes = _BLOCKS[kind]
    if not shape or shape[-1] % block_elements:
        raise MalformedError("rows that are no whole blocks")
    return Tensor(name, dtype, shape, offset, element_count(shape) // block_elements * block_bytes)
