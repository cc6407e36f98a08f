"""Whom the caller trusts: allowed signers as OpenSSH writes them, and who may move what."""

from pathlib import Path

import pytest

from cas_registry.errors import AccessError, InvalidInputError, LimitError, NotFoundError
from cas_registry.model.entry import RefKind
from cas_registry.operations import trust
from cas_registry.operations.trust import Rule, Trust, check_principal, load_trust

PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKwkEN/IyNocCX5/mvpKxhMic6U9aEpb2NdinF0oGaA9"


def _load(folder: Path, signers: str, policy: str | None = None) -> Trust:
    (folder / "allowed_signers").write_text(signers)
    if policy is not None:
        (folder / "policy.toml").write_text(policy)
    return load_trust(folder / "allowed_signers")


LINES = {
    f"ada@example.org {PUBLIC}": ["ada@example.org"],
    f"ada@example.org,bob {PUBLIC} a comment": ["ada@example.org", "bob"],
    f'ada namespaces="cas_registry,git" {PUBLIC}': ["ada"],
    f'ada valid-before="20300101",namespaces="cas_registry"  {PUBLIC}': ["ada"],
    f'ada\tnamespaces="a b"\t{PUBLIC}\r': ["ada"],
    f'"ada" {PUBLIC}': ["ada"],
    f"*@example.org {PUBLIC}": [],
    f"*@example.org,ada {PUBLIC}": ["ada"],
    f"!ada {PUBLIC}": [],
    f"-O {PUBLIC}": [],
    f"ada cert-authority {PUBLIC}": [],
    f'ada namespaces="git",CERT-AUTHORITY {PUBLIC}': [],
    f"# ada {PUBLIC}": [],
    "ada ssh-ed25519": [],
    "ada ssh-ed25519 not-base-64!": [],
    "ada rubbish rubbish rubbish": [],
    "": [],
}  # fmt: skip


@pytest.mark.parametrize(("line", "names"), LINES.items(), ids=[str(number) for number in range(len(LINES))])
def test_a_line_names_its_signers(tmp_path: Path, line: str, names: list[str]) -> None:
    found = _load(tmp_path, f"\n{line}\n")
    assert [list(names) for names in found.signers.values()] == ([names] if names else [])


def test_one_key_in_two_lines_has_both_names(tmp_path: Path) -> None:
    assert list(_load(tmp_path, f"ada {PUBLIC}\nbob {PUBLIC}\nada {PUBLIC}\n").signers.values()) == [("ada", "bob")]


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"says whom to trust.*REG_ALLOWED_SIGNERS"):
        load_trust(tmp_path / "allowed_signers")


def test_what_cannot_be_read_is_an_error_and_not_an_absence(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").mkdir()
    with pytest.raises(AccessError, match=r"policy\.toml"):
        _load(tmp_path, f"ada {PUBLIC}\n")


def test_huge_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "MAX_KEYS", 0)
    with pytest.raises(LimitError, match="keys"):
        _load(tmp_path, f"ada {PUBLIC}\n")
    monkeypatch.setattr(trust, "MAX_TRUST_BYTES", 10)
    with pytest.raises(LimitError, match="larger"):
        _load(tmp_path, f"ada {PUBLIC}\n")


@pytest.mark.parametrize("name", ["ada", "ada@example.org", "ops+prod@x.io", "Zoë"])
def test_names_of_signers(name: str) -> None:
    assert check_principal(name) == name


@pytest.mark.parametrize("name", ["", "-n", "a b", "a\nb", "a\0b", "*", "a?", "!a", "a,b", '"a"', "#a", "a" * 256, "a\x7f"])
def test_what_is_no_name_of_a_signer(name: str) -> None:
    with pytest.raises(InvalidInputError, match="no name of a signer"):
        check_principal(name)


# Who may move what

POLICY = """
[[rule]]
registry = "s3://models/*"
model = "fraud*"
kind = "tag"
ref = "prod"
principals = ["ada@example.org", "bob@example.org"]
threshold = 2

[[rule]]
registry = "000102030405060708090a0b0c0d0e0f"
ref = "release/*"
principals = ["ada@example.org"]

[[rule]]
model = "fraud"
"""


def _rule(found: Trust, **fields: object) -> Rule | None:
    asked = {
        "registry": "ff" * 16,
        "url": "s3://models/registry",
        "model": "fraud",
        "kind": RefKind.TAG,
        "ref": "prod",
        **fields,
    }
    return found.rule(**asked)


def test_the_first_rule_that_covers_a_ref_counts(tmp_path: Path) -> None:
    found = _load(tmp_path, f"ada@example.org {PUBLIC}\n", POLICY)
    assert _rule(found) == Rule(
        "s3://models/*", "fraud*", "prod", RefKind.TAG, frozenset({"ada@example.org", "bob@example.org"}), 2
    )
    assert _rule(found, kind=RefKind.BRANCH) == Rule(model="fraud")
    assert _rule(found, url="/home/ada/registry") == Rule(model="fraud")
    assert _rule(found, model="fraud-2").threshold == 2
    assert _rule(found, model="ranker") is None
    assert _rule(found, model="ranker", ref="release/1", registry="000102030405060708090a0b0c0d0e0f").threshold == 1
    assert _rule(found, model="ranker", ref="release/1") is None


def test_without_a_policy_any_allowed_signer_may_move_anything(tmp_path: Path) -> None:
    found = _rule(_load(tmp_path, f"ada {PUBLIC}\n"))
    assert found == Rule()
    assert found.admits("anybody")


def test_an_empty_policy_lets_nobody_move_anything(tmp_path: Path) -> None:
    assert _rule(_load(tmp_path, f"ada {PUBLIC}\n", "")) is None


WRONG = {
    "not TOML": "[[rule]",
    "another table": "[rules]\n",
    "no tables": "rule = 7\n",
    "rules that are none": "rule = [7]\n",
    "a field mistyped": '[[rule]]\nprincipal = ["ada"]\n',
    "a model that is no text": "[[rule]]\nmodel = 7\n",
    "an empty pattern": '[[rule]]\nref = ""\n',
    "a kind of its own": '[[rule]]\nkind = "head"\n',
    "principals that are no list": '[[rule]]\nprincipals = "ada"\n',
    "principals that are numbers": "[[rule]]\nprincipals = [7]\n",
    "a pattern of principals": '[[rule]]\nprincipals = ["*@example.org"]\n',
    "an option as principal": '[[rule]]\nprincipals = ["-f"]\n',
    "threshold 0": '[[rule]]\nprincipals = ["ada"]\nthreshold = 0\n',
    "a threshold that is a truth": "[[rule]]\nthreshold = true\n",
    "a threshold that nobody reaches": '[[rule]]\nprincipals = ["ada"]\nthreshold = 2\n',
    "the same twice": '[[rule]]\nprincipals = ["ada", "ada"]\nthreshold = 2\n',
    "nobody": "[[rule]]\nprincipals = []\n",
}


@pytest.mark.parametrize("policy", WRONG.values(), ids=WRONG.keys())
def test_a_policy_that_is_wrong_is_refused_whole(tmp_path: Path, policy: str) -> None:
    with pytest.raises(InvalidInputError, match=r"policy\.toml"):
        _load(tmp_path, f"ada {PUBLIC}\n", policy)
