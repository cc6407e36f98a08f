"""`reg sign`, `reg verify` and `--sign`, `--verify`: who put a name where it stands."""

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.shell import Shell, program
from tests.support.ssh_keys import Key, make_key, needs_ssh_keygen

pytestmark = needs_ssh_keygen


@pytest.fixture
def ada(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Key:
    """Ada's key, which signs unless another is named, and whom this machine trusts."""
    key = make_key(shell.folder.parent / "keys", "ada@example.org")
    trusted = shell.folder.parent / "trust" / "allowed_signers"
    trusted.parent.mkdir()
    trusted.write_text(key.allowed())
    monkeypatch.setenv("REG_SIGNING_KEY", str(key.path))
    monkeypatch.setenv("REG_ALLOWED_SIGNERS", str(trusted))
    return key


def _fingerprint(story: Shell) -> str:
    found: str = story.reg("sign", "prod", "--json").json["signed_by"]
    return found


@pytest.mark.usefixtures("ada")
def test_signing_later_and_verifying(story: Shell):
    assert "nobody signed it" in story.reg("verify", "prod", code=7).stderr
    signed = story.reg("sign", "prod")
    assert signed.lines[0].startswith("Signed entry 1, which put tag prod of fraud at ")
    assert story.reg("sign", "prod").lines[0].startswith("Signed already: entry 1")
    found = story.reg("verify", "prod")
    assert found.lines[0].startswith("Verified: tag prod stands at fraud v1")
    assert found.lines[1] == f"  signed by ada@example.org, {_fingerprint(story)}"
    assert found.lines[-1] == "  chain of hashes followed through 2 entries to the head, entry 2"
    assert story.reg("verify", "prod", "-q").lines == ["ada@example.org"]
    assert story.reg("sign", "prod", "-q").lines == [_fingerprint(story)]


@pytest.mark.usefixtures("ada")
def test_a_commit_and_a_tag_sign_in_the_same_step(bound: Shell):
    bound.write("out/a", "1")
    made = bound.reg("commit", "out", "--sign", "--json").json
    assert bound.reg("verify", "main", "--json").json["signers"] == [{"principal": "ada@example.org", "key": made["signed_by"]}]
    moved = bound.reg("tag", "prod", "main", "-m", "good", "--sign")
    assert moved.lines[-1] == f"Signed by {made['signed_by']}"
    assert f"  Signed by {made['signed_by']}" in bound.reg("commit", "out", "--sign").lines
    verified = bound.reg("verify", "prod", "--json").json
    assert (verified["why"], verified["who"], verified["entry"], verified["threshold"]) == ("good", "ada@lab", 2, 1)


def test_a_failure_tells_its_reasons_as_json(story: Shell, ada: Key):
    key = make_key(story.folder.parent / "keys", "eve@example.org")
    signed = story.reg("sign", "prod", "--key", key.path, "--json").json
    error = story.reg("verify", "prod", "--json", code=7).error
    assert (error["code"], error["exit_code"], error["fields"]["entry"]) == ("signature", 7, 1)
    assert signed["signed_by"] in error["fields"]["reasons"][0]


def test_a_checkout_that_must_verify(story: Shell, ada: Key, monkeypatch: pytest.MonkeyPatch):
    story.reg("checkout", "prod", "serve", "--verify", code=7)
    assert not Path("serve").exists()
    monkeypatch.setenv("REG_VERIFY", "1")
    story.reg("checkout", "prod", "serve", code=7)
    assert not Path("serve").exists()
    story.reg("checkout", "prod", "unsigned", "--no-verify")
    story.reg("sign", "prod")
    story.reg("checkout", "prod", "serve")
    assert Path("serve/config.json").read_text() == '{"layers": 2}'
    monkeypatch.setenv("REG_VERIFY", "yes")
    assert "give 1 or 0" in story.reg("checkout", "prod", "serve", code=2).stderr


@pytest.mark.usefixtures("ada")
def test_a_bucket_put_back_is_refused_by_every_verb_until_it_is_accepted(story: Shell):
    registry = story.folder.parent / "registry"
    shutil.copytree(registry, story.folder.parent / "before")
    story.reg("tag", "prod", "main", "--sign")
    shutil.rmtree(registry)
    shutil.copytree(story.folder.parent / "before", registry)
    for words in (
        ["log"],
        ["show", "prod"],
        ["ls", "prod"],
        ["tag"],
        ["checkout", "prod", "x"],
        ["tag", "prod", "main"],
        ["verify", "prod"],
    ):
        found = story.reg(*words, "--json", code=5)
        assert (found.error["code"], found.error["fields"]["seen"]) == ("rollback", 3)
    assert "nobody signed it" in story.reg("verify", "prod", "--accept", code=7).stderr
    story.reg("log")


def test_what_was_seen_lies_where_it_is_told(story: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REG_STATE", str(tmp_path / "remembered"))
    story.reg("log")
    registry = story.reg("init", "../registry", "--json").json["registry_id"]
    state = json.loads((tmp_path / "remembered" / registry / "fraud.json").read_text())
    assert state["last"]["n"] == 2


def test_a_plan_remembers_nothing_that_never_was(story: Shell):
    story.write("out/new", "x" * 1000)
    story.reg("commit", "out", "--plan")
    story.reg("log")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["commit", "out", "--key", "k"], "--key is for --sign"),
        (["tag", "prod", "main", "--key", "k"], "--key is for --sign"),
        (["tag", "--sign"], "name the tag"),
        (["sign", "prod"], "REG_SIGNING_KEY; git's user.signingkey is not looked at"),
        (["sign", "prod~1"], "REG_SIGNING_KEY"),
    ],
)
def test_what_makes_no_sense(story: Shell, words: list[str], message: str):
    assert message in story.reg(*words, code=2).stderr


def test_without_ssh_keygen_it_says_what_to_install(story: Shell, ada: Key):
    story.reg("sign", "prod")
    empty = story.folder / "empty"
    empty.mkdir()
    for words in (["verify", "prod"], ["sign", "prod"], ["tag", "x", "main", "--sign"]):
        found = program(*words, PATH=str(empty))
        assert found.exit_code == 3
        assert "install openssh-client" in found.stderr
    assert story.reg("tag", "-q").lines == ["prod"]


def test_text_of_a_signer_is_not_obeyed(story: Shell, ada: Key, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REG_AUTHOR", "ada\x1b]0;owned\x07")
    story.reg("tag", "prod", "main", "-m", "\x1b[31mred", "--sign")
    found = story.reg("verify", "prod")
    assert "\x1b" not in found.stdout
    assert "\x07" not in found.stdout


@pytest.mark.usefixtures("ada")
def test_only_what_is_signed_is_deployed(story: Shell):
    assert "nobody signed it" in story.reg("deploy", "prod", "served", "--verify", code=7).stderr
    assert "nobody signed it" in story.reg("watch", "prod", "--once", "--folder", "served", "--verify", code=7).stderr
    assert not (story.folder / "served").exists()
    story.reg("sign", "prod")
    found = story.reg("watch", "prod", "--once", "--folder", "served", "--verify", "--json").json
    assert (found["number"], found["deployment"]["outcome"]) == (1, "deployed")
