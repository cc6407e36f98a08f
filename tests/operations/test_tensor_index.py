"""Tensor indexes as maps keep them: whatever is encoded comes back, and bytes from a hostile map are a FormatError."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.codecs import zstd
from cas_registry.errors import FormatError, UnsupportedFormatError
from cas_registry.model import canonical
from cas_registry.model.canonical import MAX_INTEGER
from cas_registry.model.tensors import ElementType, Tensor, TensorIndex
from cas_registry.operations import tensor_index
from cas_registry.operations.tensor_index import MAX_DIMENSIONS, MAX_INDEX_BYTES, MAX_TENSORS, decode_index, encode_index

SIZE = 1_000
ROW = ["w", "F32", [2, 3], 8, 24, None]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
DIMENSIONS = st.lists(st.integers(0, MAX_INTEGER), max_size=5).map(tuple)


@st.composite
def tensors(draw: st.DrawFn, limit: int = SIZE) -> Tensor:
    offset = draw(st.integers(0, limit))
    dtype = draw(st.sampled_from([*ElementType.__members__, "Q4_K"]) | TEXT)
    return Tensor(
        draw(TEXT), dtype, draw(DIMENSIONS), offset, draw(st.integers(0, limit - offset)), draw(st.none() | DIMENSIONS)
    )


def document(**changes: canonical.Json) -> bytes:
    """A frame of an index, right but for what is changed."""
    return zstd.encode(canonical.encode({"v": 1, "kind": "tensors", "container": "npy", "tensors": [ROW], **changes}))


def row(**changes: canonical.Json) -> bytes:
    names = ("name", "dtype", "shape", "offset", "size", "strides")
    return document(tensors=[ROW, [changes.get(name, value) for name, value in zip(names, ROW, strict=True)]])


@given(container=TEXT, found=st.lists(tensors(), max_size=8))
def test_any_index_comes_back_from_any_buffer(container: str, found: list[Tensor]) -> None:
    index = TensorIndex(container, tuple(found))
    encoded = encode_index(index)
    assert encoded is not None
    assert decode_index(encoded, size_bytes=SIZE) == index
    assert decode_index(memoryview(b"-" + encoded + b"-")[1:-1], size_bytes=SIZE) == index


def test_tensors_in_other_files_are_not_kept() -> None:
    inner, outer = Tensor("a", "F32", (2,), 0, 8), Tensor("b", "F32", (2,), 0, 8)
    encoded = encode_index(TensorIndex("onnx", (inner,), {"weights.bin": (outer,)}))
    assert encoded is not None
    assert decode_index(encoded, size_bytes=8) == TensorIndex("onnx", (inner,))


def test_the_last_tensor_may_end_with_the_file_and_no_later() -> None:
    encoded = encode_index(TensorIndex("npy", (Tensor("w", "F32", (2,), 8, 8),)))
    assert encoded is not None
    assert decode_index(encoded, size_bytes=16).tensors[0].size_bytes == 8
    for size in (0, 7, 8, 15):
        with pytest.raises(FormatError):
            decode_index(encoded, size_bytes=size)


def test_an_index_over_a_limit_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Tensor("", "F32", (), 0, 4)
    assert encode_index(TensorIndex("npy", (one,) * (MAX_TENSORS + 1))) is None
    index = TensorIndex("npy", (one,) * 10)
    encoded = encode_index(index)
    assert encoded is not None
    size = len(zstd.decode(encoded, len(canonical.encode(_body(index)))))
    monkeypatch.setattr(tensor_index, "MAX_INDEX_BYTES", size)
    assert encode_index(index) == encoded
    assert decode_index(encoded, size_bytes=4) == index
    monkeypatch.setattr(tensor_index, "MAX_INDEX_BYTES", size - 1)
    assert encode_index(index) is None
    with pytest.raises(FormatError, match="announces"):
        decode_index(encoded, size_bytes=4)
    monkeypatch.setattr(canonical, "MAX_METADATA_BYTES", size - 1)
    assert encode_index(index) is None


def test_an_index_of_as_many_tensors_as_there_may_be_comes_back() -> None:
    index = TensorIndex("npy", (Tensor("", "F32", (), 0, 4),) * MAX_TENSORS)
    encoded = encode_index(index)
    assert encoded is not None
    assert len(decode_index(encoded, size_bytes=4).tensors) == MAX_TENSORS


def _body(index: TensorIndex) -> canonical.Json:
    rows: list[canonical.Json] = [[t.name, t.dtype, [], t.offset, t.size_bytes, None] for t in index.tensors]
    return {"v": 1, "kind": "tensors", "container": index.container, "tensors": rows}


GOOD = document()
REFUSED = {
    "nothing": b"",
    "no frame": b"not zstd at all",
    "a frame of nothing": zstd.encode(b""),
    "cut short": GOOD[:-1],
    "extended": GOOD + b"x",
    "not JSON": zstd.encode(b"tensors"),
    "not canonical": zstd.encode(b'{ "v": 1, "kind": "tensors", "container": "npy", "tensors": []}'),
    "a list": zstd.encode(b"[]"),
    "10 GiB announced": b"\x28\xb5\x2f\xfd\xe0" + (10 * 1024**3).to_bytes(8, "little") + GOOD[6:],
    "another kind": document(kind="tree"),
    "another version": document(v=0),
    "an unknown field": document(more=1),
    "a container that is no text": document(container=1),
    "no list of tensors": document(tensors={}),
    "too many tensors": document(tensors=[[]] * (MAX_TENSORS + 1)),
    "a row that is no list": document(tensors=["w"]),
    "a row cut short": document(tensors=[ROW[:5]]),
    "a row extended": document(tensors=[[*ROW, None]]),
    "a name that is no text": row(name=None),
    "a type that is no text": row(dtype=13),
    "a shape that is no list": row(shape=6),
    "a negative dimension": row(shape=[2, -3]),
    "a dimension that is true": row(shape=[True]),
    "too many dimensions": row(shape=[1] * (MAX_DIMENSIONS + 1)),
    "too many strides": row(strides=[1] * (MAX_DIMENSIONS + 1)),
    "strides that are no list": row(strides="1"),
    "a stride that is no number": row(strides=["1"]),
    "a negative offset": row(offset=-1),
    "an offset beyond the file": row(offset=SIZE + 1, size=0),
    "a negative size": row(size=-1),
    "a size beyond the file": row(offset=SIZE - 23),
}


@pytest.mark.parametrize("encoded", REFUSED.values(), ids=REFUSED)
def test_hostile_indexes_are_refused(encoded: bytes) -> None:
    assert len(decode_index(GOOD, size_bytes=SIZE).tensors) == 1
    assert len(decode_index(row(), size_bytes=SIZE).tensors) == 2
    with pytest.raises(FormatError):
        decode_index(encoded, size_bytes=SIZE)


def test_an_index_of_a_newer_version_says_so() -> None:
    with pytest.raises(UnsupportedFormatError, match="upgrade"):
        decode_index(document(v=2), size_bytes=SIZE)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | TEXT,
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=20,
)


@given(found=st.one_of(
    st.binary(max_size=200),
    st.binary(max_size=200).map(zstd.encode),
    JSON.map(lambda value: document(tensors=value)),
    JSON.map(lambda value: document(tensors=[value])),
    st.lists(st.sampled_from(ROW) | JSON, min_size=6, max_size=6).map(lambda value: document(tensors=[ROW, value])),
    st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)).map(lambda flip: GOOD[: flip[0]] + bytes([flip[1]]) + GOOD[flip[0] + 1 :]),
))  # fmt: skip
def test_garbage_is_refused_or_keeps_within_the_file(found: bytes) -> None:
    with contextlib.suppress(FormatError):
        for tensor in decode_index(found, size_bytes=SIZE).tensors:
            assert 0 <= tensor.offset <= tensor.offset + tensor.size_bytes <= SIZE


def test_the_limit_of_an_index_leaves_room_for_as_many_tensors_as_models_have() -> None:
    assert MAX_INDEX_BYTES // MAX_TENSORS > 100
