"""The `.reg` folder: what people configure and what the program remembers; damage to either is told from absence."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.errors import AccessError, InvalidInputError, LocalEditsError
from cas_registry.model.ids import TreeId
from cas_registry.worktree.binding import (
    Binding,
    FolderState,
    find_bound_folder,
    read_binding,
    read_state,
    write_binding,
    write_state,
)
from cas_registry.worktree.target import TargetFolder

STATE = FolderState("0" * 32, "fraud", ".", "a" * 64, TreeId(bytes(32)), (TreeId(b"1" * 32), TreeId(b"2" * 32)), "main")


def _remember(folder: Path, state: FolderState) -> Path:
    with TargetFolder(folder) as opened:
        write_state(opened, state)
    return folder / ".reg/state.json"


# The binding


@given(
    st.builds(
        Binding,
        st.text(min_size=1),
        st.none() | st.text(min_size=1),
        st.dictionaries(st.sampled_from(["endpoint_url", "anon", "region", "größe", "a.b", 'quo"te', ""]), st.text() | st.booleans() | st.integers(-(2**63), 2**63 - 1)),
    )
)  # fmt: skip
def test_a_binding_reads_back(tmp_path_factory: pytest.TempPathFactory, binding: Binding) -> None:
    folder = tmp_path_factory.mktemp("bound")
    path = write_binding(folder, binding)
    assert path == folder / ".reg/config.toml"
    assert read_binding(folder) == binding


@pytest.mark.parametrize(
    "name",
    [
        "secret",
        "key",
        "AWS_SECRET_ACCESS_KEY",
        "token",
        "aws_session_token",
        "password",
        "sas_token",
        "account_key",
        "credentials",
    ],
)
def test_a_secret_is_not_written_into_a_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInputError, match="looks like a secret"):
        write_binding(tmp_path, Binding("s3://bucket/r", "m", {name: "hunter2"}))
    assert not any("hunter2" in path.read_text() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("value", [1.5, None, {"a": 1}, ["x"]])
def test_an_option_that_the_file_cannot_hold_is_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises(InvalidInputError, match="must be text, a number or a boolean"):
        write_binding(tmp_path, Binding("s3://bucket/r", "m", {"client_kwargs": value}))


@pytest.mark.parametrize(
    "text",
    ["registry = ", "\x00", "registry = 5", 'model = "m"', 'registry = "r"\nmodel = 1', 'registry = "r"\nstorage_options = 3'],
)
def test_a_configuration_that_makes_no_sense_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / ".reg").mkdir()
    (tmp_path / ".reg/config.toml").write_text(text)
    with pytest.raises(InvalidInputError, match=r"config\.toml"):
        read_binding(tmp_path)


def test_a_configuration_that_is_no_text_or_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match=r"cannot read .*config\.toml"):
        read_binding(tmp_path)
    (tmp_path / ".reg").mkdir()
    (tmp_path / ".reg/config.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInputError, match="is not TOML"):
        read_binding(tmp_path)


def test_the_nearest_bound_folder_is_found_from_below(tmp_path: Path) -> None:
    (tmp_path / "outer/inner/deep").mkdir(parents=True)
    assert find_bound_folder(tmp_path / "outer/inner") is None
    write_binding(tmp_path / "outer", Binding("r"))
    assert find_bound_folder(tmp_path / "outer/inner/deep") == tmp_path / "outer"
    write_binding(tmp_path / "outer/inner", Binding("r"))
    assert find_bound_folder(tmp_path / "outer/inner/deep") == tmp_path / "outer/inner"
    (tmp_path / "outer/inner/deep/.reg").mkdir()
    assert find_bound_folder(tmp_path / "outer/inner/deep") == tmp_path / "outer/inner"


def test_a_binding_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "work").mkdir()
    (tmp_path / "work/.reg").symlink_to(tmp_path / "outside")
    with pytest.raises(LocalEditsError):
        write_binding(tmp_path / "work", Binding("r"))
    assert os.listdir(tmp_path / "outside") == []


# The state


def test_a_state_reads_back(tmp_path: Path) -> None:
    for state in (STATE, replace(STATE, pending=(), branch=None)):
        _remember(tmp_path, state)
        assert read_state(tmp_path) == state


def test_there_is_no_state_where_nothing_is_remembered(tmp_path: Path) -> None:
    assert read_state(tmp_path) is None
    assert read_state(tmp_path / "missing") is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tree", "zz"),
        ("tree", None),
        ("tree", "0" * 63),
        ("pending", None),
        ("pending", ["../../x"]),
        ("pending", "0" * 64),
        ("pending", {"a": 1}),
        ("registry", 5),
        ("branch", ["main"]),
        ("commit", None),
        ("unknown", 1),
    ],
)
def test_a_state_that_makes_no_sense_counts_as_none(tmp_path: Path, field: str, value: object) -> None:
    path = _remember(tmp_path, STATE)
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    assert read_state(tmp_path) is None


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"{}", b"5", b"\xff", b"[" * 100_000, b'{"tree": '])
def test_a_state_that_is_damaged_counts_as_none(tmp_path: Path, data: bytes) -> None:
    path = _remember(tmp_path, STATE)
    path.write_bytes(data)
    assert read_state(tmp_path) is None
