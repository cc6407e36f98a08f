"""Which chunk of an earlier version a piece of a tensor is likely to resemble: the same elements of the same tensor.

Tensors are matched by name, first in the file at the same path, then in any file of the version; those whose name is new by
their shape, where as many of that shape are left over on either side, in order (a prefix was added, say).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from cas_registry.chunking import Piece
from cas_registry.model.maps import Located
from cas_registry.model.tensors import Tensor, TensorIndex, predicts


@dataclass(frozen=True, slots=True)
class EarlierFile:
    """A file of tensors of an earlier version: what it holds, and its chunks in order."""

    path: str
    index: TensorIndex
    chunks: Callable[[], Sequence[Located]]


@dataclass(slots=True)
class Predecessors:
    """Finds predecessors among the files of earlier versions, the nearest version first."""

    files: Sequence[EarlierFile] = ()
    _rows: dict[int, Mapping[int, Located]] = field(default_factory=dict)

    def of_file(self, path: str, index: TensorIndex) -> Callable[[Piece], Located | None]:
        """The lookup for the pieces of one new file."""
        pairs = self._match(path, index)
        ordered = sorted(index.tensors, key=lambda tensor: (tensor.offset, -tensor.size_bytes))
        holders = {tensor.offset: tensor for tensor in reversed(ordered)}
        current: list[Tensor] = []

        def find(piece: Piece) -> Located | None:
            if piece.offset in holders:
                current[:] = [holders[piece.offset]]
            if not current or not current[0].offset <= piece.offset < current[0].offset + current[0].size_bytes:
                return None
            tensor = current[0]
            matched = pairs.get(tensor.name)
            if matched is None:
                return None
            number, before = matched
            elements = (piece.offset - tensor.offset) // tensor.element.width
            found = self._chunks(number).get(before.offset + elements * before.element.width)
            if found is None or not predicts(found.placement.element, piece.element):
                return None
            return found

        return find

    def _match(self, path: str, index: TensorIndex) -> dict[str, tuple[int, Tensor]]:
        """Tensor name -> number of the earlier file, and the tensor in it."""
        wanted = {tensor.name: tensor for tensor in index.tensors}
        pairs: dict[str, tuple[int, Tensor]] = {}
        order = sorted(range(len(self.files)), key=lambda number: self.files[number].path != path)
        for number in order:
            for before in self.files[number].index.tensors:
                if before.name in wanted and before.name not in pairs and predicts(before.element, wanted[before.name].element):
                    pairs[before.name] = (number, before)
        for number in order:
            left = _by_shape(tensor for tensor in index.tensors if tensor.name not in pairs)
            earlier = _by_shape(before for before in self.files[number].index.tensors if before.name not in wanted)
            for shape, tensors in left.items():
                if len(earlier.get(shape, ())) == len(tensors):
                    pairs.update(
                        {tensor.name: (number, before) for tensor, before in zip(tensors, earlier[shape], strict=True)}
                    )
        return pairs

    def _chunks(self, number: int) -> Mapping[int, Located]:
        if number not in self._rows:
            chunks = self.files[number].chunks()
            starts = accumulate((located.placement.raw_bytes for located in chunks), initial=0)
            self._rows[number] = dict(zip(starts, chunks, strict=False))
        return self._rows[number]


def _by_shape(tensors: Iterable[Tensor]) -> dict[tuple[int, ...], list[Tensor]]:
    found: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
    for tensor in tensors:
        if tensor.shape:
            found[tensor.shape].append(tensor)
    return found
