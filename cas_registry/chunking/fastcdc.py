"""Content-defined cuts by FastCDC 2020 (Xia et al., https://doi.org/10.1109/TPDS.2020.2984632), from pyfastcdc.

The cut after a position depends on the bytes that follow it up to the maximum chunk size only, so a file can be cut buffer
by buffer: the last piece of a buffer may still grow and is carried into the next.
"""

from collections.abc import Iterable, Iterator

from pyfastcdc import FastCDC

from cas_registry.model.registry_format import ChunkingParameters


class ContentDefinedChunker:
    """Cuts by content, normalised chunking level 1, seed 0."""

    def __init__(self, parameters: ChunkingParameters) -> None:
        self._parameters = parameters
        self._fastcdc = FastCDC(
            parameters.avg_bytes, min_size=parameters.min_bytes, max_size=parameters.max_bytes, normalized_chunking=1, seed=0
        )

    def cut(self, buffers: Iterable[bytes]) -> Iterator[list[memoryview]]:
        """The pieces of the concatenated buffers, in order, in batches of about a buffer; memory stays at two buffers."""
        carried = b""
        for buffer in buffers:
            data = memoryview(carried + buffer if carried else buffer)
            lengths = [chunk.length for chunk in self._fastcdc.cut_buf(data)]
            tail = lengths.pop() if lengths else 0
            pieces = _slice(data, lengths)
            carried = bytes(data[len(data) - tail :])
            if pieces:
                yield pieces
        if carried:
            yield [memoryview(carried)]


def _slice(data: memoryview, lengths: list[int]) -> list[memoryview]:
    pieces: list[memoryview] = []
    start = 0
    for length in lengths:
        pieces.append(data[start : start + length])
        start += length
    return pieces
