import os
import shutil
import subprocess

import pytest

from tests.cli.shell import Shell, program


@pytest.mark.parametrize(
    ("shell_name", "mark"),
    [
        ("bash", "complete -o nosort -F _reg_completion reg"),
        ("zsh", "#compdef reg"),
        ("fish", "complete --no-files --command reg"),
    ],
)
def test_each_shell_gets_its_script(shell: Shell, shell_name, mark):
    assert mark in shell.reg("completion", shell_name).stdout
    assert mark in shell.reg("completion", shell_name, "-q").stdout
    assert shell.reg("completion", shell_name, "--json").json["shell"] == shell_name


def test_the_shell_in_use_is_the_default(shell: Shell, monkeypatch):
    monkeypatch.setenv("SHELL", "/usr/bin/zsh")
    assert "#compdef reg" in shell.reg("completion").stdout
    monkeypatch.setenv("SHELL", "/usr/bin/tcsh")
    assert "name a shell: bash, zsh, fish" in shell.reg("completion", code=2).stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_the_script_is_valid_bash(shell: Shell):
    script = shell.reg("completion", "bash").stdout
    subprocess.run(["bash", "-n"], input=script.encode(), check=True)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("reg che", ["checkout"]),
        ("reg st", ["status", "stats"]),
        ("reg log --gr", ["--graph"]),
        ("reg log --format q", ["quiet"]),
    ],
)
def test_verbs_options_and_choices_are_completed(line, found):
    words = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" ")), "_REG_COMPLETE": "bash_complete"}
    shown = program(**words).stdout
    assert [row.partition(",")[2] for row in shown.splitlines()] == found


def test_completing_imports_no_verb():
    assert os.environ.get("_REG_COMPLETE") is None
    words = {"COMP_WORDS": "reg c", "COMP_CWORD": "1", "_REG_COMPLETE": "bash_complete", "PYTHONPROFILEIMPORTTIME": "1"}
    imported = program(**words).stderr
    assert "cas_registry.cli.group" in imported
    assert "cas_registry.cli.verbs" not in imported
