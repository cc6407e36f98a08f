"""Where files are cut: segments cover a file whatever its tensors are, and pieces of a tensor hold so many elements each."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from cas_registry.chunking import MIN_TENSOR_BYTES, READ_BYTES, Piece, Read, Segment, cut, segments
from cas_registry.model.registry_format import ChunkingParameters
from cas_registry.model.tensors import ElementType, Tensor
from tests.support.folders import make_bytes

PARAMETERS = ChunkingParameters(64, 256, 1024, elements=100)
DTYPES = ["F32", "BF16", "F64", "C64", "I8", "F8_E4M3", "Q4_K", "NONE"]


def tensor(offset: int, size_bytes: int, dtype: str = "F32", name: str = "w") -> Tensor:
    return Tensor(name, dtype, (size_bytes,), offset, size_bytes)


def reader(data: bytes) -> Read:
    position = 0

    def read(length: int) -> bytes:
        nonlocal position
        found = data[position : position + length]
        position += len(found)
        return found

    return read


def pieces_of(data: bytes, tensors: Sequence[Tensor] = (), *, read: Read | None = None) -> list[Piece]:
    return [piece for pieces in cut(read or reader(data), segments(len(data), tensors), PARAMETERS) for piece in pieces]


@st.composite
def files(draw: st.DrawFn) -> tuple[int, list[Tensor]]:
    """A size, and tensors within it: in no order, one over the other, some of them tiny or of no bytes."""
    size = draw(st.integers(0, 20_000))
    tensors = []
    for number in range(draw(st.integers(0, 8))):
        offset = draw(st.integers(0, size))
        length = draw(st.sampled_from([0, 1, MIN_TENSOR_BYTES - 1, MIN_TENSOR_BYTES]) | st.integers(0, size))
        tensors.append(tensor(offset, min(length, size - offset), draw(st.sampled_from(DTYPES)), str(number)))
    return size, tensors


@given(file=files())
def test_segments_cover_a_file_without_gaps_and_overlaps(file: tuple[int, list[Tensor]]) -> None:
    size, tensors = file
    found = segments(size, tensors)
    assert all(segment.size_bytes > 0 for segment in found)
    ends = [segment.offset + segment.size_bytes for segment in found]
    assert [segment.offset for segment in found] == [0, *ends][: len(found)]
    assert [0, *ends][-1] == size
    places = {(item.offset, item.size_bytes, item.element) for item in tensors if item.size_bytes >= MIN_TENSOR_BYTES}
    assert {(s.offset, s.size_bytes, s.element) for s in found if s.element} <= places


@given(file=files())
def test_every_tensor_that_no_other_touches_is_a_segment(file: tuple[int, list[Tensor]]) -> None:
    size, tensors = file
    found = segments(size, tensors)
    for item in tensors:
        others = [other for other in tensors if other is not item]
        end = item.offset + item.size_bytes
        is_alone = all(other.offset >= end or other.offset + other.size_bytes <= item.offset for other in others)
        if item.size_bytes >= MIN_TENSOR_BYTES and is_alone:
            assert Segment(item.offset, item.size_bytes, item.element) in found


def test_of_tensors_that_share_bytes_the_first_counts_and_at_one_place_the_longest() -> None:
    views = [tensor(700, 900, name="late"), tensor(100, 600, "F16"), tensor(100, 1_000), tensor(1_100, 600, name="next")]
    for order in (views, views[::-1]):
        assert segments(2_000, order) == [
            Segment(0, 100),
            Segment(100, 1_000, ElementType.F32),
            Segment(1_100, 600, ElementType.F32),
            Segment(1_700, 300),
        ]


def test_tensors_too_small_are_cut_with_what_surrounds_them() -> None:
    small, large = tensor(10, MIN_TENSOR_BYTES - 1), tensor(10, MIN_TENSOR_BYTES)
    assert segments(1_000, [small]) == [Segment(0, 1_000)]
    assert segments(1_000, [large])[1] == Segment(10, MIN_TENSOR_BYTES, ElementType.F32)
    assert segments(0) == []


@given(file=files(), seed=st.integers(0, 3))
def test_pieces_are_the_file_and_those_of_tensors_hold_so_many_elements(file: tuple[int, list[Tensor]], seed: int) -> None:
    size, tensors = file
    data = make_bytes(seed, size)
    pieces = pieces_of(data, tensors)
    assert b"".join(piece.data for piece in pieces) == data
    assert all(data[piece.offset : piece.offset + len(piece.data)] == piece.data for piece in pieces)
    for segment in segments(size, tensors):
        inside = [piece for piece in pieces if segment.offset <= piece.offset < segment.offset + segment.size_bytes]
        assert {piece.element for piece in inside} == {segment.element}
        lengths = [len(piece.data) for piece in inside]
        assert sum(lengths) == segment.size_bytes
        if segment.element:
            step = PARAMETERS.elements * segment.element.width
            assert set(lengths[:-1]) <= {step}
            assert 0 < lengths[-1] <= step
        else:
            assert max(lengths) <= PARAMETERS.max_bytes


def test_pieces_of_one_number_hold_the_same_elements_of_either_type() -> None:
    count = 1_050
    wide, narrow = tensor(8, count * 4, "F32"), tensor(120, count * 2, "BF16")
    starts = []
    for item in (wide, narrow):
        pieces = [piece for piece in pieces_of(make_bytes(1, 5_000), [item]) if piece.element]
        width = item.element.width
        starts.append([((piece.offset - item.offset) / width, len(piece.data) / width) for piece in pieces])
    assert starts[0] == starts[1] == [(100 * n, 100) for n in range(10)] + [(1_000, 50)]


def test_bytes_between_tensors_are_cut_at_their_own_places() -> None:
    """What lies between tensors shifts no cut of theirs, nor does a tensor shift a cut between."""
    between, weights = make_bytes(1, 5_000), make_bytes(2, 1_200)
    alone = [bytes(piece.data) for piece in pieces_of(between)]
    together = pieces_of(weights + between, [tensor(0, 1_200)])
    assert [bytes(piece.data) for piece in together if not piece.element] == alone


def test_a_file_that_ends_early_gives_what_there_is() -> None:
    data = make_bytes(1, 4_000)
    for there in (0, 50, 100, 1_000, 3_999):
        pieces = pieces_of(data, [tensor(100, 2_000)], read=reader(data[:there]))
        assert b"".join(piece.data for piece in pieces) == data[:there]
        assert all(len(piece.data) for piece in pieces)


def test_no_more_is_asked_for_at_once_than_a_buffer() -> None:
    asked: list[int] = []

    def read(length: int) -> bytes:
        asked.append(length)
        return bytes(length)

    size = 2 * READ_BYTES + 5
    parameters = ChunkingParameters(16_384, 65_536, 262_144)
    assert sum(len(p.data) for batch in cut(read, segments(size), parameters) for p in batch) == size
    assert asked == [READ_BYTES, READ_BYTES, 5]
