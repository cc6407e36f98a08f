"""The only place that reads the world: environment, home folder, user name and clock. Everything below is handed these."""

import os
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


@dataclass(frozen=True, slots=True)
class Settings:
    """Who is at work, where the cache is and how large its files may grow together, and what time it is (nanoseconds since 1970)."""

    author: str = field(default_factory=default_author)
    cache_folder: Path | None = field(default_factory=default_cache_folder)
    cache_bytes: int = field(default_factory=default_cache_bytes)
    clock_ns: Callable[[], int] = time.time_ns

    @property
    def now_ms(self) -> int:
        return self.clock_ns() // 1_000_000
