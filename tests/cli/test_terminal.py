"""What a person at a terminal sees: colours, a progress bar, tables that fit; and what a pipe gets instead."""

import re

import pytest

from tests.cli.shell import Shell, command, on_terminal, program, python

SLOW = """
import sys, threading, time
sys.argv = ["reg", *sys.argv[1:]]
import cas_registry.cli.progress as progress
from cas_registry.registry import Model
progress.progress_bar.__wrapped__.__kwdefaults__["wait_s"] = 0.1
real = Model.commit
def slow(self, *args, progress, **more):
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):  # that starts the bar: loading rich takes its time
            thread.join()
    for done in range(6):
        progress.update("store", done * 10**6, 6 * 10**6)
        time.sleep(0.1)
    return real(self, *args, progress=progress, **more)
Model.commit = slow
from cas_registry.cli import main
main()
"""


def slow_commit(*words: str) -> list[str]:
    """A commit that takes more than a second, by a program whose bar waits a fifth of one."""
    return [command()[0], "-c", SLOW, "commit", "out", *words]


def test_colours_are_for_terminals_only(story: Shell):
    assert "\x1b[33m" in on_terminal(command("log")).stdout
    assert "\x1b" not in program("log").stdout


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
@pytest.mark.parametrize("words", [["log"], ["models"], ["show"], ["nope"]])
def test_colours_can_be_switched_off(story: Shell, environment, words):
    assert "\x1b[3" not in on_terminal(command(*words), **environment).stdout


def test_an_error_on_a_terminal_is_coloured(story: Shell):
    found = on_terminal(command("show", "nope"))
    assert found.exit_code == 3
    assert "\x1b[31m" in found.stdout


def test_a_slow_commit_shows_a_bar_with_rate_and_time_left(bound: Shell):
    bound.write("out/a", "a")
    found = on_terminal(slow_commit())
    assert found.exit_code == 0, found.stdout
    assert "Storing" in found.stdout
    assert "MB/s" in found.stdout
    assert re.search(r"0:00:0\d", found.stdout)
    assert "fraud v1" in found.stdout


@pytest.mark.parametrize("words", [["--json"], ["-q"]])
def test_no_bar_for_programs(bound: Shell, words):
    bound.write("out/a", "a")
    assert "Storing" not in on_terminal(slow_commit(*words)).stdout


def test_no_bar_and_no_noise_in_a_pipe(bound: Shell):
    bound.write("out/a", "a")
    found = python(SLOW, "commit", "out")
    assert (found.exit_code, found.stderr) == (0, "")
    assert found.stdout.startswith("fraud v1")


def test_a_quick_command_shows_no_bar(story: Shell):
    assert "Working" not in on_terminal(command("checkout", "main", "serve")).stdout


def test_the_bar_is_gone_when_a_command_fails(bound: Shell):
    bound.write("out/a:b", "not a name for every file system")
    found = on_terminal(slow_commit(), columns=300)
    assert found.exit_code == 2
    assert "cannot be stored" in found.stdout.rpartition("\x1b[?25h")[2], "the cursor is shown again before the message"


def test_tables_fold_on_a_narrow_terminal_and_stay_whole_in_a_pipe(story: Shell):
    reason = "because " * 30
    story.reg("tag", "prod", "main", "-m", reason.strip())
    assert reason.strip() in program("tag", "--history", "prod").stdout
    folded = on_terminal(command("tag", "--history", "prod"), columns=80, NO_COLOR="1").stdout
    assert max(map(len, folded.splitlines())) <= 80
    assert folded.count("because") == 30


def test_a_long_listing_is_not_folded_in_a_pipe(bound: Shell):
    name = "long-" * 40 + "name.bin"
    bound.write(f"out/{name}", "x")
    bound.reg("commit", "out")
    (line,) = program("ls").stdout.splitlines()
    assert line.endswith(name)
    assert line == line.rstrip()


def test_unicode_names_survive_a_plain_terminal(bound: Shell):
    bound.write("out/가.txt", "x")
    bound.reg("commit", "out", "-m", "für später")
    assert program("ls", PYTHONIOENCODING="latin-1").data.split()[-1] == b"\\uac00.txt"
    assert "für später" in program("log", PYTHONIOENCODING="utf-8").stdout
