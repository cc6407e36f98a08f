"""What is found out about a new version from its own files."""

from pathlib import Path

import pytest

import cas_registry as reg
from cas_registry.errors import LimitError
from cas_registry.model.schema import Column, Schema
from cas_registry.operations import capture as capturing
from cas_registry.operations.capture import Captured
from cas_registry.registry import Model
from tests.operations.test_mlmodel import SKLEARN
from tests.support.folders import File, write_folder


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return reg.init(tmp_path / "registry", cache_folder=tmp_path / "cache").model("m")


def schema_of(model: Model, folder: Path, files: dict[str, bytes], **more: object) -> Schema | None:
    model.commit(write_folder(folder, {name: File(data) for name, data in files.items()}), **more)
    return model.show("main").commit.schema


def test_the_signature_of_an_mlmodel_file_is_the_schema(model: Model, tmp_path: Path) -> None:
    found = schema_of(model, tmp_path / "a", {"MLmodel": SKLEARN.encode(), "model.pkl": b"x"})
    assert found is not None
    assert [column.name for column in found.inputs] == ["amount", "country"]
    assert schema_of(model, tmp_path / "b", {"model/MLmodel": SKLEARN.encode()}) == found
    assert schema_of(model, tmp_path / "c", {"MLmodel": SKLEARN.encode(), "old/MLmodel": b"signature: 7"}) == found


@pytest.mark.parametrize("files", [
    {"x": b"x"}, {"MLmodel": b"[" * 100}, {"MLmodel": b"\xff\xfe"}, {"MLmodel": b"#" * 300_000 + SKLEARN.encode()},
    {"a/MLmodel": SKLEARN.encode(), "b/MLmodel": SKLEARN.encode()},
], ids=["none", "malformed", "no text", "too long", "two"])  # fmt: skip
def test_without_one_there_is_no_schema_and_the_commit_is_made(model: Model, tmp_path: Path, files: dict[str, bytes]) -> None:
    assert schema_of(model, tmp_path / "a", files) is None


def test_a_schema_that_was_given_counts(model: Model, tmp_path: Path) -> None:
    mine = Schema((Column("x", "double"),))
    assert schema_of(model, tmp_path / "a", {"MLmodel": SKLEARN.encode()}, schema=mine) == mine


def test_what_was_found_gives_way_where_a_commit_would_be_too_large(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its maker said is kept whole; only that alone may be too much."""
    monkeypatch.setenv("REG_CAPTURE", "1")
    model = reg.init(tmp_path / "told").model("m")
    code = {"commit": "8f3a91c2", "diff": "d" * 250_000}
    monkeypatch.setattr(
        capturing, "capture", lambda _: Captured(code, {"python": "3.12"}, {f"p{number:05}": "1.0" for number in range(2000)})
    )
    folder = tmp_path / "work"
    for size, kept in ((100_000, "diff packages schema"), (800_000, "packages schema"), (1_010_000, "schema"), (1_032_000, "")):
        write_folder(folder, {"MLmodel": File(SKLEARN.encode()), "size": File(str(size).encode())})
        model.commit(folder, params={"long": "x" * size})
        commit = model.show("main").commit
        assert len(commit.params["long"]) == size
        found = {"diff": "diff" in commit.code, "packages": bool(commit.packages), "schema": commit.schema is not None}
        assert " ".join(name for name, there in found.items() if there) == kept
    write_folder(folder, {"size": File(b"too much")})
    with pytest.raises(LimitError):
        model.commit(folder, params={"long": "x" * 1_060_000})
