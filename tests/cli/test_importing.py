"""`reg import` as people type it."""

import shutil
import subprocess

from tests.cli.shell import Shell
from tests.operations.importing.make_data import DATA


def test_first_a_dry_run_then_the_import_then_nothing_new(bound: Shell) -> None:
    planned = bound.reg("import", "mlflow", DATA / "mlflow", "--dry-run")
    assert "2 versions would be imported from mlflow" in planned.stdout
    assert planned.lines[-1] == "Dry run: nothing is written"
    assert bound.reg("models", "-q").stdout == ""
    done = bound.reg("import", "mlflow", DATA / "mlflow")
    assert "  tag champion of fraud at " in done.stdout
    assert bound.reg("import", "mlflow", DATA / "mlflow").lines[-1].endswith("; 2 here already")
    assert bound.reg("show", "champion", "--json").json["message"] == "the better one"
    assert len(bound.reg("search", 'labels."imported.from" = mlflow', "-q").lines) == 2


def test_json_and_quiet(bound: Shell) -> None:
    found = bound.reg("import", "mlflow", DATA / "mlflow", "--as", "fraud=other", "--json").json
    assert (found["imported"], found["failed"], [version["outcome"] for version in found["versions"]]) == (
        2,
        0,
        ["imported"] * 2,
    )
    assert {tag["tag"] for tag in found["tags"]} == {"champion", "first", "Staging"}
    assert found["versions"][0]["model"] == "other"
    commits = bound.reg("import", "modelstore", DATA / "modelstore", "--only", "fraud", "-q").lines
    assert [len(commit) for commit in commits] == [64, 64]


def test_what_cannot_be_imported_is_told_with_status_1_and_the_rest_is_there(bound: Shell) -> None:
    store = shutil.copytree(DATA / "modelstore", bound.folder / "store")
    next(store.rglob("fraud/versions/*.json")).write_text("nonsense\x1b[31m")
    found = bound.reg("import", "modelstore", store, code=1)
    assert "Not imported: fraud " in found.stdout
    assert "\x1b" not in found.stdout
    assert found.lines[-1].endswith("; 1 not")
    bound.reg("import", "modelstore", store, "--strict", code=2)
    assert "no folder" in bound.reg("import", "modelstore", "missing", code=3).stderr
    assert "write THEIRS=OURS" in bound.reg("import", "mlflow", DATA / "mlflow", "--as", "x", code=2).stderr


def test_a_source_without_versions_says_so(bound: Shell) -> None:
    subprocess.run(["git", "init", "-q", bound.folder / "fresh"], check=True)
    assert bound.reg("import", "git-lfs", "fresh").lines[-1] == "It holds no version"


def test_the_wrong_kind_is_answered_with_the_command_for_the_right_one(bound: Shell) -> None:
    shutil.copytree(DATA / "modelstore", bound.folder / "store")
    assert "it looks like a modelstore: reg import modelstore store" in bound.reg("import", "dvc", "store", code=3).stderr
