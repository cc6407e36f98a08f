"""Tensors that lie in a file beside the model that describes them: what ONNX calls external data."""

from collections import defaultdict
from collections.abc import Mapping

from cas_registry.formats import read_index
from cas_registry.model.tensors import Tensor, TensorIndex
from cas_registry.operations.snapshot import open_found
from cas_registry.worktree.scan import FoundFile, Snapshot

_SUFFIX = ".onnx"  # models are looked for by name: reading every file to find who describes one would read everything twice


class ExternalTensors:
    """What the models of a snapshot say about its other files. A folder's models are read once, when one of their files is asked for."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._models: dict[str, list[FoundFile]] = defaultdict(list)
        for file in snapshot.files:
            if file.path.endswith(_SUFFIX):
                self._models[_folder(file.path)].append(file)
        self._described: dict[str, Mapping[str, tuple[TensorIndex, int]]] = {}

    def index(self, file: FoundFile) -> TensorIndex | None:
        """The tensors in a file, by the first model in its folder, or the nearest one above, if it has room for all of them."""
        folder = file.path
        while folder:
            folder = _folder(folder)
            if folder in self._models:
                index, end = self._of_folder(folder).get(file.path.removeprefix(f"{folder}/"), (None, 0))
                if index and end <= file.stat.size_bytes:
                    return index
        return None

    def _of_folder(self, folder: str) -> Mapping[str, tuple[TensorIndex, int]]:
        """By path below the folder: the tensors, and the size that a file must have to hold them."""
        if folder not in self._described:
            found: dict[str, tuple[TensorIndex, int]] = {}
            for model in self._models[folder]:
                with open_found(model) as opened:
                    index = read_index(opened)
                if index:
                    for path, tensors in index.external.items():
                        found.setdefault(path, (TensorIndex(index.container, tensors), _end(tensors)))
            self._described[folder] = found
        return self._described[folder]


def _end(tensors: tuple[Tensor, ...]) -> int:
    return max(tensor.offset + tensor.size_bytes for tensor in tensors)


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
