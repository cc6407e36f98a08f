"""docs/promotion.md: its commands run in order, and print what it says.

`python -m tests.docs.test_promotion` writes the output anew, for a change that is meant; then read it.
"""

import os
import sys
import tempfile
from pathlib import Path

import pytest

from tests.cli.shell import Shell
from tests.cli.test_cli_docs import BLOCK, normal, run, steps

PAGE = Path(__file__).parents[2] / "docs" / "promotion.md"


@pytest.fixture
def ada(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Ada at an empty folder, and `reg` on her path: others are others by REG_AUTHOR."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name, value in _environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    return Shell(folder)


def test_the_commands_print_what_the_page_says(ada: Shell) -> None:
    ran = 0
    for step in steps(PAGE.read_text(encoding="utf-8")):
        assert [normal(line) for line in run(step, ada)] == [normal(line) for line in step.output], step.command
        ran += 1
    assert ran >= 10


def _environment(folder: Path) -> dict[str, str]:
    return {
        "REG_AUTHOR": "ada@lab",
        "REG_CACHE": str(folder / "cache"),
        "REG_STATE": str(folder / "state"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


def write_anew() -> None:
    """Put what the commands print now into the page."""
    text = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve() / "work"
        folder.mkdir()
        os.chdir(folder)
        os.environ.update(_environment(folder.parent))
        shell = Shell(folder)
        blocks = BLOCK.findall(text)
        for block in blocks:
            lines: list[str] = []
            for step in steps(f"```console\n{block}```\n"):
                lines += [f"$ {step.command}", *run(step, shell)]
            text = text.replace(f"```console\n{block}```\n", "```console\n" + "\n".join(lines) + "\n```\n")
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_anew()
