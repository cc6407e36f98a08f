"""Which registry and which model a command works on."""

import pytest

from tests.cli.shell import Shell


def test_without_a_registry_the_error_says_what_to_do(shell: Shell):
    error = shell.reg("log", code=2).stderr
    for word in ("-R URL", "REG_REGISTRY", "reg init URL"):
        assert word in error


def test_the_nearest_bound_folder_above_is_found(story: Shell, monkeypatch):
    below = story.folder / "deep" / "down"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert story.reg("log", "--json").json["model"] == "fraud"


def test_the_only_model_need_not_be_named(story: Shell, monkeypatch):
    monkeypatch.chdir(story.folder.parent)
    assert story.reg("log", "-R", "registry", "--json").json["model"] == "fraud"


def test_of_several_models_one_must_be_named(story: Shell, monkeypatch):
    story.reg("commit", "out", "-M", "ranker")
    monkeypatch.chdir(story.folder.parent)
    error = story.reg("log", "-R", "registry", code=2).stderr
    assert "-M NAME" in error
    assert "fraud, ranker" in error


def test_an_empty_registry_asks_for_a_name(shell: Shell):
    shell.reg("init", "../registry")
    shell.write("out/a", "a")
    assert "has none yet; name it with -M NAME" in shell.reg("commit", "out", code=2).stderr


def test_a_revision_may_name_the_model(story: Shell, monkeypatch):
    story.reg("commit", "out", "-M", "ranker", "-m", "of ranker")
    assert story.reg("show", "ranker@main", "--json").json["message"] == "of ranker", "also beside the binding's own model"
    monkeypatch.chdir(story.folder.parent)
    place = ("-R", "registry", "--json")
    assert story.reg("show", "ranker@main", *place).json["model"] == "ranker"
    assert story.reg("log", "ranker@main", *place).json["model"] == "ranker"
    assert story.reg("ls", "ranker@main:config.json", *place).json["model"] == "ranker"
    assert story.reg("diff", "ranker@main", "main", *place).json["new"]["model"] == "ranker"
    assert story.reg("diff", "fraud@main", "ranker@main", *place).json["new_bytes"] == 0


def test_the_binding_of_another_registry_says_nothing_about_this_one(story: Shell):
    story.reg("init", "../second", "--model", "elsewhere")
    assert story.reg("log", "-R", "../registry", "--json").json["model"] == "fraud"


def test_a_wrong_model_lists_those_that_are_there(story: Shell):
    found = story.reg("log", "-M", "frud", "--json", code=3)
    assert "did you mean 'fraud'?" in found.error["message"]
    assert found.error["fields"] == {"model": "frud", "models": ["fraud"]}
    assert "there are: fraud" in story.reg("tag", "prod", "-M", "zzz", code=3).stderr


def test_a_missing_registry_says_how_to_make_it(shell: Shell):
    found = shell.reg("log", "-R", "../nothing", "--json", code=3)
    assert found.error["code"] == "not-found"
    assert "reg init" in found.error["message"]


def test_a_damaged_binding_is_named(bound: Shell):
    bound.write(".reg/config.toml", "registry = [")
    assert "config.toml is not TOML" in bound.reg("log", code=2).stderr


def test_a_relative_registry_in_a_binding_is_beside_the_binding(story: Shell, monkeypatch):
    story.write(".reg/config.toml", 'registry = "../registry"\nmodel = "fraud"\n')
    below = story.folder / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    assert len(story.reg("log", "-q").lines) == 2


@pytest.mark.parametrize("url", ["http://host/registry", "s3://", "ftp://x"])
def test_a_url_of_no_store_says_which_there_are(shell: Shell, url):
    assert "s3://bucket/prefix" in shell.reg("log", "-R", url, code=2).stderr
