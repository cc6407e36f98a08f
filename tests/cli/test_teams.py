"""fork, merge, release, releases, lock, verify --id."""

import json

import pytest

from tests.cli.shell import Shell


@pytest.fixture
def forked(story: Shell) -> Shell:
    """A fork fraud-eu with a version of its own, and another one of fraud's."""
    story.reg("fork", "fraud", "fraud-eu", "-m", "for Europe")
    story.write("eu/config.json", '{"layers": 3}')
    story.write("eu/model.bin", bytes(range(256)) * 40)
    story.write("eu/vocabulary.txt", "ä ö ü")
    story.reg("commit", "eu", "-M", "fraud-eu", "-m", "vocabulary")
    story.write("out/model.bin", bytes(range(256)) * 50)
    story.reg("commit", "out", "-m", "wider")
    return story


def test_a_fork_is_told_and_its_log_goes_on(story: Shell):
    newest, oldest = story.reg("log", "-q").lines
    made = story.reg("fork", "fraud@prod", "fraud-eu", "--json").json
    tree = story.reg("show", "prod", "--json").json["tree"]
    assert made == {"model": "fraud-eu", "branch": "main", "origin": "fraud", "commit": oldest, "tree": tree, "number": 1}
    assert story.reg("log", "fraud-eu@main", "-M", "fraud-eu", "-q").lines == [oldest]
    shown = story.reg("fork", "fraud", "fraud-us", "--branch", "trunk").stdout
    assert "Made model fraud-us of fraud@" in shown
    assert "no bytes were copied" in shown
    assert story.reg("show", "fraud-us@trunk", "-q").lines == [newest]
    assert story.reg("fork", "fraud", "fraud-eu", "--json", code=4).error["code"] == "already-exists"
    assert "there is no model" in story.reg("fork", "nothing", "x", code=3).stderr


def test_a_merge_is_told_with_what_came_in(forked: Shell):
    merged = forked.reg("merge", "fraud-eu@main", "--into", "main", "-M", "fraud", "--json").json
    assert (merged["outcome"], merged["added"], merged["changed"], merged["decided"]) == ("merged", ["vocabulary.txt"], [], [])
    assert forked.reg("show", "main", "--json").json["parents"] == [merged["ours"], merged["theirs"]]
    assert "has all of" in forked.reg("merge", "fraud-eu@main", "-M", "fraud").stdout
    shown = forked.reg("merge", "fraud@main", "-M", "fraud-eu").stdout
    assert "main moved on from" in shown
    assert "M model.bin" in shown
    assert forked.reg("log", "--graph").lines


def test_a_conflict_is_an_error_with_both_sides(forked: Shell):
    forked.write("eu/model.bin", b"other")
    forked.reg("commit", "eu", "-M", "fraud-eu")
    error = forked.reg("merge", "fraud-eu@main", "-M", "fraud", "--json", code=4).error
    assert error["code"] == "merge-conflict"
    ((path, clash, base, ours, theirs),) = error["fields"]["conflicts"]
    assert (path, clash, len({base, ours, theirs})) == ("model.bin", "content", 3)
    assert "model.bin (base" in forked.reg("merge", "fraud-eu@main", "-M", "fraud", code=4).stderr
    shown = forked.reg("merge", "fraud-eu@main", "-M", "fraud", "--take", "theirs:model.bin").stdout
    assert "model.bin: both changed it, theirs was taken" in shown
    assert forked.reg("cat", "main:model.bin").data == b"other"
    assert "ours:PATH" in forked.reg("merge", "fraud-eu@main", "-M", "fraud", "--take", "mine", code=2).stderr
    assert "--key is for --sign" in forked.reg("merge", "prod", "--key", "k", code=2).stderr


def test_releases_move_are_shown_and_roll_back(forked: Shell):
    assert "no releases yet" in forked.reg("releases").stdout
    moved = forked.reg("release", "prod", "fraud@v1", "fraud-eu@main", "-m", "November", "--json").json
    assert [(row["model"], row["number"]) for row in moved["versions"]] == [("fraud", 1), ("fraud-eu", 2)]
    assert [change["before"] for change in moved["changes"]] == [None, None]
    assert "fraud: v1 -> v2" in forked.reg("release", "prod", "fraud@v2", "--expect", "1").stdout
    assert "names that already" in forked.reg("release", "prod", "fraud@v2").stdout
    assert "not at the expected 1" in forked.reg("release", "prod", "fraud@v3", "--expect", "1", code=4).stderr
    shown = forked.reg("release", "prod").stdout
    assert "release:prod/fraud-eu" in shown
    assert forked.reg("show", "release:prod/fraud", "--json").json["number"] == 2
    assert forked.reg("show", "release:prod/fraud@{1}", "--json").json["number"] == 1
    assert forked.reg("cat", "release:prod/fraud-eu:vocabulary.txt").stdout == "ä ö ü"
    assert "entry 3: fraud v1" in forked.reg("release", "prod", "--rollback").stdout
    history = forked.reg("release", "prod", "--history", "--json").json["entries"]
    assert [entry["entry"] for entry in history] == [3, 2, 1]
    assert forked.reg("release", "prod", "--history").lines[3].rstrip().endswith("November")
    assert forked.reg("releases", "-q").lines == ["prod"]
    forked.reg("tag", "-d", "prod")
    assert "release prod names fraud@" in forked.reg("retire", "fraud@v1", code=4).stderr
    forced = forked.reg("retire", "fraud@v1", "--force").stdout
    assert "Breaks: release prod names fraud@" in forced
    assert "retired" in forked.reg("release", "prod").stdout
    assert "there is no release" in forked.reg("release", "live", code=3).stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["v1"], "of which model? Write MODEL@v1"),
        (["fraud@v1", "fraud@v2"], "two versions of fraud"),
        (["fraud@v1", "--rollback"], "go with the name alone"),
        (["--history", "--rollback"], "go with the name alone"),
        (["--sign"], "--sign signs a move"),
    ],
)
def test_what_a_release_does_not_take(story: Shell, words, said):
    assert said in story.reg("release", "prod", *words, code=2).stderr


def test_a_lock_file_is_checked_out_and_proven(story: Shell):
    locked = story.reg("lock", "prod", "--json").json
    commit, tree = locked["versions"][0]["commit"], locked["versions"][0]["tree"]
    assert locked["file"] == str(story.folder / "reg.lock")
    assert json.loads((story.folder / "reg.lock").read_text())["versions"][0]["commit"] == commit
    story.reg("tag", "prod", "main")
    assert story.reg("checkout", "prod", "serve", "--locked", "--json").json["commit"] == commit
    assert "Verified: serve holds exactly commit" in story.reg("verify", "serve", "--id", commit).stdout
    assert story.reg("verify", "serve", "--id", tree, "--json").json["holds"] is True
    assert story.reg("verify", "serve", "--lock", "reg.lock", "--json").json["id"] == commit
    story.write("serve/new.txt", "x")
    (story.folder / "serve" / "config.json").unlink()
    refused = story.reg("verify", "serve", "--id", commit, code=1)
    assert [line.split() for line in refused.lines[1:3]] == [["A", "new.txt"], ["D", "config.json"]]
    assert story.reg("verify", "serve", "--id", commit, "-q", code=1).lines == ["config.json", "new.txt"]
    assert "signatures are of a branch" in story.reg("verify", "serve", "--id", commit, "--accept", code=2).stderr
    assert "all 64 hex digits" in story.reg("verify", "serve", "--id", commit[:12], code=2).stderr
    assert "asked for" in story.reg("lock", "fraud@prod", "-o", "other.lock").stdout
    assert story.reg("checkout", "fraud@prod", "serve2", "--lock", "other.lock", "--json").json["commit"] != commit
    assert "says nothing of fraud@main" in story.reg("checkout", "main", "serve2", "--locked", code=3).stderr


def test_a_checkout_of_a_release_remembers_no_branch(story: Shell):
    story.reg("release", "live", "fraud@prod")
    story.reg("checkout", "release:live/fraud", "serve")
    assert story.reg("status", "serve", "--json").json["branch"] is None
    story.write("trusted", "ada@lab ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICQmZfG3tGq5cQN06gubOyV2xVPjb3vtiEM63KXQ7bQy")
    refused = story.reg("verify", "release:live/fraud", "--allowed-signers", "trusted", code=None)
    assert refused.exit_code in {2, 7}, "a release is never taken for verified"
