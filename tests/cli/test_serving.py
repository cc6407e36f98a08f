"""resolve, deploy, watch, and what checkout tells before it starts."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cli.shell import TIMEOUT_S, Shell, command


def commits(story: Shell) -> tuple[str, str]:
    """The newest, and the one that prod stands at."""
    newest, oldest = story.reg("log", "-q").lines
    return newest, oldest


# resolve


def test_names_become_commits_a_line_each(story: Shell):
    newest, oldest = commits(story)
    assert story.reg("resolve", "prod").lines == [oldest]
    assert story.reg("resolve", "main", "prod", "fraud@main~1", "-q").lines == [newest, oldest, oldest]
    found = story.reg("resolve", "main", "--json").json["versions"]
    assert [(row["revision"], row["model"], row["commit"], row["number"]) for row in found] == [("main", "fraud", newest, 2)]


def test_a_template_says_what_is_printed(story: Shell):
    newest, _ = commits(story)
    tree = story.reg("resolve", "main", "--json").json["versions"][0]["tree"]
    found = story.reg(
        "resolve", "fraud@main", "--template", "{model} v{number} {commit} {tree} {short} {revision} {log} {}x"
    ).lines
    assert found == [f"fraud v2 {newest} {tree} {newest[:12]} fraud@main fraud {{}}x"]
    assert "there are revision, model" in story.reg("resolve", "main", "--template", "{nothing}", code=2).stderr


def test_what_is_not_there_prints_nothing_and_what_is_not_expected_fails(story: Shell):
    newest, _ = commits(story)
    found = story.reg("resolve", "main", "nothing", code=3)
    assert (found.stdout, "no tag, branch or commit 'nothing'" in found.stderr) == ("", True)
    assert story.reg("resolve", "main", "--expect", newest[:8]).lines == [newest]
    refused = story.reg("resolve", "main", "prod", "--expect", "main", "--json", code=4)
    assert (refused.stdout, refused.error["code"]) == ("", "conflict")


# checkout


def test_a_dry_run_tells_what_would_be_written_and_fetched_and_writes_nothing(story: Shell):
    plan = story.reg("checkout", "prod", "serve", "--dry-run", "--json").json
    assert not (story.folder / "serve").exists()
    done = story.reg("checkout", "prod", "serve", "--json").json
    assert (plan["write"], plan["fetch_bytes"], plan["fetch_requests"]) == (done["written"], done["fetched_bytes"], 1)
    shown = story.reg("checkout", "main", "serve", "--dry-run").stdout
    assert "nothing was changed:\n  W config.json\n  1 file to write" in shown
    assert story.reg("checkout", "prod", "serve", "--dry-run").stdout.endswith(
        "0 files to write (0 B), 2 unchanged; nothing to fetch\n"
    )


def test_people_are_told_before_it_starts_how_much_is_fetched(story: Shell):
    first, *_ = story.reg("checkout", "prod", "serve").lines
    assert first.startswith("fraud v1: at most ")
    assert "to fetch, in 1 request, of 10.3 kB" in first
    assert story.reg("checkout", "prod", "serve").lines[0].startswith("fraud v1  "), "nothing to fetch"
    assert story.reg("checkout", "main", "other", "-q").lines == ["other"]


# deploy


def test_a_version_is_deployed_and_the_command_knows_what_it_is_of(story: Shell):
    newest, oldest = commits(story)
    story.reg("deploy", "prod", "serve")
    told = 'printf "%s\\n" "$REG_MODEL $REG_REVISION $REG_COMMIT $REG_NUMBER $REG_FOLDER $REG_PREVIOUS" > told; pwd -P >> told'
    found = story.reg("deploy", "fraud@main", "serve", "--exec", told, "--json").json
    folder = story.folder / "serve" / f"v2-{newest[:12]}"
    assert (folder / "told").read_text().splitlines() == [f"fraud fraud@main {newest} 2 {folder} {oldest}", str(folder)]
    assert (found["outcome"], found["serving_folder"], found["previous"]) == ("deployed", str(folder), oldest)
    assert os.readlink(story.folder / "serve" / "current") == folder.name
    assert story.reg("deploy", "main", "serve", "-q").lines == [f"serve/{folder.name}"]
    assert "is current in serve already" in story.reg("deploy", "main", "serve").stdout


def test_a_command_that_fails_or_does_not_end_is_rolled_back_with_status_1(story: Shell):
    _, oldest = commits(story)
    story.reg("deploy", "prod", "serve")
    found = story.reg("deploy", "main", "serve", "--exec", 'test -n "$REG_ROLLED_BACK"', "--json", code=1).json
    assert (found["outcome"], found["failure"], found["serving"]) == ("rolled-back", "the command ended with status 1", oldest)
    assert found["rollback_failure"] is None
    slow = 'test -n "$REG_ROLLED_BACK" || sleep 600'
    shown = story.reg("deploy", "main", "serve", "--exec", slow, "--timeout", "1s", code=1).stdout
    assert "was taken back: the command did not end in 1 s and was killed" in shown
    assert f"v1 ({oldest[:12]}) is current again" in shown
    killed = story.reg("deploy", "main", "serve", "--exec", "kill -9 $$", code=1).stdout
    assert "was killed by signal 9" in killed
    assert "and that was not taken up either" in killed
    assert os.readlink(story.folder / "serve" / "current").startswith("v1-")


def test_a_folder_keeps_two_versions_at_least(story: Shell):
    assert "--keep" in story.reg("deploy", "main", "serve", "--keep", "1", code=2).stderr


# watch


def test_once_tells_where_it_stands_in_one_line_of_json(story: Shell):
    _, oldest = commits(story)
    found = story.reg("watch", "prod", "--once", "--json")
    assert len(found.lines) == 1
    assert (found.json["what"], found.json["commit"], found.json["deployment"]) == ("stands", oldest, None)
    assert story.reg("watch", "prod", "--once", "-q").lines == [oldest]
    assert "fraud@prod stands at fraud v1" in story.reg("watch", "fraud@prod", "--once").stdout
    assert "fraud@nothing is not there yet" in story.reg("watch", "nothing", "--once", code=1).stdout
    assert "is no branch or tag" in story.reg("watch", "main~1", "--once", code=2).stderr


def test_once_deploys_what_is_not_there_yet_and_runs_the_command(story: Shell):
    words = ("watch", "prod", "--once", "--folder", "serve", "--exec", "date >> ../ran", "--json")
    assert story.reg(*words).json["deployment"]["outcome"] == "deployed"
    assert story.reg(*words).json["deployment"]["outcome"] == "unchanged"
    assert len((story.folder / "serve" / "ran").read_text().splitlines()) == 1


def test_once_of_a_bad_version_ends_with_status_1_each_time_and_tries_once(story: Shell):
    words = ("watch", "prod", "--once", "--folder", "serve", "--exec", "date >> ../ran; exit 3", "--json")
    assert story.reg(*words, code=1).json["failure"] == "the command ended with status 3"
    found = story.reg(*words, code=1).json
    assert (found["what"], found["deployment"]["outcome"], found["commit"]) == ("rolled-back", "refused", None)
    assert len((story.folder / "serve" / "ran").read_text().splitlines()) == 1
    assert "is not tried again until the name moves" in story.reg("watch", "prod", "--once", "--folder", "serve", code=1).stdout


def test_once_ends_with_the_error_where_the_store_does_not_answer(story: Shell):
    (story.folder.parent / "registry" / "refs" / "fraud" / "0000000002").unlink()
    (story.folder.parent / "registry" / "refs" / "fraud" / "0000000001").write_bytes(b"rubbish")
    assert story.reg("watch", "prod", "--once", "--json", code=5).error["code"] in {"integrity", "rollback"}


def test_a_command_without_a_folder_that_fails_is_told(story: Shell):
    found = story.reg("watch", "prod", "--once", "--exec", "exit 4", "--json", code=1).json
    assert (found["what"], found["failure"]) == ("stands", "the command ended with status 4")


@contextmanager
def watching(*words: str) -> Iterator[subprocess.Popen[str]]:
    """`reg watch` as a program, whose lines can be read as they come."""
    process = subprocess.Popen(
        command("watch", *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1, env={**os.environ}
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=TIMEOUT_S)


@pytest.mark.timeout(TIMEOUT_S)
def test_changes_are_told_as_they_come_until_it_is_interrupted(story: Shell):
    newest, oldest = commits(story)
    with watching("prod", "--interval", "1s", "--json", "--folder", "serve", "--exec", "cat config.json") as process:
        assert process.stdout
        first = json.loads(process.stdout.readline())
        assert (first["what"], first["commit"]) == ("stands", oldest)
        story.reg("tag", "prod", "main", "-m", "better")
        second = json.loads(process.stdout.readline())
        assert (second["what"], second["commit"], second["previous"], second["why"]) == ("moved", newest, oldest, "better")
        assert os.readlink(story.folder / "serve" / "current").startswith("v2-")
        story.reg("tag", "-d", "prod")
        assert json.loads(process.stdout.readline())["what"] == "deleted"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 130
        assert '{"layers": 2}{"layers": 3}' in said, "what the command printed, beside the lines of JSON"
