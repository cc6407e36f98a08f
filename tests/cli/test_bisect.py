"""`reg bisect`: a test of one's own, its exit status, and what is told on the way."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.shell import TIMEOUT_S, Shell, command, program


@pytest.fixture
def five(bound: Shell) -> Shell:
    """Five versions; from the fourth on `broken` is there."""
    for number in range(1, 6):
        bound.write("out/n", str(number))
        if number == 4:
            bound.write("out/broken", "")
        bound.reg("commit", "out", "-m", f"number {number}")
    return bound


def test_it_names_the_first_bad_version_and_what_to_look_at(five: Shell) -> None:
    found = five.reg("bisect", "run", "main~4", "main", "--", "test", "!", "-e", "broken")
    assert "fraud v4" in found.stdout
    assert "is the first bad version" in found.stdout
    assert "number 4" in found.stdout
    assert "reg diff fraud@" in found.stdout
    assert "Testing fraud v3" in found.stderr
    assert "fraud v3 is good; it was one of 4 versions left" in found.stderr
    ids = {record["number"]: record["commit"] for record in five.reg("log", "--json").json["commits"]}
    assert five.reg("bisect", "run", "main~4", "main", "-q", "--", "test", "!", "-e", "broken").lines == [ids[4]]


def test_the_document_is_alone_on_standard_output_and_the_test_knows_where_it_is(five: Shell, tmp_path: Path) -> None:
    script = five.write("eval.py", "import os, sys\nprint('noise', os.environ['REG_BISECT_NUMBER'])\nassert os.environ['REG_BISECT_REV'].startswith('fraud@')\n"
        "assert open(os.environ['REG_BISECT_FROM'] + '/eval.py')\nsys.exit(os.path.exists('broken'))\n")  # fmt: skip
    found = program("bisect", "run", "main~4", "main", "--json", "--folder", "kept", "--", sys.executable, script)
    assert found.exit_code == 0, found.stderr
    assert found.json["first_bad"]["number"] == 4
    assert [step["judgement"] for step in found.json["steps"]] == ["good", "bad"]
    assert "noise 3" in found.stderr
    assert (five.folder / "kept" / "n").read_text() == "4"


def test_a_program_named_by_its_path_is_the_one_here(five: Shell) -> None:
    script = five.write("eval.sh", "#!/bin/sh\ntest ! -e broken\n")
    script.chmod(0o755)
    assert five.reg("bisect", "run", "main~4", "main", "--json", "--", "./eval.sh").json["first_bad"]["number"] == 4


def test_what_cannot_be_tested_leaves_suspects_and_exits_with_one(five: Shell) -> None:
    found = five.reg("bisect", "run", "main~4", "main", "--", "sh", "-c", "exit 125", code=1)
    assert "among 4 versions that could not be told apart" in found.stdout


@pytest.mark.parametrize(("script", "words"), [("exit 128", "status 128"), ("kill -9 $$", "status -9")])
def test_another_status_stops_the_search(five: Shell, script: str, words: str) -> None:
    assert words in five.reg("bisect", "run", "main~4", "main", "--", "sh", "-c", script, code=2).stderr


def test_a_call_that_cannot_work_is_refused(five: Shell) -> None:
    assert "GOOD BAD -- CMD" in five.reg("bisect", "run", "main~4", "main", code=2).stderr
    assert "cannot be run" in five.reg("bisect", "run", "main~4", "main", "--", "no-such-program", code=2).stderr
    assert "wrong way round" in five.reg("bisect", "run", "main", "main~4", "--", "true", code=2).stderr


# By hand


def test_a_search_by_hand_goes_on_from_command_to_command(five: Shell) -> None:
    found = five.reg("bisect", "start", "v1", "main", "--folder", "look").stdout
    assert "fraud v3" in found
    assert "Look at it" in found
    assert (five.folder / "look" / "n").read_text() == "3"
    answer = five.reg("bisect", "good", "--json").json
    assert answer["test"]["number"] == 4
    assert (five.folder / "look" / "broken").exists()
    shown = five.reg("bisect", "bad").stdout
    assert "fraud v4" in shown
    assert "is the first bad version" in shown
    assert [line.split()[0] for line in five.reg("bisect", "log").lines] == ["start", "good", "bad"]
    assert "nothing is under test" in five.reg("bisect", "good", code=2).stderr
    assert "Forgot" in five.reg("bisect", "reset").stdout
    assert "No search" in five.reg("bisect", "reset").stdout


def test_versions_may_be_named_and_skipped_and_what_does_not_fit_is_not_remembered(five: Shell) -> None:
    five.reg("bisect", "start", "v2", "v5")
    assert (five.folder / "fraud-bisect" / "n").read_text() == "3"
    assert "wrong way round" in five.reg("bisect", "bad", "v1", code=2).stderr
    assert len(five.reg("bisect", "log").lines) == 1
    five.reg("bisect", "skip")
    assert (five.folder / "fraud-bisect" / "n").read_text() == "4"
    shown = five.reg("bisect", "bad", "v4", code=1).stdout
    assert "among 2 versions" in shown
    assert "a search is under way" in five.reg("bisect", "start", "v1", "v2", code=2).stderr


def test_without_a_search_there_is_nothing_to_tell(five: Shell) -> None:
    assert "reg bisect start" in five.reg("bisect", "good", code=2).stderr
    assert "start GOOD BAD" in five.reg("bisect", "start", "v1", code=2).stderr
    assert "takes no version" in five.reg("bisect", "reset", "v1", code=2).stderr


def test_what_was_edited_in_the_folder_is_not_overwritten_unasked(five: Shell) -> None:
    five.reg("bisect", "start", "v1", "v5", "--folder", "look")
    five.write("look/n", "mine")
    assert "not of any version" in five.reg("bisect", "good", code=4).stderr
    assert (five.folder / "look" / "n").read_text() == "mine"
    five.reg("bisect", "good", "--force")
    assert (five.folder / "look" / "n").read_text() == "4"


def test_ctrl_c_stops_the_test_and_leaves_no_folder(five: Shell, tmp_path: Path) -> None:
    temporary, ready = tmp_path / "tmp", tmp_path / "ready"
    temporary.mkdir()
    os.mkfifo(ready)
    test = f"echo $PWD > {ready}; exec sleep 60"
    process = subprocess.Popen(
        command("bisect", "run", "v1", "v5", "--", "sh", "-c", test),
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # a group of its own, which Ctrl-C reaches as a whole
    )
    folder = Path(ready.read_text().strip())  # until the test runs
    assert folder.is_relative_to(temporary)
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130
    assert b"interrupted" in told
    assert list(temporary.iterdir()) == []
