"""The only place that reads the world: environment, home folder, user name and clock. Everything below is handed these."""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cas_registry.errors import InvalidInputError

DEFAULT_CACHE_BYTES = 10 * 1024**3  # the weights of a 5 G parameter model in two bytes each, and next to nothing of a disk


def default_cache_folder() -> Path:
    """`REG_CACHE`, or the platform's cache folder for this program."""
    if override := os.environ.get("REG_CACHE"):
        return Path(override)
    import platformdirs  # noqa: PLC0415 - 25 ms that few verbs need

    return Path(platformdirs.user_cache_dir("cas_registry", appauthor=False))


def default_cache_bytes() -> int:
    """`REG_CACHE_BYTES` (0: no files are kept), or 10 GiB: how large the files kept in the cache may grow together."""
    override = os.environ.get("REG_CACHE_BYTES", "")
    if not override:
        return DEFAULT_CACHE_BYTES
    if not override.isascii() or not override.isdecimal():
        raise InvalidInputError(f"REG_CACHE_BYTES is {override!r}; give a number of bytes, or 0 to keep no files")
    return int(override)


def default_state_folder() -> Path:
    """`REG_STATE`, or the platform's folder for what a program remembers: how far the logs of registries were seen."""
    if override := os.environ.get("REG_STATE"):
        return Path(override)
    if folder := _by_xdg("XDG_STATE_HOME", ".local/state"):
        return folder
    import platformdirs  # noqa: PLC0415 - as above

    return Path(platformdirs.user_state_dir("cas_registry", appauthor=False))


def default_allowed_signers() -> Path:
    """`REG_ALLOWED_SIGNERS`, or `allowed_signers` in the platform's configuration folder for this program."""
    if override := os.environ.get("REG_ALLOWED_SIGNERS"):
        return Path(override)
    if folder := _by_xdg("XDG_CONFIG_HOME", ".config"):
        return folder / "allowed_signers"
    import platformdirs  # noqa: PLC0415 - as above

    return Path(platformdirs.user_config_dir("cas_registry", appauthor=False)) / "allowed_signers"


def default_signing_key() -> Path | None:
    """`REG_SIGNING_KEY`: the key to sign with where none is named."""
    override = os.environ.get("REG_SIGNING_KEY")
    return Path(override) if override else None


def default_verify() -> bool:
    """`REG_VERIFY`: 1 lets nothing be checked out that does not verify, 0 and nothing leave that to the caller."""
    text = os.environ.get("REG_VERIFY", "")
    if text not in {"", "0", "1"}:  # a mistake here must not switch the check off
        raise InvalidInputError(f"REG_VERIFY is {text!r}; give 1 or 0")
    return text == "1"


def default_author() -> str:
    """`REG_AUTHOR`, or user@host."""
    if override := os.environ.get("REG_AUTHOR"):
        return override
    import getpass  # noqa: PLC0415 - the two take 5 ms
    import socket  # noqa: PLC0415

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def _by_xdg(variable: str, below_home: str) -> Path | None:
    """The folder of this program as platformdirs finds it on Linux, without the 25 ms that every verb would wait for."""
    if sys.platform != "linux":
        return None
    chosen = os.environ.get(variable, "").strip()
    return (Path(chosen) if chosen else Path(os.path.expanduser("~")) / below_home) / "cas_registry"  # noqa: PTH111 - never raises


@dataclass(frozen=True, slots=True)
class Settings:
    """Who is at work, where the cache is and how large its files may grow together, and what time it is (nanoseconds since 1970).

    `state_folder` is where what was seen of logs is remembered (None: nowhere), `signing_key` what is signed with, `allowed_signers` whom
    to trust, and `verify` whether nothing else is checked out.
    """

    author: str = field(default_factory=default_author)
    cache_folder: Path | None = field(default_factory=default_cache_folder)
    cache_bytes: int = field(default_factory=default_cache_bytes)
    clock_ns: Callable[[], int] = time.time_ns
    state_folder: Path | None = field(default_factory=default_state_folder)
    signing_key: Path | None = field(default_factory=default_signing_key)
    allowed_signers: Path = field(default_factory=default_allowed_signers)
    verify: bool = field(default_factory=default_verify)

    @property
    def now_ms(self) -> int:
        return self.clock_ns() // 1_000_000
