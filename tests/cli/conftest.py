"""A folder to type in, and a registry with a little history."""

from pathlib import Path

import pytest

from tests.cli.shell import Shell


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """An empty current folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("REG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("REG_AUTHOR", "ada@lab")
    return Shell(folder)


@pytest.fixture
def bound(shell: Shell) -> Shell:
    """A folder bound to a registry beside it, model fraud, without versions."""
    shell.reg("init", "../registry", "--model", "fraud")
    return shell


@pytest.fixture
def story(bound: Shell) -> Shell:
    """Two versions of out/ on main, tag prod at the first one; out/ holds the second."""
    bound.write("out/config.json", '{"layers": 2}')
    bound.write("out/model.bin", bytes(range(256)) * 40)
    bound.reg("commit", "out", "-m", "first", "--param", "lr=0.1", "--metric", "auc=0.91", "--tag", "prod")
    bound.write("out/config.json", '{"layers": 3}')
    bound.reg("commit", "out", "-m", "deeper", "--param", "lr=0.1", "--metric", "auc=0.93")
    return bound
