"""Trees of values as safetensors and JSON."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

pytest.importorskip("safetensors")

from cas_registry.errors import FormatError, InvalidInputError, LimitError
from cas_registry.frameworks.trees import has_array, read_tree, write_tree

DTYPES = ("?", "<u1", "<i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f2", "<f4", "<f8")
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | arrays.arrays(st.sampled_from(DTYPES), arrays.array_shapes(min_dims=0, min_side=0))
)
KEYS = st.text() | st.integers() | st.booleans() | st.none()
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(KEYS | st.just("$"), inner),
    max_leaves=12,
)


def same(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray):
        return (
            isinstance(other, np.ndarray)
            and one.dtype == other.dtype
            and one.shape == other.shape
            and one.tobytes() == other.tobytes()
        )
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and list(map(repr, one)) == list(map(repr, other))
            and all(map(same, one.values(), other.values()))
        )
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and repr(one) == repr(other)


@given(tree=TREES)
def test_what_is_written_is_read(tree: object, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("tree")
    write_tree(tree, folder, "t")
    assert same(tree, read_tree(folder, "t"))
    json.loads((folder / "t.json").read_text(), parse_constant=pytest.fail)


def test_types_of_machine_learning_stay(tmp_path: Path) -> None:
    import ml_dtypes

    tree = {name: np.arange(4).astype(getattr(ml_dtypes, name)) for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2")}
    tree["big"] = np.arange(3, dtype=">i4")
    write_tree(tree, tmp_path, "t")
    found = read_tree(tmp_path, "t")
    assert [str(array.dtype) for array in found.values()] == ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int32"]
    assert all((found[name] == tree[name]).all() for name in tree)


def test_numbers_that_json_lacks_stay(tmp_path: Path) -> None:
    write_tree([float("inf"), float("-inf"), float("nan")], tmp_path, "t")
    assert repr(read_tree(tmp_path, "t")) == "[inf, -inf, nan]"


def test_names_with_slashes_do_not_meet(tmp_path: Path) -> None:
    tree = {"a/b": np.zeros(1), "a": {"b": np.ones(1)}}
    write_tree(tree, tmp_path, "t")
    assert same(tree, read_tree(tmp_path, "t"))


@pytest.mark.parametrize("odd", [object(), {1, 2}, np.array([object()]), np.array(["text"]), {(1, 2): 3}, 1j])
def test_what_has_no_place_is_refused(odd: object, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="a/0"):
        write_tree({"a": [odd]}, tmp_path, "t")


def test_nesting_has_an_end(tmp_path: Path) -> None:
    deep: object = 1
    for _ in range(300):
        deep = [deep]
    with pytest.raises(LimitError, match="deep"):
        write_tree(deep, tmp_path, "t")


@pytest.mark.parametrize(
    "text",
    ["{", '{"$": "numpy"}', '{"$": "numpy", "name": "gone"}', '{"$": "os.system", "name": "x"}', '{"$": "tuple"}', '{"$": 1}'],
)
def test_other_files_are_no_trees(text: str, tmp_path: Path) -> None:
    write_tree({"x": np.zeros(2)}, tmp_path, "t")
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(FormatError):
        read_tree(tmp_path, "t")


def test_arrays_are_found_in_plain_containers_alone() -> None:
    assert has_array([{"a": (1, np.zeros(1))}], "numpy")
    assert not has_array([{"a": (1, np.zeros(1))}], "torch")
    assert not has_array({1, 2}, "numpy")
