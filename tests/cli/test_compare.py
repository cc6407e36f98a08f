"""`reg compare`: a table for each section, differences first."""

import csv

import pytest

from tests.cli.shell import Shell


@pytest.fixture
def three(bound: Shell) -> Shell:
    """Three versions whose metrics move; and one of another model."""
    for number, auc in ((1, 0.9), (2, 0.93), (3, 0.91)):
        bound.write("out/config.json", f'{{"layers": {number}}}')
        bound.write("out/same.txt", "same")
        bound.reg("commit", "out", "-m", f"number {number}", "--param", "lr=0.1", "--param", "seed=7", "--metric", f"auc={auc}")
    bound.reg("commit", "out", "-M", "other", "-m", "elsewhere", "--metric", "auc=0.5")
    return bound


def test_differences_come_first_and_what_is_the_same_is_counted(three: Shell) -> None:
    shown = three.reg("compare", "v1", "v2", "main").stdout
    assert shown.splitlines()[0].split() == ["fraud", "v1", "fraud", "v2", "fraud", "v3"]
    assert "0.93 (+0.03)" in shown
    assert "0.91 (+0.01)" in shown
    assert "config.json" in shown
    assert "same.txt" not in shown
    assert "The same everywhere: 2 of params, 1 of files (--all)" in shown
    shown = three.reg("compare", "v1", "v2", "--all").stdout
    assert "same.txt" in shown
    assert "lr" in shown
    assert "The same everywhere" not in shown


def test_versions_of_several_models_and_some_sections(three: Shell) -> None:
    shown = three.reg("compare", "main", "other@main", "--only", "metrics, params").stdout
    assert "other v1" in shown
    assert "0.5 (-0.41)" in shown
    assert "config.json" not in shown
    answer = three.reg("compare", "v1", "other@main", "--only", "metrics,files", "--json").json
    assert [version["model"] for version in answer["versions"]] == ["fraud", "other"]
    assert set(answer["sections"]) == {"metrics", "files"}
    assert answer["sections"]["metrics"] == [{"name": "auc", "same": False, "values": [0.9, 0.5]}]
    names = [row["name"] for row in answer["sections"]["files"] if row["same"]]
    assert names == ["same.txt"]
    assert three.reg("compare", "v1", "v2", "-q").lines == ["metrics.auc", "files.config.json"]


def test_comma_separated_values_have_versions_as_columns(three: Shell) -> None:
    lines = list(csv.reader(three.reg("compare", "v1", "main", "--only", "metrics,params", "--csv").lines))
    assert lines == [
        ["section", "name", "same", "v1", "main"],
        ["metrics", "auc", "false", "0.9", "0.91"],
        ["params", "lr", "true", "0.1", "0.1"],
        ["params", "seed", "true", "7", "7"],
    ]


def test_a_call_that_cannot_work_is_refused(three: Shell) -> None:
    assert "two or more" in three.reg("compare", "main", code=2).stderr
    assert "no section 'colour'" in three.reg("compare", "v1", "v2", "--only", "colour", code=2).stderr
