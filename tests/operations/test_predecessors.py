"""Which chunk a piece of a tensor is compared with: by name in the same file, then in any, then by shape; never across types that predict nothing."""

from collections.abc import Sequence

import pytest

from cas_registry.chunking import Piece, cut, segments
from cas_registry.model.ids import ChunkId, PackName
from cas_registry.model.maps import Located, PackInfo
from cas_registry.model.placement import Codec, Placement
from cas_registry.model.registry_format import ChunkingParameters
from cas_registry.model.tensors import Tensor, TensorIndex
from cas_registry.operations.predecessors import EarlierFile, Predecessors

PARAMETERS = ChunkingParameters(64, 256, 1024, elements=100)
PACK = PackInfo(PackName.of(b"pack"), 10**6)
HEADER = 40
Spec = tuple[str, str, int]  # name, type, elements


def make_index(*specs: Spec) -> TensorIndex:
    tensors = []
    offset = HEADER
    for name, dtype, count in specs:
        width = Tensor(name, dtype, (), 0, 0).element.width
        tensors.append(Tensor(name, dtype, (count,), offset, count * width))
        offset += count * width
    return TensorIndex("safetensors", tuple(tensors))


def cut_up(index: TensorIndex) -> list[Piece]:
    size = max((tensor.offset + tensor.size_bytes for tensor in index.tensors), default=HEADER)
    return [piece for pieces in cut(bytes, segments(size, index.tensors), PARAMETERS) for piece in pieces]


def chunk_name(path: str, offset: int) -> ChunkId:
    return ChunkId.of(f"{path} {offset}".encode())


def earlier(path: str, *specs: Spec) -> EarlierFile:
    index = make_index(*specs)
    return EarlierFile(
        path,
        index,
        lambda: [
            Located(PACK, Placement(chunk_name(path, p.offset), 0, len(p.data), len(p.data), Codec.RAW, p.element))
            for p in cut_up(index)
        ],
    )


def found(path: str, index: TensorIndex, files: Sequence[EarlierFile]) -> list[str]:
    """For each piece of each tensor `name[first element] < path:name[first element]`, as far as it has a predecessor."""
    names = {
        chunk_name(file.path, tensor.offset + start): f"{file.path}:{tensor.name}[{start // tensor.element.width}]"
        for file in files
        for tensor in file.index.tensors
        for start in range(0, tensor.size_bytes, tensor.element.width)
    }
    find = Predecessors(files).of_file(path, index)
    pairs = []
    for piece in cut_up(index):
        before = find(piece)
        if before is not None:
            tensor = next(t for t in index.tensors if t.offset <= piece.offset < t.offset + t.size_bytes)
            first = (piece.offset - tensor.offset) // tensor.element.width
            pairs.append(f"{tensor.name}[{first}] < {names[before.placement.chunk]}")
    return pairs


W, V = ("w", "F32", 250), ("v", "F32", 150)
ALL_OF_W = ["w[0] < a:w[0]", "w[100] < a:w[100]", "w[200] < a:w[200]"]
ALL_OF_V = ["v[0] < a:v[0]", "v[100] < a:v[100]"]


def test_pieces_find_the_same_elements_of_the_tensor_of_their_name_wherever_it_lies() -> None:
    assert found("a", make_index(W, V), [earlier("a", W, V)]) == ALL_OF_W + ALL_OF_V
    assert found("a", make_index(V, W), [earlier("a", W, ("x", "F32", 300), V)]) == ALL_OF_V + ALL_OF_W


def test_without_an_earlier_version_there_is_none() -> None:
    assert found("a", make_index(W, V), []) == []
    assert found("a", make_index(), [earlier("a", W)]) == []


def test_the_file_at_the_same_path_comes_first_then_the_nearest() -> None:
    shards = [earlier("b", W), earlier("a", V, W), earlier("c", W, ("u", "F32", 130))]
    assert found("a", make_index(W), shards) == ALL_OF_W
    assert found("c", make_index(V, W), shards)[:3] == ["v[0] < a:v[0]", "v[100] < a:v[100]", "w[0] < c:w[0]"]
    assert found("new", make_index(W), shards)[0] == "w[0] < b:w[0]"
    assert found("new", make_index(W), shards[::-1])[0] == "w[0] < c:w[0]"


@pytest.mark.parametrize("before", ["F32", "BF16", "F16"])
@pytest.mark.parametrize("after", ["F32", "BF16", "F16"])
def test_floats_of_other_widths_are_found_by_their_elements(before: str, after: str) -> None:
    index = make_index(("w", after, 350))
    pairs = found("a", index, [earlier("a", ("w", before, 350))])
    assert pairs == [f"w[{first}] < a:w[{first}]" for first in (0, 100, 200, 300)]


@pytest.mark.parametrize(
    ("before", "after"), [("F32", "I32"), ("I16", "F16"), ("F64", "F32"), ("F8_E4M3", "BF16"), ("I8", "U8")]
)
def test_types_that_predict_nothing_find_nothing(before: str, after: str) -> None:
    assert found("a", make_index(("w", after, 1_100)), [earlier("a", ("w", before, 1_100))]) == []
    assert found("a", make_index(("new", after, 1_100)), [earlier("a", ("old", before, 1_100))]) == []
    assert found("a", make_index(("w", after, 1_100)), [earlier("a", ("w", before, 1_100)), earlier("b", ("w", after, 1_100))])


def test_a_tensor_that_grew_or_shrank_is_found_as_far_as_both_reach() -> None:
    assert found("a", make_index(("w", "F32", 450)), [earlier("a", W)]) == ALL_OF_W
    assert found("a", make_index(("w", "F32", 150)), [earlier("a", W)]) == ALL_OF_W[:2]


def test_tensors_under_new_names_are_found_by_shape_in_order() -> None:
    layers: list[Spec] = [(f"layer.{n}", "F32", 200) for n in range(3)]
    index = make_index(*((f"model.{name}", dtype, count) for name, dtype, count in layers), ("model.w", "BF16", 300))
    pairs = found("a", index, [earlier("a", *layers, ("w", "F32", 300))])
    assert [pair for pair in pairs if "[0] <" in pair] == [
        *(f"model.layer.{n}[0] < a:layer.{n}[0]" for n in range(3)),
        "model.w[0] < a:w[0]",
    ]
    assert len(pairs) == 3 * 2 + 3


def test_a_shape_of_which_other_numbers_are_left_over_is_not_guessed() -> None:
    before = earlier("a", ("p", "F32", 200), ("q", "F32", 200), W)
    assert found("a", make_index(("r", "F32", 200), ("x", "F32", 250)), [before]) == [
        "x[0] < a:w[0]",
        "x[100] < a:w[100]",
        "x[200] < a:w[200]",
    ]
    # What keeps its name is not left over: one of two is renamed.
    assert found("a", make_index(("p", "F32", 200), ("r", "F32", 200)), [before])[::2] == ["p[0] < a:p[0]", "r[0] < a:q[0]"]


def test_a_name_counts_more_than_a_shape() -> None:
    index = make_index(("w", "F32", 150), ("v", "F32", 250))
    assert found("a", index, [earlier("a", W, V)]) == ["w[0] < a:w[0]", "w[100] < a:w[100]", *ALL_OF_V]


def test_chunks_are_asked_for_once_and_only_of_files_that_match() -> None:
    asked: list[str] = []

    def noted(file: EarlierFile) -> EarlierFile:
        def chunks() -> Sequence[Located]:
            asked.append(file.path)
            return file.chunks()

        return EarlierFile(file.path, file.index, chunks)

    files = [noted(earlier("a", W)), noted(earlier("b", ("u", "F32", 130)))]
    predecessors = Predecessors(files)
    for path in ("a", "copy"):
        find = predecessors.of_file(path, make_index(W))
        assert [find(piece) is not None for piece in cut_up(make_index(W))].count(True) == 3
    assert asked == ["a"]
