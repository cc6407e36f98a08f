"""ssh-keygen as it is: what it signs it verifies, what it is given cannot become an option, and what it says is not believed."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from cas_registry.errors import InvalidInputError, NotFoundError, SignatureError
from cas_registry.operations import ssh_keygen
from cas_registry.operations.ssh_keygen import checker, sign
from tests.support.ssh_keys import Key, make_key, needs_ssh_keygen

pytestmark = needs_ssh_keygen

PAYLOAD = b"pay\0load\n-----BEGIN SSH SIGNATURE-----\n"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    return make_key(tmp_path_factory.mktemp("key"), "ada@example.org")


def _complaint(key: Key, payload: bytes, armour: str, *, principal: str = "ada@example.org") -> str | None:
    with checker(key.allowed().encode(), None) as found:
        return found.complaint(payload, armour, principal)


def test_what_is_signed_verifies_and_nothing_else_does(key: Key) -> None:
    armour = sign(PAYLOAD, key.path)
    assert _complaint(key, PAYLOAD, armour) is None
    assert "incorrect signature" in str(_complaint(key, PAYLOAD + b" ", armour))
    assert _complaint(key, PAYLOAD, armour, principal="bob@example.org")
    assert _complaint(key, PAYLOAD, armour, principal="-O")


@pytest.mark.parametrize("kind", [["rsa", "-b", "2048"], ["ecdsa"]], ids=["rsa", "ecdsa"])
def test_other_kinds_of_keys_sign_as_well(tmp_path: Path, kind: list[str]) -> None:
    command = ["ssh-keygen", "-q", "-t", *kind, "-N", "", "-C", "", "-f", str(tmp_path / "key")]
    subprocess.run(command, check=True, timeout=60, stdin=subprocess.DEVNULL)
    key = Key("ada@example.org", tmp_path / "key")
    assert _complaint(key, PAYLOAD, sign(PAYLOAD, key.path)) is None


def test_the_agent_signs_for_a_public_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = make_key(tmp_path / "keys", "ada@example.org", passphrase="a secret of some length")
    askpass = tmp_path / "askpass"
    askpass.write_text("#!/bin/sh\necho 'a secret of some length'\n")
    askpass.chmod(0o700)
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(tmp_path / "agent")], stdout=subprocess.DEVNULL)
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        added = {**os.environ, "SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"}
        for _ in range(50):
            if (tmp_path / "agent").exists():
                break
            agent.poll()
            subprocess.run(["sleep", "0.05"], check=True)
        subprocess.run(
            ["ssh-add", "-q", str(key.path)], env=added, check=True, timeout=30, stdin=subprocess.DEVNULL, capture_output=True
        )
        key.path.unlink()
        assert _complaint(key, PAYLOAD, sign(PAYLOAD, key.path.with_suffix(".pub"))) is None
    finally:
        agent.terminate()
        agent.wait(timeout=10)


def test_a_key_that_starts_with_a_dash_is_a_key(key: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-Y").write_bytes(key.path.read_bytes())
    (tmp_path / "-Y").chmod(0o600)
    assert _complaint(key, PAYLOAD, sign(PAYLOAD, Path("-Y"))) is None


@pytest.mark.parametrize("name", ["a\nb", "a\0b", "a\rb"])
def test_a_path_with_a_line_feed_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInputError, match="line feed"):
        sign(PAYLOAD, tmp_path / name)


def test_a_key_that_is_not_there_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="ssh-keygen -t ed25519"):
        sign(PAYLOAD, tmp_path / "nowhere")
    with pytest.raises(NotFoundError):
        sign(PAYLOAD, tmp_path)


# Another program in its place


def _pretend(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    program = folder / "ssh-keygen"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize(
    "script",
    [
        "exit 0",
        'echo Good "cas_registry" signature',
        "echo 'Good \"cas_registry\" signature for ada@example.org with ED25519 key SHA256:AAAA'",
        "echo 'Good \"git\" signature for ada@example.org with ED25519 key SHA256:AAAA'",
    ],
)
def test_a_zero_without_the_documented_line_is_no_yes(
    key: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    armour = sign(PAYLOAD, key.path)
    _pretend(tmp_path / "bin", script, monkeypatch)
    assert _complaint(key, PAYLOAD, armour) == "ssh-keygen did not say that it is good"


@pytest.mark.parametrize("script", ["exit 0", "echo -----BEGIN SSH SIGNATURE-----", "head -c 100000 /dev/zero"])
def test_what_is_no_signature_is_none(key: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    _pretend(tmp_path / "bin", script, monkeypatch)
    with pytest.raises(SignatureError, match="no signature that can be read"):
        sign(PAYLOAD, key.path)


def test_a_signature_that_does_not_hold_is_not_returned(key: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").write_text(sign(b"another payload", key.path))
    real = ssh_keygen.shutil.which("ssh-keygen")
    _pretend(tmp_path / "bin", f'[ "$2" = sign ] && exec cat {tmp_path}/other\nexec {real} "$@"', monkeypatch)
    with pytest.raises(SignatureError, match="does not hold"):
        sign(PAYLOAD, key.path)


def test_one_that_hangs_is_given_up(key: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend(tmp_path / "bin", "exec sleep 60", monkeypatch)
    monkeypatch.setattr(ssh_keygen, "SIGN_TIMEOUT_S", 0.2)
    with pytest.raises(SignatureError, match="did not answer"):
        sign(PAYLOAD, key.path)


def test_files_lie_where_nobody_else_looks_and_are_removed(key: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    armour = sign(PAYLOAD, key.path)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(ssh_keygen.tempfile, "tempdir", None)
    with checker(key.allowed().encode(), b"") as found:
        (folder,) = (tmp_path / "scratch").iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert found.complaint(PAYLOAD, armour, "ada@example.org") is None
        assert {path.name for path in folder.iterdir()} == {"allowed_signers", "revoked_keys", "signature"}
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert not list((tmp_path / "scratch").iterdir())
