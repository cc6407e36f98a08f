"""docs/cli.md: its commands run in order, and print what it says.

`python -m tests.cli.test_cli_docs` writes the output anew, for a change that is meant; then read it.
"""

import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cas_registry.cli import _TABLE, demo
from tests.cli.shell import Shell
from tests.support.ssh_keys import needs_ssh_keygen

CLI_MD = Path(__file__).parents[2] / "docs" / "cli.md"
BLOCK = re.compile(r"```console\n(.*?)```\n", re.DOTALL)
VERBS = {name for group in _TABLE for name in group.verbs}
ELIDED = "reg demo"  # too long to be printed in full: the document shows its beginning and its end

_VARYING = (
    (re.compile(r"SHA256:[0-9A-Za-z+/]{43}"), "KEY"),
    (re.compile(r"[0-9a-f]{12,64}"), "ID"),
    (re.compile(r"just now|\d+ \w+ ago"), "AGE"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"), "TIME"),
    (re.compile(r"\d+(\.\d+)? [kMG]?B\b"), "SIZE"),
    (re.compile(r"\d+(\.\d+)?(%|x| s\.)"), "SHARE"),
    (re.compile(r"\d+(\.\d+){2,}"), "VERSION"),
    (re.compile(r"(loss|steps)=\S+"), "TRAINING"),
    (re.compile(r"\s+"), " "),
)


@dataclass(frozen=True)
class Step:
    """A command with the status that it ends with, and the lines that it prints."""

    command: str
    code: int
    output: list[str]


def steps(text: str) -> Iterator[Step]:
    for block in BLOCK.finditer(text):
        whole = block[1].startswith(f"$ {ELIDED}")  # it prints commands itself
        for part in [block[1][2:]] if whole else re.split(r"^\$ ", block[1], flags=re.MULTILINE)[1:]:
            command, *output = part.splitlines()
            code = re.search(r"  # exit (\d+)$", command)
            yield Step(command, int(code[1]) if code else 0, output)


def run(step: Step, shell: Shell) -> list[str]:
    """What a command prints. `&&` and redirection are the shell's; a lone `reg …` runs in this process."""
    command = step.command.partition("  # ")[0]
    printed = ""
    for part in command.split(" && "):
        if part.startswith("reg ") and ">" not in shlex.split(part):
            found = shell.reg(*shlex.split(part)[1:], code=step.code if part == command.split(" && ")[-1] else 0)
            printed += found.stdout + found.stderr
        else:
            done = subprocess.run(["bash", "-c", part], capture_output=True, text=True, check=True)
            printed += done.stdout + done.stderr
    return printed.replace(str(shell.folder.parent), "/home/ada").splitlines()


def normal(line: str) -> str:
    for pattern, word in _VARYING:
        line = pattern.sub(word, line)
    return line.strip()


@pytest.fixture
def little_training(monkeypatch):
    monkeypatch.setattr(demo, "_STEPS", 2)
    monkeypatch.setattr(demo, "_HEAD_STEPS", 2)


@needs_ssh_keygen
def test_the_commands_print_what_the_document_says(shell: Shell, little_training):
    for step in steps(CLI_MD.read_text()):
        printed = [normal(line) for line in run(step, shell)]
        expected = [normal(line) for line in step.output]
        if "…" in expected:
            at = expected.index("…")
            rest = len(expected) - at - 1
            printed = [*printed[:at], "…", *printed[len(printed) - rest :]]
        printed = [re.sub(r"/\S*reg-demo-\w+", "/tmp/reg-demo", line) for line in printed]
        assert printed == expected, step.command


def test_every_verb_has_a_section_with_an_example():
    text = CLI_MD.read_text()
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    assert sections.keys() == VERBS
    for name, section in sections.items():
        assert any(step.command.startswith(f"reg {name}") for step in steps(section)), name


def test_the_document_names_every_exit_status():
    from cas_registry import errors
    from cas_registry.cli import failures

    named = {int(code) for code in re.findall(r"^\| (\d+) \|", CLI_MD.read_text(), re.MULTILINE)}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.RegistryError)]
    assert {kind.exit_code for kind in kinds} <= named
    assert {failures.USAGE, failures.INTERNAL, failures.INTERRUPTED, failures.PIPE_CLOSED} <= named


def write_anew() -> None:
    """Put what the commands print now into the document."""
    text = CLI_MD.read_text()
    with tempfile.TemporaryDirectory() as folder:
        shell = Shell(Path(folder).resolve() / "work")
        shell.folder.mkdir()
        os.chdir(shell.folder)
        os.environ.update(
            REG_AUTHOR="ada@lab",
            REG_CACHE=str(shell.folder.parent / "cache"),
            REG_STATE=str(shell.folder.parent / "state"),
            REG_CAPTURE="0",
        )

        def fill(block: re.Match[str]) -> str:
            lines: list[str] = []
            for step in steps(block[0]):
                printed = run(step, shell)
                if step.command == ELIDED:
                    printed = [*printed[:8], "…", *printed[-7:]]
                printed = [re.sub(r"/\S*reg-demo-\w+", "/tmp/reg-demo", line) for line in printed]
                lines += [f"$ {step.command}", *printed]
            return "```console\n" + "\n".join(lines) + "\n```\n"

        CLI_MD.write_text(BLOCK.sub(fill, text))


if __name__ == "__main__":
    write_anew()
