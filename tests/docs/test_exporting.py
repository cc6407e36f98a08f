"""docs/exporting.md: its commands and its code run."""

import re
import shlex
from pathlib import Path

import pytest

import cas_registry as reg
from tests.cli.shell import Shell

TEXT = (Path(__file__).parents[2] / "docs" / "exporting.md").read_text(encoding="utf-8")
SHELL = [
    line.partition("  #")[0].strip() for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()
]
CODE = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A registry with a model of two versions, prod at the second one."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("REG_CACHE", str(tmp_path / "cache"))
    shell = Shell(work)
    shell.reg("init", "../registry", "--model", "fraud")
    for number in range(2):
        shell.write("out/config.json", f'{{"number": {number}}}')
        shell.reg("commit", "out")
    shell.reg("tag", "prod", "main")
    return shell


def test_its_commands_run(shell: Shell) -> None:
    assert len(SHELL) > 4
    for line in SHELL:
        assert line.startswith("reg "), line
        shell.reg(*shlex.split(line)[1:])


def test_its_code_runs(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    registry = reg.open(shell.folder.parent / "registry", cache_folder=shell.folder.parent / "cache")
    for code in CODE:
        exec(compile(code, "docs/exporting.md", "exec"), {"model": registry.model("fraud")})
    assert "['cas-version.json', 'config.json']" in capsys.readouterr().out
