"""The world as the environment gives it."""

from pathlib import Path

import platformdirs
import pytest

from cas_registry.errors import InvalidInputError
from cas_registry.settings import (
    DEFAULT_CACHE_BYTES,
    Settings,
    capture_command,
    default_allowed_signers,
    default_cache_bytes,
    default_captures,
    default_home_folder,
    default_signing_key,
    default_state_folder,
    default_verify,
)


@pytest.mark.parametrize(("text", "expected"), [("", DEFAULT_CACHE_BYTES), ("0", 0), ("5000000", 5_000_000)])
def test_the_limit_of_the_cache(monkeypatch: pytest.MonkeyPatch, text: str, expected: int) -> None:
    monkeypatch.setenv("REG_CACHE_BYTES", text)
    assert default_cache_bytes() == expected


def test_without_a_word_the_limit_is_ten_gibibytes() -> None:
    assert default_cache_bytes() == 10 * 1024**3


@pytest.mark.parametrize("text", ["10G", "-1", "1e9", "1_000", "٣", " "])
def test_a_limit_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("REG_CACHE_BYTES", text)
    with pytest.raises(InvalidInputError, match="REG_CACHE_BYTES"):
        default_cache_bytes()


@pytest.mark.parametrize("xdg", [True, False], ids=["XDG", "home"])
def test_folders_are_those_of_the_platform(monkeypatch: pytest.MonkeyPatch, xdg: bool) -> None:
    if not xdg:
        monkeypatch.delenv("XDG_STATE_HOME")
        monkeypatch.delenv("XDG_CONFIG_HOME")
    assert default_state_folder() == Path(platformdirs.user_state_dir("cas_registry", appauthor=False))
    configuration = Path(platformdirs.user_config_dir("cas_registry", appauthor=False))
    assert default_allowed_signers() == configuration / "allowed_signers"


def test_folders_and_keys_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_signing_key() is None
    for name in ("REG_STATE", "REG_ALLOWED_SIGNERS", "REG_SIGNING_KEY"):
        monkeypatch.setenv(name, f"/x/{name}")
    assert default_state_folder() == Path("/x/REG_STATE")
    assert default_allowed_signers() == Path("/x/REG_ALLOWED_SIGNERS")
    assert default_signing_key() == Path("/x/REG_SIGNING_KEY")


@pytest.mark.parametrize(("text", "expected"), [("", False), ("0", False), ("1", True)])
def test_verifying_is_switched_on_by_1(monkeypatch: pytest.MonkeyPatch, text: str, expected: bool) -> None:
    monkeypatch.setenv("REG_VERIFY", text)
    assert default_verify() is expected


@pytest.mark.parametrize("text", ["yes", "true", " 1", "01"])
def test_another_word_does_not_switch_it_off(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("REG_VERIFY", text)
    with pytest.raises(InvalidInputError, match="REG_VERIFY"):
        default_verify()


@pytest.mark.parametrize(("text", "expected"), [("", True), ("0", False), ("1", True)])
def test_capturing_is_switched_off_by_0(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, expected: bool) -> None:
    monkeypatch.setenv("REG_CAPTURE", text)
    assert default_captures() is expected
    assert (Settings().capture(tmp_path) is not None) is expected


@pytest.mark.parametrize("text", ["no", "false", " 0", "00"])
def test_another_word_does_not_leave_it_on(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("REG_CAPTURE", text)
    with pytest.raises(InvalidInputError, match="REG_CAPTURE"):
        default_captures()


def test_home_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ana")
    assert default_home_folder() == Path("/home/ana")
    monkeypatch.setenv("HOME", "here")
    assert default_home_folder() is None


@pytest.mark.parametrize("variable", ["VIRTUAL_ENV", "CONDA_PREFIX"])
def test_a_command_of_another_environment_tells_of_the_active_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    assert "blake3" in capture_command(tmp_path).packages
    (tmp_path / "lib/python3.13/site-packages/torch-2.9.dist-info").mkdir(parents=True)
    monkeypatch.setenv(variable, str(tmp_path))
    found = capture_command(tmp_path)
    assert (found.packages, found.environment["python"]) == ({"torch": "2.9"}, "3.13")
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.13.2\n")
    assert capture_command(tmp_path).environment["python"] == "3.13.2"
    monkeypatch.setenv(variable, str(tmp_path / "nothing"))
    assert "blake3" in capture_command(tmp_path).packages
