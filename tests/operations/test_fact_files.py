"""Parameters and metrics from files."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.errors import InvalidInputError, LimitError, NotFoundError, RegistryError
from cas_registry.operations.fact_files import MAX_FACTS, flatten, read_facts

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["C", "Z"]), max_size=9)
)
NAMES = st.from_regex(r"[a-z]{1,4}", fullmatch=True)
NESTED = st.dictionaries(
    NAMES, st.recursive(SCALARS, lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=3) | st.lists(inner, min_size=1, max_size=3), max_leaves=12)
)  # fmt: skip


def unflatten(value: object, name: str) -> object:
    for part in name.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


def leaves(value: object) -> int:
    if isinstance(value, dict | list):
        return sum(map(leaves, value.values() if isinstance(value, dict) else value))
    return 1


@given(NESTED)
def test_every_value_has_the_name_of_its_way(value: dict[str, object]) -> None:
    flat = flatten(value, what="param")
    assert len(flat) == leaves(value)
    for name, found in flat.items():
        assert unflatten(value, name) == found


@given(NESTED)
def test_json_and_yaml_say_the_same(tmp_path_factory: pytest.TempPathFactory, value: dict[str, object]) -> None:
    folder = tmp_path_factory.mktemp("facts")
    for name in ("p.json", "p.yaml"):
        (folder / name).write_text(json.dumps(value, ensure_ascii=False))
    assert (
        read_facts(folder / "p.json", what="param")
        == read_facts(folder / "p.yaml", what="param")
        == flatten(value, what="param")
    )


def test_a_params_file_as_people_write_it(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(
        "lr: 1e-4\ntrain:\n  layers: [64, 32]\n  optimizer: adam\n  early: no\nseed: 7\nempty: {}\nsince: 2026-01-01\n"
    )
    assert read_facts(file, what="param") == {
        "lr": 1e-4, "train.layers.0": 64, "train.layers.1": 32, "train.optimizer": "adam", "train.early": "no", "seed": 7, "since": "2026-01-01",
    }  # fmt: skip
    (tmp_path / "p.toml").write_text("lr = 1e-4\nday = 2026-01-01\n[train]\nn = 2\n")
    assert read_facts(tmp_path / "p.toml", what="param") == {"lr": 1e-4, "day": "2026-01-01", "train.n": 2}
    (tmp_path / "m.json").write_bytes(b'\xef\xbb\xbf{"auc": 0.9, "loss": NaN}')
    assert read_facts(tmp_path / "m.json", what="metric")["auc"] == 0.9


@pytest.mark.parametrize(
    ("name", "text", "error", "match"),
    [
        ("p.ini", "a=1", InvalidInputError, r"read from \.json, \.yaml"),
        ("p.json", "{", InvalidInputError, "cannot be read"),
        ("p.yaml", "a: [", InvalidInputError, "is not YAML"),
        ("p.toml", "a", InvalidInputError, "cannot be read"),
        ("p.json", "[1]", InvalidInputError, "holds no names"),
        ("p.yaml", "", InvalidInputError, "holds no names"),
        ("p.json", '{"a.b": 1, "a": {"b": 2}}', InvalidInputError, "two params would be called 'a.b'"),
        ("p.json", json.dumps(list(range(MAX_FACTS + 1))).join(['{"a":', "}"]), LimitError, "more than"),
        ("p.json", "[" * 70 + "]" * 70, InvalidInputError, "holds no names"),
        ("p.json", '{"a":' * 70 + "1" + "}" * 70, LimitError, "nested"),
        ("p.json", json.dumps({"n" * 256: 1}), LimitError, "255 bytes"),
        ("p.json", json.dumps({"": 1}), LimitError, "255 bytes"),
        ("p.json", '{"a":' * 100_000, RegistryError, "cannot be read"),
        ("p.json", " " * (1024 * 1024 + 1), LimitError, "longer than"),
    ],
)
def test_what_cannot_be_taken_is_said(tmp_path: Path, name: str, text: str, error: type[RegistryError], match: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(error, match=match):
        read_facts(tmp_path / name, what="param")


def test_bytes_that_are_no_text_and_files_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read_facts(tmp_path / "p.json", what="param")
    with pytest.raises(NotFoundError, match="there is no file"):
        read_facts(tmp_path / "q.json", what="param")
