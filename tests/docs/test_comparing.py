"""docs/comparing.md: its commands and its code run."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import cas_registry as reg
from tests.cli.shell import Shell
from tests.cli.test_blame import npz

TEXT = (Path(__file__).parents[2] / "docs" / "comparing.md").read_text(encoding="utf-8")
SHELL = [
    line.partition("  #")[0].strip() for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()
]
CODE = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
VERSIONS = 18


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A registry with the models, versions and tags that the page speaks of."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("REG_CACHE", str(tmp_path / "cache"))
    shell = Shell(work)
    shell.reg("init", "../registry", "--model", "fraud")
    for model, count in (("fraud", VERSIONS), ("fraud-xl", 1), ("base", 3)):
        for number in range(count):
            weights = {"encoder.layer.0.weight": np.full(600, number, dtype=np.float32)}
            shell.write("out/model.safetensors", npz(**weights))  # told by its content, not by its name
            shell.reg("commit", "out", "-M", model, "-m", f"number {number}", "--metric", f"auc={number}")
        shell.reg("tag", "prod", "main", "-M", model)
    shell.write("eval.sh", "#!/bin/sh\ntest $REG_BISECT_NUMBER -lt 9\n").chmod(0o755)
    return shell


def test_its_commands_run(shell: Shell) -> None:
    assert len(SHELL) > 15
    for line in SHELL:
        command = re.split(r" [|>] ", line)[0]  # whatever reads it
        assert command.startswith("reg "), line
        shell.reg(*shlex.split(command)[1:])


def test_its_code_runs(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = reg.open(shell.folder.parent / "registry", cache_folder=shell.folder.parent / "cache")
    monkeypatch.setattr(reg, "open", lambda _: registry)
    names: dict[str, object] = {"registry": registry, "model": registry.model("fraud"), "evaluate": lambda _: 0.5}
    for code in CODE:
        exec(compile(code, "docs/comparing.md", "exec"), names)
