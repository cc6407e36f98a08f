"""Exit statuses, and what is said when something goes wrong."""

import os
import signal
import subprocess
import sys

import pytest

from cas_registry import errors
from cas_registry.cli import failures
from cas_registry.registry import Model
from tests.cli.shell import TIMEOUT_S, Shell, command, program


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.NotFoundError, 3), (errors.ConflictError, 4), (errors.LocalEditsError, 4), (errors.ChangedDuringCommitError, 4),
        (errors.IntegrityError, 5), (errors.RollbackError, 5), (errors.InvalidInputError, 2), (errors.LimitError, 2),
        (errors.AccessError, 6), (errors.BackendError, 6), (errors.UnsupportedFormatError, 6), (errors.OutcomeUnknownError, 75),
        (errors.UnsafeFileError, 1),
    ],
)  # fmt: skip
def test_every_error_has_its_exit_status_and_its_document(story: Shell, monkeypatch, kind, code):
    def fail(*_, **__):
        raise kind("it went wrong", key="refs/fraud/0000000003", paths=["a", "b"])

    monkeypatch.setattr(Model, "walk", fail)
    assert story.reg("log", code=code).stderr == "error: it went wrong\n"
    assert story.reg("log", "-q", code=code).stderr == "error: it went wrong\n"
    found = story.reg("log", "--json", code=code)
    assert found.stdout == ""
    assert found.error == {
        "code": kind.code,
        "message": "it went wrong",
        "exit_code": code,
        "fields": {"key": "refs/fraud/0000000003", "paths": ["a", "b"]},
    }


def test_a_surprise_is_one_line_and_70(story: Shell, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError("sums of AKIAIOSFODNN7EXAMPLE")

    monkeypatch.setattr(Model, "walk", fail)
    error = story.reg("log", code=70).stderr
    assert "ZeroDivisionError: sums of ***" in error
    assert "please report it" in error
    assert "Traceback" not in error
    assert len(error.splitlines()) == 1
    assert story.reg("log", "--json", code=70).error["code"] == "internal"
    monkeypatch.setenv("REG_TRACEBACK", "1")
    traced = story.reg("log", code=70).stderr
    assert "Traceback" in traced
    assert "AKIAIOSFODNN7EXAMPLE" not in traced


def test_messages_and_fields_show_no_secret_and_no_escape(story: Shell, monkeypatch):
    def fail(*_, **__):
        raise errors.BackendError("s3://me:hunter2@host said \x1b[2J X-Amz-Signature=hunter2", url="s3://me:hunter2@host")

    monkeypatch.setattr(Model, "walk", fail)
    for words in (["log"], ["log", "--json"]):
        error = story.reg(*words, code=6).stderr
        assert "hunter2" not in error
        assert "\x1b" not in error


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["logg"], "did you mean 'log'?"),
        (["frobnicate"], "reg --help lists the verbs"),
        (["log", "--bogus"], "No such option"),
        (["diff", "main"], "Missing argument 'B'"),
        (["log", "--format", "xml"], "'xml' is not one of"),
        (["log", "-n", "x"], "not a valid integer"),
    ],
)
def test_misspelt_commands_say_how_they_are_spelt(shell: Shell, words, says):
    found = shell.reg(*words, code=2)
    assert says in found.stderr
    assert "Usage: reg" in found.stderr
    assert shell.reg(*words, "--json", code=2).error["code"] == "usage"


def test_without_a_verb_the_help_goes_to_standard_error(shell: Shell):
    found = shell.reg(code=2)
    assert found.stdout == ""
    assert "Versions:\n  commit" in found.stderr
    assert shell.reg("--json", code=2).error["code"] == "usage"


@pytest.mark.parametrize(
    ("words", "json"),
    [
        (["log", "--json"], True), (["--json", "log"], True), (["--format", "json"], True), (["--format=json"], True),
        (["--json", "log", "-q"], False), (["log", "--", "--json"], False), (["log"], False), (["--format", "human", "--json"], True), ([], False),
    ],
)  # fmt: skip
def test_errors_before_parsing_know_the_format_too(words, json):
    assert failures.wants_json(words) is json


def test_ctrl_c_is_one_line_and_130(story: Shell, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Model, "walk", stop)
    found = story.reg("log", code=130)
    assert found.stderr == "error: interrupted\n"
    assert story.reg("log", "--json", code=130).error["code"] == "interrupted"


def test_ctrl_c_stops_the_program_in_the_middle_of_a_commit(bound: Shell):
    os.mkfifo(bound.folder / "never")  # reading it waits for a writer that never comes
    script = (
        "import sys, time, cas_registry.operations.snapshot as s\n"
        "def wait(*a, **k):\n    print('waiting', flush=True); open('never').read(); time.sleep(1)\n"
        "s.hash_file = wait\n"
        "from cas_registry.cli import main\nsys.argv = ['reg', 'commit', 'out']\nmain()\n"
    )
    bound.write("out/a", "a")
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    (bound.folder / "never").write_text("")  # the worker ends, a while after the interrupt, which is what counts
    _, error = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, error) == (130, "error: interrupted\n")
    assert bound.reg("models", "-q").lines == []


@pytest.mark.parametrize("words", [["cat", "main:big.bin"], ["log"], ["ls", "--json"]])
def test_a_closed_pipe_ends_quietly(bound: Shell, words):
    bound.write("out/big.bin", bytes(4_000_000))
    bound.reg("commit", "out", "-m", "x" * 60_000)
    bound.reg("commit", "out", "-m", "y" * 60_000, "--allow-empty")
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(command(*words), stdout=writer, stderr=subprocess.PIPE, text=True, timeout=TIMEOUT_S, check=False)
    os.close(writer)
    assert (process.returncode, process.stderr) == (failures.PIPE_CLOSED, "")


def test_a_full_disk_is_no_success(story: Shell):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w") as full:
        process = subprocess.run(command("log"), stdout=full, stderr=subprocess.PIPE, text=True, timeout=TIMEOUT_S, check=False)
    assert process.returncode == 70
    assert "No space left" in process.stderr.splitlines()[0]


def test_exit_statuses_of_the_program(story: Shell):
    story.write("out/config.json", "edited")
    place = story.folder.parent / "registry"
    assert program("log").exit_code == 0
    assert program("status").exit_code == 1
    assert program("diff", "prod", "main", "--exit-code").exit_code == 1
    assert program("log", "--nope").exit_code == 2
    assert program("show", "nope").exit_code == 3
    assert program("checkout", "prod").exit_code == 4
    for pack in (place / "packs").rglob("*"):
        if pack.is_file():
            pack.unlink()
    assert program("fsck").exit_code == 5
    assert program("cat", "main:model.bin").exit_code == 5
    assert program("doctor", "http://nowhere").exit_code == 6


def test_unreadable_files_and_folders_are_told_from_bugs(bound: Shell):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    bound.write("out/secret", "x").chmod(0)
    assert "cannot read" in bound.reg("commit", "out", code=6).stderr


def test_a_read_only_place_for_the_registry(shell: Shell):
    shell.write("file", "x")
    error = shell.reg("init", "file/registry", code=6).stderr
    assert "file/registry" in error
    assert "bug" not in error
