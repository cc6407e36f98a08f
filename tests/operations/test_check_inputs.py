"""Whether inputs are still what they were."""

from pathlib import Path

import pytest

import cas_registry as reg
from cas_registry.model.inputs import Input
from cas_registry.operations.check_inputs import InputState
from cas_registry.registry import Model
from tests.operations.capture.repositories import make_repository
from tests.support.folders import File, write_folder


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A model whose second version is made from the first, a file, a folder, and things that cannot be checked."""
    work = make_repository(tmp_path / "work")
    monkeypatch.chdir(work)
    write_folder(work / "data", {"t.csv": File(b"1,2\n"), "more/u.csv": File(b"3,4\n")})
    model = reg.init(tmp_path / "registry", cache_folder=tmp_path / "cache").model("m")
    model.commit(write_folder(tmp_path / "first", {"model.bin": File(b"first")}))
    inputs = ["file=data/t.csv@md5", "folder=data/more", "base=m@v1", Input("free", uri="s3://b/k"), Input("odd", uri="s3://b/k", digest="crc:0a1b"),
              Input("far", uri="gopher://b/k", digest="md5:0a1b")]  # fmt: skip
    model.commit(write_folder(tmp_path / "second", {"model.bin": File(b"second")}), inputs=inputs)
    return model


def states(model: Model, **more: object) -> dict[str, str]:
    return {check.input.name: check.state.value for check in model.check_inputs("main", **more).checks}


UNTOUCHED = {"file": "same", "folder": "same", "base": "same", "free": "unpinned", "odd": "unchecked", "far": "unchecked"}


def test_nothing_has_changed(model: Model) -> None:
    assert states(model) == UNTOUCHED
    report = model.check_inputs("main")
    assert report.holds
    assert all(check.why for check in report.checks if check.state in {InputState.UNPINNED, InputState.UNCHECKED})


def test_a_changed_byte_is_found(model: Model) -> None:
    Path("data/t.csv").write_bytes(b"1,3\n")
    Path("data/more/v.csv").write_bytes(b"")
    assert states(model) == {**UNTOUCHED, "file": "changed", "folder": "changed"}
    report = model.check_inputs("main")
    assert not report.holds
    assert report.checks[0].found != report.checks[0].input.digest


def test_what_is_gone_is_missing(model: Model) -> None:
    Path("data/t.csv").unlink()
    model.branch("other", "v1", reason="so that it is not main's")
    model.delete_branch("other")
    model.retire("v1", force=True)
    assert states(model) == {**UNTOUCHED, "file": "missing", "base": "missing"}
    assert "retired" in model.check_inputs("main").checks[2].why


def test_paths_begin_at_the_top_of_the_work_tree_or_where_it_is_said(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("data/more")
    assert states(model) == UNTOUCHED
    monkeypatch.chdir(tmp_path)
    assert states(model)["file"] == "missing"
    assert states(model, root=tmp_path / "work") == UNTOUCHED
