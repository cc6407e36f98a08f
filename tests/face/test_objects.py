"""Objects in and out of versions by Python: what is written, what is told, what is refused, what is left behind."""

import json
import os
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest

import cas_registry as reg
from cas_registry.errors import (
    FormatError,
    FrameworkVersionWarning,
    InvalidInputError,
    NotFoundError,
    UnsafeFileError,
    UnsupportedFormatError,
)  # fmt: skip
from cas_registry.frameworks import versions
from cas_registry.model.manifest import MANIFEST
from cas_registry.model.schema import Column, Schema
from cas_registry.registry import Model
from tests.support.folders import File, write_folder

ARRAY = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def model(tmp_path: Path, scratch: Path) -> Model:
    return reg.init(tmp_path / "registry", cache_folder=tmp_path / "cache").model("m")


def test_one_object_lies_in_the_versions_own_folder(model: Model, scratch: Path, tmp_path: Path) -> None:
    report = model.save(ARRAY, message="first", metrics={"auc": 0.9}, labels={"owner": "risk"}, tags=["prod"])
    assert (report.created, report.number, report.files) == (True, 1, 2)
    assert [file.path for file in model.files("prod")] == ["arrays.npz", MANIFEST]
    assert (model.load("prod") == ARRAY).all()
    commit = model.show("prod").commit
    assert (commit.message, commit.metrics, commit.labels) == ("first", {"auc": 0.9}, {"owner": "risk"})
    assert commit.framework == {"numpy": np.__version__}
    assert list(scratch.iterdir()) == []
    assert not (tmp_path / "cache" / "stat").exists()  # nothing is remembered of folders that are gone


def test_the_same_object_again_is_the_same_version(model: Model) -> None:
    assert model.save(ARRAY).created
    assert not model.save(ARRAY.copy()).created
    assert model.save(ARRAY + 1).created


def test_several_objects_lie_in_a_folder_each(model: Model) -> None:
    model.save(ARRAY, scaler={"mean": ARRAY[0]})
    assert [file.path for file in model.files("main")] == [MANIFEST, "model/arrays.npz", "scaler/arrays.npz"]
    assert (model.load() == ARRAY).all()
    assert (model.load("main", "scaler")["mean"] == ARRAY[0]).all()
    with pytest.raises(NotFoundError, match="no object 'other'; there are model, scaler"):
        model.load("main", "other")


def test_without_one_called_model_the_name_must_be_said(model: Model) -> None:
    model.save(left=ARRAY, right=ARRAY)
    with pytest.raises(NotFoundError, match="there are left, right"):
        model.load()
    model.save(left=ARRAY)
    assert model.load().shape == (3, 4)


def test_only_the_objects_files_are_checked_out(model: Model, tmp_path: Path) -> None:
    model.save(ARRAY, scaler=ARRAY)
    model.load("main", "scaler", folder=tmp_path / "serve")
    assert [path.relative_to(tmp_path / "serve").as_posix() for path in (tmp_path / "serve").rglob("*.*")] == [
        "scaler/arrays.npz"
    ]


def test_what_makes_no_sense_is_refused_and_leaves_nothing(model: Model, scratch: Path) -> None:
    for arguments, message in (
        ({}, "nothing to save"),
        ({"a": ARRAY, "options": {"metric": "dot"}}, "metric: no such option of numpy; there are adapter"),
        ({"a": ARRAY, "extra_metadata": {"a": {1}}}, "must be JSON"),
        ({"a/b": ARRAY, "c": ARRAY}, "cannot be stored"),
        ({"a": 1j}, "nobody knows how to save a builtins.complex"),
        ({"a": np.array([object()])}, "arrays of Python objects are pickles"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            model.save(**arguments)
    with pytest.raises(InvalidInputError, match="two objects called 'model'"):
        model.save(ARRAY, model=ARRAY)
    assert list(scratch.iterdir()) == []
    with pytest.raises(NotFoundError):
        model.resolve("main")


def test_params_and_schema_that_are_given_count(model: Model) -> None:
    schema = Schema(inputs=(Column("x", "float32"),))
    model.save(ARRAY, X_train=ARRAY, y_train=[0, 1, 1], params={"X_train.rows": 7, "lr": 0.1}, schema=schema)
    commit = model.show("main").commit
    assert commit.params == {"X_train.rows": 7, "X_train.columns": 4, "y_train.rows": 3, "y_train.labels": 2, "lr": 0.1}
    assert commit.schema == schema
    assert model.manifest().data["y_train"]["labels"] == {"0": 1, "1": 2}


def test_extra_files_lie_beside_and_extra_metadata_in_the_manifest(model: Model, tmp_path: Path) -> None:
    work = write_folder(
        tmp_path / "work", {"MODEL_CARD.md": File(b"---\nlicense: mit\n---\n"), "plots/roc.svg": File(b"<svg/>")}
    )
    model.save(ARRAY, extra_files=[work / "MODEL_CARD.md", work / "plots"], extra_metadata={"split": [0.8, 0.2], "note": None})
    assert [file.path for file in model.files("main")] == ["MODEL_CARD.md", "arrays.npz", MANIFEST, "plots/roc.svg"]
    assert model.card("main").metadata == {"license": "mit"}
    assert model.manifest().metadata == {"split": [0.8, 0.2], "note": None}
    with pytest.raises(InvalidInputError):
        model.save(ARRAY, extra_files=write_folder(tmp_path / "more", {"arrays.npz": File(b"x")}) / "arrays.npz")


def test_files_and_folders_are_objects_too(model: Model, tmp_path: Path) -> None:
    work = write_folder(tmp_path / "work", {"a.bin": File(b"a"), "deep/b.bin": File(b"b")})
    model.save(work / "a.bin", folder_of=str(work))
    with pytest.raises(InvalidInputError, match=r"load\(..., folder='serve'\)"):
        model.load()
    assert model.load(folder=tmp_path / "serve").read_bytes() == b"a"
    found = model.load("main", "folder_of", folder=tmp_path / "serve")
    assert sorted(path.name for path in found.rglob("*.bin")) == ["a.bin", "b.bin"]
    with pytest.raises(InvalidInputError, match=r"nobody knows how to save a builtins\.str"):
        model.save("no such file")


def test_a_file_that_is_saved_stays_what_it_was(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"a")
    path.chmod(0o640)
    model.save(path)
    assert (path.read_bytes(), path.stat().st_mode & 0o777, path.stat().st_nlink) == (b"a", 0o640, 1)


def test_a_version_that_was_not_saved_has_no_objects(model: Model, tmp_path: Path) -> None:
    model.commit(write_folder(tmp_path / "work", {"model.bin": File(b"a")}))
    for ask in (model.load, model.manifest):
        with pytest.raises(NotFoundError, match="was not saved as an object"):
            ask()


# What is not believed


def test_a_pickle_is_refused_before_it_is_fetched(model: Model, tmp_path: Path) -> None:
    _forge(
        model, tmp_path, adapter="scikit-learn", format="joblib", pickle=False, files=["model.joblib"], content=_bomb(tmp_path)
    )
    with pytest.raises(UnsafeFileError, match=r"model\.joblib.*allow_pickle=True") as caught:
        model.load(folder=tmp_path / "serve")
    assert caught.value.fields["paths"] == ["model.joblib"]
    assert not (tmp_path / "serve").exists()
    assert not (tmp_path / "boom").exists()


def test_a_pickle_that_is_called_data_is_not_run(model: Model, tmp_path: Path) -> None:
    _forge(model, tmp_path, adapter="numpy", format="npz", pickle=False, files=["arrays.npz"], content=_bomb(tmp_path))
    with pytest.raises(Exception, match="pickle"):
        model.load()
    assert not (tmp_path / "boom").exists()


def test_a_format_or_an_adapter_of_nobody_is_refused(model: Model, tmp_path: Path) -> None:
    for fields in ({"adapter": "numpy", "format": "npz9"}, {"adapter": "os", "format": "system"}):
        _forge(model, tmp_path, **fields, pickle=False, files=["arrays.npz"], content=b"x")
        with pytest.raises(UnsupportedFormatError):
            model.load(allow_pickle=True)


def test_a_manifest_of_strangers_is_refused(model: Model, tmp_path: Path) -> None:
    for text in ("[]", '{"kind": "saved objects", "v": 1, "objects": {"a": {"files": ["../x"]}}}'):
        model.commit(write_folder(tmp_path / "work", {MANIFEST: File(text.encode())}))
        with pytest.raises(FormatError):
            model.load()


def test_a_version_that_does_not_verify_is_not_loaded(model: Model) -> None:
    model.save(ARRAY)
    with pytest.raises(NotFoundError, match="whom to trust"):
        model.load(verify=True)


# Other versions


def test_other_versions_of_the_library_are_warned_of_with_both(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    model.save(ARRAY)
    monkeypatch.setattr(versions, "find_versions", lambda libraries: dict.fromkeys(libraries, "9.9"))
    with pytest.warns(
        FrameworkVersionWarning, match=rf"model of m@\w+ was saved with numpy {np.__version__} \(here 9.9\)"
    ) as caught:
        model.load()
    assert caught[0].filename == __file__


def test_the_same_versions_are_not_warned_of(model: Model) -> None:
    model.save(ARRAY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.load()


def test_a_library_that_is_missing_is_named(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"adapter": "xgboost", "format": "ubj", "pickle": False, "files": ["model.ubj"], "versions": {"xgboost": "1.0"}}
    _forge(model, tmp_path, **told, content=b"x")
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(InvalidInputError, match="needs xgboost, which is not installed: pip install xgboost"):
        model.load()


def _bomb(tmp_path: Path) -> bytes:
    import pickle

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "boom"),)

    return pickle.dumps(Bomb())


def _forge(model: Model, tmp_path: Path, *, content: bytes, **fields) -> None:
    """Commit a version whose manifest says these things of one object."""
    value = {"class": "a.B", "folder": "", "details": {}, "trust": [], "versions": {}, **fields}
    manifest = {"kind": "saved objects", "v": 1, "objects": {"model": value}}
    files = {MANIFEST: File(json.dumps(manifest).encode()), fields["files"][0]: File(content)}
    model.commit(write_folder(tmp_path / "forged", files))
