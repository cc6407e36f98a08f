"""Chunking: where to cut. Pure: buffers in, pieces out; where cuts fall decides sharing, never correctness.

Every chunker turns a stream of buffers into lists of `Piece`; tensor-aware chunkers find their room here, chosen by
content in `chunker_for`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from cas_registry.model.registry_format import ChunkingParameters


@dataclass(frozen=True, slots=True)
class Piece:
    """One chunk's bytes; `element` is the element type of the tensor it was cut from (0: none)."""

    data: memoryview
    element: int = 0


class Chunker(Protocol):
    """Cuts one file."""

    def cut(self, buffers: Iterable[bytes]) -> Iterator[list[Piece]]:
        """The pieces of the concatenated buffers, in order, in batches of about a buffer; memory stays at two buffers."""


def chunker_for(parameters: ChunkingParameters) -> Chunker:
    """The chunker for any file: content-defined cuts."""
    from cas_registry.chunking.fastcdc import ContentDefinedChunker  # noqa: PLC0415 - the extension loads when a file is cut

    return ContentDefinedChunker(parameters)
