"""The files of tests/formats/data, what their libraries say of them, and how the tests read them."""

import json
from pathlib import Path

from cas_registry.formats import read_index
from cas_registry.formats.source import MAX_READ_BYTES
from cas_registry.model.tensors import Tensor, TensorIndex

DATA = Path(__file__).parent / "data"
FILES = {str(path.relative_to(DATA)): path.read_bytes() for path in sorted(DATA.rglob("*")) if path.is_file()}
TOLD = json.loads(Path(__file__).with_name("data.json").read_text())  # file -> tensor -> type, shape, bytes in hex


class Source:
    """Bytes as a file; remembers how much of them was read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size_bytes = len(data)
        self.read_bytes = 0

    def read(self, offset: int, length: int) -> bytes:
        assert offset >= 0
        assert length >= 0
        self.read_bytes += length
        return self.data[offset : offset + length]


def index_of(data: bytes) -> TensorIndex | None:
    """What `read_index` says, once it holds what every index holds."""
    source = Source(data)
    found = read_index(source)
    assert source.read_bytes <= 2 * MAX_READ_BYTES
    if found:
        names = [tensor.name for tensor in found.tensors]
        assert len(set(names)) == len(names)
        for tensor in found.tensors:
            assert 0 <= tensor.offset <= tensor.offset + tensor.size_bytes <= len(data)
        for path, tensors in found.external.items():
            assert path
            assert not {"", ".", ".."} & set(path.split("/"))
            assert all(0 <= tensor.offset <= tensor.offset + tensor.size_bytes < 1 << 63 for tensor in tensors)
    return found


def by_name(data: bytes) -> dict[str, Tensor]:
    found = index_of(data)
    assert found is not None
    return {tensor.name: tensor for tensor in found.tensors}


def read_as_told(file: str) -> None:
    """Every tensor that the library says is in the file is found, as it says, and nothing else."""
    data = FILES[file]
    assert {
        name: [tensor.dtype, list(tensor.shape), data[tensor.offset :][: tensor.size_bytes].hex()]
        for name, tensor in by_name(data).items()
    } == TOLD[file]
