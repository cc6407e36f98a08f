"""The README's commands run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"


def _block(marker: str) -> str:
    match = re.search(rf"<!-- {marker} -->\n```\w+\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert match, f"README.md has no {marker} block"
    return match[1]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "REG_CACHE": str(tmp_path / "cache"), "HOME": str(tmp_path)}


def test_the_tour_runs_in_the_shell_and_in_python(tmp_path: Path, environment: dict[str, str]) -> None:
    work = tmp_path / "work"
    work.mkdir()
    output = ""
    for program in (
        ["bash", "-euo", "pipefail", "-c", _block("tour")],
        [sys.executable, "-W", "error", "-c", _block("python tour")],
    ):
        result = subprocess.run(program, cwd=work, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        output += result.stdout
    assert "two points better" in output
    assert "model.bin" in output
    assert (work / "serve" / "config.json").read_text() == '{"layers": 3}\n'


def test_the_two_commands_are_there() -> None:
    assert _block("demo command").strip() == "pip install . && reg demo"
    assert _block("test command").strip() == "pip install -e '.[test]' && pytest"
