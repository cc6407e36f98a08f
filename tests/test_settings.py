"""The world as the environment gives it."""

import pytest

from cas_registry.errors import InvalidInputError
from cas_registry.settings import DEFAULT_CACHE_BYTES, default_cache_bytes


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
