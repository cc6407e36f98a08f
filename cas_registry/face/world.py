"""What the face needs to know of the world outside."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cas_registry.operations.capture import Captured

AnyPath = str | PathLike[str]


class World(Protocol):
    """Who is at work, where the cache is and how large its files may grow together, what time it is, where to remember what was seen
    of logs, what to sign with, whom to trust, and whether to check out nothing else; where home is, and what surrounds a commit."""

    @property
    def author(self) -> str: ...
    @property
    def cache_folder(self) -> Path | None: ...
    @property
    def cache_bytes(self) -> int: ...
    @property
    def clock_ns(self) -> Callable[[], int]: ...
    @property
    def state_folder(self) -> Path | None: ...
    @property
    def signing_key(self) -> Path | None: ...
    @property
    def allowed_signers(self) -> Path: ...
    @property
    def verify(self) -> bool: ...
    @property
    def home_folder(self) -> Path | None: ...
    def capture(self, folder: Path, *, diff: bool = False) -> Captured | None: ...
