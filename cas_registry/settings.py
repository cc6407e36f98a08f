"""The only place that reads the world: environment, home folder, user name and clock. Everything below is handed these."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cas_registry.errors import InvalidInputError

if TYPE_CHECKING:
    from cas_registry.operations.capture import Captured

DEFAULT_CACHE_BYTES = 10 * 1024**3  # the weights of a 5 G parameter model in two bytes each, and next to nothing of a disk


def default_cache_folder() -> Path:
    """`REG_CACHE`, or the platform's cache folder for this program."""
    if override := os.environ.get("REG_CACHE"):
        return Path(override)
    if folder := _by_xdg("XDG_CACHE_HOME", ".cache"):
        return folder
    import platformdirs  # noqa: PLC0415 - 25 ms that every verb of a remote registry would wait for

    return Path(platformdirs.user_cache_dir("cas_registry", appauthor=False))


def default_cache_bytes() -> int:
    """`REG_CACHE_BYTES` (0: nothing is kept), or 10 GiB: how large the files kept in the cache may grow together."""
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


def default_offline() -> bool:
    """`REG_OFFLINE`: 1 asks nothing of a remote store; 0 and nothing leave that to the caller."""
    text = os.environ.get("REG_OFFLINE", "")
    if text not in {"", "0", "1"}:  # a mistake here must not ask what was not to be asked
        raise InvalidInputError(f"REG_OFFLINE is {text!r}; give 1 or 0")
    return text == "1"


def default_captures() -> bool:
    """`REG_CAPTURE`: 0 lets no commit tell of its surroundings; 1 and nothing leave that to the caller."""
    text = os.environ.get("REG_CAPTURE", "")
    if text not in {"", "0", "1"}:  # a mistake here must not tell what was not to be told
        raise InvalidInputError(f"REG_CAPTURE is {text!r}; give 1 or 0")
    return text != "0"


def default_home_folder() -> Path | None:
    """The home folder, None where there is none."""
    home = os.path.expanduser("~")  # noqa: PTH111 - never raises
    return Path(home) if os.path.isabs(home) else None  # noqa: PTH117 - likewise


def capture_process(folder: Path, *, diff: bool = False) -> Captured:
    """What a commit of `folder` by this very process tells of its surroundings: the script that runs made the model."""
    from cas_registry.operations.capture import Scene, capture  # noqa: PLC0415 - an unchanged folder tells of nothing

    folders = (Path(os.path.abspath(".")), folder)  # noqa: PTH100 - a folder that is a link belongs where the link is
    return capture(Scene(folders, sys.path, _python_version(), _implementation(), sys.modules, diff))


def capture_command(folder: Path, *, diff: bool = False) -> Captured:
    """What a commit of `folder` by a command tells: its git, and the environment that is active, be it the command's own or another one."""
    from cas_registry.operations.capture import Scene, capture  # noqa: PLC0415 - as above

    folders = (folder, Path(os.path.abspath(".")))  # noqa: PTH100 - as above
    active = _active_environment()
    if active is None:
        return capture(Scene(folders, sys.path, _python_version(), _implementation(), {}, diff))
    return capture(Scene(folders, *active, _implementation(), {}, diff))


def _active_environment() -> tuple[list[str], str] | None:
    """The distributions' folder and the Python version of the activated environment, where this program runs in another one."""
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        prefix = os.environ.get(variable)
        if not prefix or os.path.realpath(prefix) == os.path.realpath(sys.prefix):
            continue
        for place in sorted(Path(prefix).glob("lib/python3.*/site-packages")) or [Path(prefix, "Lib", "site-packages")]:
            if place.is_dir():
                told = _file_text(Path(prefix, "pyvenv.cfg"))
                version = re.search(r"^version(?:_info)?\s*=\s*([0-9.]+)", told, re.MULTILINE)
                return [str(place)], version[1].rstrip(".") if version else place.parent.name.removeprefix("python")
    return None


def _file_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _python_version() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def _implementation() -> str:
    return {"cpython": "CPython", "pypy": "PyPy"}.get(sys.implementation.name, sys.implementation.name)


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
    to trust, and `verify` whether nothing else is checked out. `captures` says whether commits tell of their surroundings.
    """

    author: str = field(default_factory=default_author)
    cache_folder: Path | None = field(default_factory=default_cache_folder)
    cache_bytes: int = field(default_factory=default_cache_bytes)
    clock_ns: Callable[[], int] = time.time_ns
    state_folder: Path | None = field(default_factory=default_state_folder)
    signing_key: Path | None = field(default_factory=default_signing_key)
    allowed_signers: Path = field(default_factory=default_allowed_signers)
    verify: bool = field(default_factory=default_verify)
    captures: bool = field(default_factory=default_captures)
    home_folder: Path | None = field(default_factory=default_home_folder)

    def capture(self, folder: Path, *, diff: bool = False) -> Captured | None:
        """What is found around a commit of `folder`, None where nothing is to be told."""
        return capture_process(folder, diff=diff) if self.captures else None

    @property
    def now_ms(self) -> int:
        return self.clock_ns() // 1_000_000
