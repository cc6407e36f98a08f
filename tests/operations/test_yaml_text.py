"""YAML within bounds."""

import importlib.util
import math
from types import ModuleType

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.errors import InvalidInputError, LimitError
from cas_registry.operations import yaml_text
from cas_registry.operations.yaml_text import MAX_YAML_BYTES, dump_yaml, load_yaml

SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text()
DATA = st.dictionaries(
    st.text(max_size=20), st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=20)
)  # fmt: skip


@given(DATA)
def test_what_is_written_is_read_again(value: dict[str, object]) -> None:
    assert load_yaml(dump_yaml(value), what="it") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4), ("1E5", 1e5), (".5", 0.5), ("5.", 5.0), ("-.inf", -math.inf), ("no", "no"), ("off", "off"), ("y", "y"), ("true", True),
        ("010", 10), ("0o17", 15), ("0x1F", 31), ("1:30", "1:30"), ("1_000", "1_000"), ("2026-11-01", "2026-11-01"), ("~", None), ("", None),
        ("Null", None), ("'1'", "1"), ("1.2.3", "1.2.3"), ("=", "="),
    ],
)  # fmt: skip
def test_scalars_are_those_of_the_core_schema(text: str, value: object) -> None:
    assert load_yaml(f"a: {text}", what="it") == {"a": value}
    assert math.isnan(load_yaml("a: .nan", what="it")["a"])


def test_aliases_and_merges_of_defaults() -> None:
    assert load_yaml("base: &b {lr: 0.1, n: 2}\nbig: {<<: *b, n: 3}\nsame: *b", what="it") == {
        "base": {"lr": 0.1, "n": 2}, "big": {"lr": 0.1, "n": 3}, "same": {"lr": 0.1, "n": 2},
    }  # fmt: skip


def bomb(item: str, last: str) -> str:
    """Nine times nine times nine times …"""
    lines = ["a0: &a0 {k: 1}"]
    lines += [f"a{number + 1}: &a{number + 1} {item}".replace("*", f"*a{number}") for number in range(9)]
    return "\n".join([*lines, last])


@pytest.mark.parametrize(
    "text",
    [
        bomb("[*, *, *, *, *, *, *, *, *]", ""),
        bomb("{x: 1, <<: [*, *, *, *, *, *, *, *, *]}", "end: {<<: *a9}"),
        "[" * 50 + "]" * 50,
        "a: " + "{b: " * 50 + "1" + "}" * 50,
        "- 1\n" * 100_001,
        "x" * (MAX_YAML_BYTES + 1),
    ],
    ids=["aliases", "merges", "lists", "mappings", "values", "bytes"],
)
def test_what_grows_beyond_its_bounds_is_refused(text: str) -> None:
    with pytest.raises(LimitError, match="front matter"):
        load_yaml(text, what="front matter")


@pytest.mark.parametrize(
    "text",
    [
        "a: [", "a: b: c", "\t- x", "&a [*a]", "a: *nothing", "a: !!python/object/apply:os.system [id]", "a: !custom 1", "? [1, 2]\n: 3", "? {a: 1}\n: 3",
        "---\na: 1\n---\nb: 2", "a: \x00", "%YAML 9.9", "a: !!int x", "a: !!float [1]",
    ],
)  # fmt: skip
def test_what_is_no_plain_data_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="front matter"):
        load_yaml(text, what="front matter")


@given(
    st.text()
    | st.lists(
        st.sampled_from(
            ["a", ":", " ", "\n", "-", "&x", "*x", "[", "]", "{", "}", "'", '"', "!!int", "<<", "|", ">", "1", "#", "?"]
        )
    ).map("".join)
)
def test_any_text_is_data_or_refused(text: str) -> None:
    try:
        load_yaml(text, what="it")
    except InvalidInputError:
        return


@pytest.fixture(scope="module")
def slow() -> ModuleType:
    """The module as it is where PyYAML was built without libyaml."""
    spec = importlib.util.find_spec(yaml_text.__name__)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(yaml, "CSafeLoader")
        spec.loader.exec_module(module)
    return module


@given(DATA)
def test_both_loaders_say_the_same(slow: ModuleType, value: dict[str, object]) -> None:
    assert issubclass(slow._Loader, yaml.SafeLoader)
    assert slow.load_yaml(slow.dump_yaml(value), what="it") == load_yaml(slow.dump_yaml(value), what="it") == value


@pytest.mark.parametrize(
    "text", ["a: 1e-4\nb: no\nc: 010", "base: &b {x: 1}\nd: {<<: *b}", "a: &a [*a]", bomb("[*, *, *, *, *, *, *, *, *]", "")]
)
def test_both_loaders_refuse_the_same(slow: ModuleType, text: str) -> None:
    results = []
    for load in (load_yaml, slow.load_yaml):
        try:
            results.append(load(text, what="it"))
        except InvalidInputError as error:
            results.append(type(error))
    assert results[0] == results[1]
