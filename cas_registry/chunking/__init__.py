"""Chunking: where to cut. Pure: bytes in, pieces out; where cuts fall decides sharing, never correctness.

A file is a row of segments: tensors, cut into pieces of a fixed number of elements, and what lies between them (all of a file
of no known container), cut by content.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cas_registry.model.registry_format import ChunkingParameters
from cas_registry.model.tensors import ElementType, Tensor

MIN_TENSOR_BYTES = 512  # smaller ones are cut with what surrounds them: a row in a map costs more than sharing them gains
READ_BYTES = 2 * 1024 * 1024

Read = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Piece:
    """One chunk's bytes, where they lie in the file, and the element type of the tensor they were cut from."""

    data: memoryview
    offset: int
    element: ElementType = ElementType.NONE


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes that are cut alike: of one tensor, or (NONE) of none."""

    offset: int
    size_bytes: int
    element: ElementType = ElementType.NONE


def segments(size_bytes: int, tensors: Sequence[Tensor] = ()) -> list[Segment]:
    """The segments of a file, in order and without gaps. Of tensors that share bytes the first (the longest at its place) counts."""
    found: list[Segment] = []
    position = 0
    for tensor in sorted(tensors, key=lambda tensor: (tensor.offset, -tensor.size_bytes)):
        if tensor.offset < position or tensor.size_bytes < MIN_TENSOR_BYTES:
            continue
        if tensor.offset > position:
            found.append(Segment(position, tensor.offset - position))
        found.append(Segment(tensor.offset, tensor.size_bytes, tensor.element))
        position = tensor.offset + tensor.size_bytes
    if position < size_bytes:
        found.append(Segment(position, size_bytes - position))
    return found


def cut(read: Read, plan: Sequence[Segment], parameters: ChunkingParameters) -> Iterator[list[Piece]]:
    """The pieces of a file, in order, in batches of some MiB at most. `read(n)` gives its next n bytes, fewer only at its end."""
    from cas_registry.chunking.fastcdc import ContentDefinedChunker

    by_content = ContentDefinedChunker(parameters)
    for segment in plan:
        if segment.element is ElementType.NONE:
            offset = segment.offset
            for datas in by_content.cut(_buffers(read, segment.size_bytes)):
                pieces: list[Piece] = []
                for data in datas:
                    pieces.append(Piece(data, offset))
                    offset += len(data)
                yield pieces
        else:
            step = parameters.elements * segment.element.width
            for start in range(0, segment.size_bytes, step):
                element_data = read(min(step, segment.size_bytes - start))
                yield [Piece(memoryview(element_data), segment.offset + start, segment.element)] if element_data else []


def _buffers(read: Read, size_bytes: int) -> Iterator[bytes]:
    while size_bytes > 0 and (data := read(min(size_bytes, READ_BYTES))):
        size_bytes -= len(data)
        yield data
