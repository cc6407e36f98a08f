"""The world as the environment gives it."""

from pathlib import Path

import platformdirs
import pytest

from cas_registry.errors import InvalidInputError
from cas_registry.settings import (
    DEFAULT_CACHE_BYTES,
    default_allowed_signers,
    default_cache_bytes,
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
