"""note, approve, promote, rollback, and the rules of `reg policy`."""

from pathlib import Path

import pytest

from tests.cli.shell import Shell
from tests.support.ssh_keys import make_key, needs_ssh_keygen


def as_(monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    monkeypatch.setenv("REG_AUTHOR", who)


def test_notes_are_written_and_listed(story: Shell, monkeypatch):
    as_(monkeypatch, "bob@lab")
    newest = story.reg("log", "-q").lines[0]
    made = story.reg("note", "main", "-m", "slow on CPU", "--metric", "ms=12.5", "--label", "owner=risk", "--json").json
    assert made | {"time": None, "time_ms": None} == {
        "model": "fraud", "number": 2, "entry": 3, "commit": newest, "time": None, "time_ms": None, "who": "bob@lab",
        "text": "slow on CPU", "labels": {"owner": "risk"}, "metrics": {"ms": 12.5}, "tag": None, "approved": None,
        "by_author": False, "signed_by": None,
    }  # fmt: skip
    story.reg("note", "v2", "--unlabel", "owner")
    listed = story.reg("note", "fraud@main").stdout
    for text in ("bob@lab", "slow on CPU", "ms 12.5", "owner=risk", "without owner"):
        assert text in listed
    assert story.reg("note", "main", "-q").lines == ["slow on CPU"]
    assert [note["labels"] for note in story.reg("note", "main", "--json").json["notes"]] == [
        {"owner": "risk"},
        {"owner": None},
    ]
    assert "Nothing was said of prod" in story.reg("note", "prod").stdout
    assert "a metric is a number" in story.reg("note", "main", "--metric", "auc=high", code=2).stderr
    story.reg("note", "main", "--sign", code=2)
    story.reg("note", "nowhere", "-m", "x", code=3)


def test_a_hostile_note_does_not_reach_the_terminal(story: Shell):
    story.reg("note", "main", "-m", "\x1b[31mred\u202e", "--label", "a=\x1b]0;x\x07")
    assert "\x1b" not in story.reg("note", "main").stdout
    assert "\\x1b" in story.reg("note", "main").stdout


def test_from_protection_to_promotion(story: Shell, monkeypatch):
    set_up = story.reg(
        "policy", "protect", "prod", "--approvals", "1", "--approver", "*@risk", "--require", "metrics.auc >= prod",
        "--require", "files < 10", "--check", "safe", "-m", "since the outage",
    )  # fmt: skip
    assert set_up.lines[1:] == [
        "tag prod of every model: 1 approval of *@risk, (metrics.auc >= prod) and (files < 10), checked: safe"
    ]
    asked = story.reg("promote", "main", "prod", "--dry-run", code=1)
    assert "✗ 1 approval of *@risk: none" in asked.stdout
    assert "✓ (metrics.auc >= prod) and (files < 10)" in asked.stdout
    assert "reg approve fraud@" in asked.stdout
    assert story.reg("promote", "main", "prod", "--dry-run", "-q", code=1).lines == ["refuse"]
    error = story.reg("promote", "main", "prod", "--reason", "better", "--json", code=8).error
    assert (error["code"], error["exit_code"]) == ("rule", 8)
    assert error["fields"]["unmet"][0].startswith("1 approval of *@risk: none")
    assert "may not move to v2" in story.reg("tag", "prod", "main", code=8).stderr
    assert story.reg("approve", "main", "prod").lines[-1] == "It counts for no rule: you made the version"
    as_(monkeypatch, "bob@risk")
    refused = story.reg("approve", "main", "prod", "--refuse", "-m", "worse on rural customers")
    assert refused.lines[0].startswith("Refused for prod: fraud v2")
    assert "worse on rural" in story.reg("promote", "main", "prod", "--reason", "better", code=8).stderr
    story.reg("approve", "main", "prod", "-m", "retrained head")
    as_(monkeypatch, "ada@lab")
    assert story.reg("promote", "main", "prod", "--dry-run", "--json").json["passed"] is True
    moved = story.reg("promote", "fraud@main", "prod", "--reason", "better", "--json").json
    assert (moved["moved"], moved["name"], moved["model"]) == (True, "prod", "fraud")
    moves = story.reg("tag", "--history", "prod", "--json").json["moves"]
    assert [(move["number"], move["previous_number"], move["who"], move["why"]) for move in moves] == [
        (2, 1, "ada@lab", "better"), (1, None, "ada@lab", "first"),
    ]  # fmt: skip
    assert story.reg("tag", "--history", "prod").lines[1].split()[:2] == ["prod@{0}", "v2"]
    assert "reg policy unprotect prod" in story.reg("tag", "-d", "prod", code=8).stderr


def test_rolling_back(story: Shell):
    story.reg("promote", "main", "prod", "--reason", "better")
    assert "Moved tag prod of fraud from" in story.reg("rollback", "prod", "--reason", "p99 doubled").stdout
    assert story.reg("tag", "--json").json["refs"][0]["number"] == 1
    assert "reg tag --history prod" in story.reg("rollback", "prod", "--reason", "more", code=3).stderr
    story.reg("rollback", "prod", "--to", "v2", "-m", "it was the balancer")
    assert story.reg("tag", "--json").json["refs"][0]["number"] == 2
    story.reg("rollback", "prod", "--to", "v1", "--steps", "1", "-m", "x", code=2)
    assert "say why" in story.reg("rollback", "prod", code=2).stderr
    assert "say why" in story.reg("promote", "main", "prod", code=2).stderr


def test_rules_are_shown_and_taken_away(story: Shell):
    story.reg("policy", "protect", "env/*", "--who", "*@ops", "--after", "staging", "-M", "fraud")
    rules = story.reg("policy", "--json").json["rules"]
    assert rules == {
        "fraud": {
            "env/*": {"who": ["*@ops"], "approvals": 0, "approvers": [], "when": None, "checks": [], "after": ["staging"]}
        }
    }
    assert "tag env/* of fraud: moved by *@ops, after staging" in story.reg("policy").stdout
    assert "a move by *@ops: ada@lab" in story.reg("tag", "env/prod", "main", code=8).stderr
    assert "no rule of tag 'env/*'" in story.reg("policy", "unprotect", "env/*", code=3).stderr
    assert story.reg("policy", "unprotect", "env/*", "-M", "fraud", "--json").json["rules"] == {}
    story.reg("tag", "env/prod", "main")


@pytest.mark.parametrize(
    "words",
    [
        ["protect"],
        ["protect", "a", "b", "--approvals", "1"],
        ["protect", "prod"],
        ["protect", "prod", "--last", "3"],
        ["protect", "prod", "--check", "nothing"],
        ["protect", "prod", "--require", "metrics.auc >"],
        ["keep", "prod", "--last", "3"],
        ["keep", "--who", "x"],
        ["stages", "dev", "dev"],
        ["show", "--strict"],
        ["unprotect"],
    ],
)
def test_words_that_make_no_sense_together(story: Shell, words: list[str]):
    story.reg("policy", *words, code=2)
    assert story.reg("policy", "--json").json["rules"] == {}


def test_stages_and_their_board(story: Shell):
    header, row = story.reg("policy", "stages", "dev", "staging", "prod", "archived").lines
    assert header.split() == ["model", "dev", "staging", "prod", "archived"]
    assert row.split() == ["fraud", "-", "-", "v1,", "just", "now", "-"]
    assert "at 'staging' before" in story.reg("promote", "main", "prod", "--reason", "x", code=8).stderr
    story.reg("promote", "main", "staging", "--reason", "a week of shadow traffic")
    story.reg("promote", "main", "prod", "--reason", "ready")
    found = story.reg("policy", "stages", "--json").json
    assert found["stages"] == ["dev", "staging", "prod", "archived"]
    assert [(row["model"], row["stage"], row["number"], row["why"]) for row in found["standings"]] == [
        ("fraud", "staging", 2, "a week of shadow traffic"), ("fraud", "prod", 2, "ready"),
    ]  # fmt: skip
    assert story.reg("policy", "stages", "-q").lines == ["fraud staging v2", "fraud prod v2"]


@needs_ssh_keygen
def test_approvals_and_promotions_are_signed(story: Shell, monkeypatch, tmp_path: Path):
    keys = {name: make_key(tmp_path / "keys", f"{name}@example.org") for name in ("ada", "bob")}
    trusted = tmp_path / "trust" / "allowed_signers"
    trusted.parent.mkdir()
    trusted.write_text("".join(key.allowed() for key in keys.values()))
    monkeypatch.setenv("REG_ALLOWED_SIGNERS", str(trusted))
    story.reg("policy", "protect", "prod", "--approvals", "1", "--check", "signed")
    story.write("out/config.json", '{"layers": 4}')
    story.reg("commit", "out", "--sign", "--key", keys["ada"].path)
    as_(monkeypatch, "bob@lab")
    signed = story.reg("approve", "main", "prod", "--sign", "--key", keys["bob"].path, "--json").json
    assert signed["signed_by"].startswith("SHA256:")
    assert "not signed" in story.reg("promote", "main", "prod", "--reason", "x", code=8).stderr
    moved = story.reg("promote", "main", "prod", "--reason", "x", "--sign", "--key", keys["bob"].path)
    assert moved.lines[-1].startswith("Signed by SHA256:")
    assert story.reg("verify", "prod", "-q").lines == ["bob@example.org"]
