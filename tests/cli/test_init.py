import tomllib

import pytest

from tests.cli.shell import Shell

SECRET = "wJalrXUtnFEMI/K7MDENG"


def test_it_makes_a_registry_and_binds_the_folder_by_an_absolute_path(shell: Shell):
    found = shell.reg("init", "../registry", "--model", "fraud", "--json").json
    where = str(shell.folder.parent / "registry")
    assert (found["registry"], found["created"], found["shared"], found["model"]) == (where, True, True, "fraud")
    assert tomllib.loads((shell.folder / ".reg/config.toml").read_text()) == {"registry": where, "model": "fraud"}
    assert (shell.folder.parent / "registry" / "format").is_file()


def test_where_there_is_a_registry_it_binds_only(story: Shell, monkeypatch):
    elsewhere = story.folder.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    found = story.reg("init", "../registry", "--model", "fraud")
    assert "There is a registry already" in found.stdout
    assert len(story.reg("log", "-q").lines) == 2


def test_a_second_init_keeps_the_model(bound: Shell):
    assert bound.reg("init", "../registry", "--json").json["model"] == "fraud"
    assert bound.reg("init", "../other", "--json").json["model"] is None


def test_quiet_prints_the_url(shell: Shell):
    assert shell.reg("init", "../registry", "-q").lines == [str(shell.folder.parent / "registry")]


def test_human_says_what_comes_next(shell: Shell):
    assert "reg commit FOLDER -M MODEL" in shell.reg("init", "../registry").stdout


def test_secrets_are_used_but_never_written_down(shell: Shell):
    options = [
        f"--storage-option={pair}"
        for pair in (f"secret={SECRET}", f"key={SECRET}", "profile=lab", "anon=false", 'extra={"a": 1}')
    ]
    found = shell.reg("init", "../registry", *options, "--json")
    assert found.json["storage_options_left_out"] == ["extra", "key", "secret"]
    config = (shell.folder / ".reg/config.toml").read_text()
    assert tomllib.loads(config)["storage_options"] == {"profile": "lab", "anon": False}
    assert SECRET not in config + found.stdout + found.stderr
    human = shell.reg("init", "../registry", *options).stdout
    assert "Not written down: extra, key, secret" in human


def test_credentials_in_a_url_are_refused_and_not_repeated(shell: Shell):
    found = shell.reg("init", f"s3://AKIAIOSFODNN7EXAMPLE:{SECRET}@bucket/registry", code=2)
    assert "credentials" in found.stderr
    assert SECRET not in found.stderr
    assert "AKIA" not in found.stderr
    assert not (shell.folder / ".reg").exists()


@pytest.mark.parametrize("url", [".", "../work"])
def test_the_working_folder_cannot_be_the_registry(shell: Shell, url):
    assert "a folder of its own" in shell.reg("init", url, code=2).stderr
    assert list(shell.folder.iterdir()) == []


def test_a_registry_whose_making_was_stopped_is_finished(shell: Shell):
    before = shell.reg("init", "../registry", "--json").json
    (shell.folder.parent / "registry" / "format").unlink()
    shell.reg("models", code=3)
    after = shell.reg("init", "../registry", "--json").json
    assert (after["registry_id"], after["created"]) == (before["registry_id"], True)
    shell.reg("models")


def test_one_begun_with_other_parameters_is_left_alone(shell: Shell):
    shell.reg("init", "../registry")
    (shell.folder.parent / "registry" / "format").unlink()
    assert "with other parameters" in shell.reg("init", "../registry", "--single-writer", code=4).stderr


def test_a_single_writer_registry_says_so(shell: Shell):
    assert "one process write at a time" in shell.reg("init", "../registry", "--single-writer").stdout
    assert shell.reg("init", "../registry", "--json").json["shared"] is False


def test_a_folder_of_any_name_can_be_bound(shell: Shell, monkeypatch):
    odd = shell.folder / "😀 \"quoted\" 'and' ünï"
    odd.mkdir()
    monkeypatch.chdir(odd)
    shell.reg("init", "registry", "--model", "m")
    assert shell.reg("models", "--json").json["registry"] == str(odd / "registry")


def test_a_hostile_model_name_is_refused(shell: Shell):
    shell.reg("init", "../registry", "--model", "../x", code=2)
    assert not (shell.folder / ".reg").exists()
