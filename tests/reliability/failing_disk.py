"""A disk that fails by script: the functions of `os` that take space or make names, counted, and refused from some call on."""

import errno
import os
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

WRITING = ("write", "fsync", "link", "mkdir", "open", "replace")
_MAKES_NAMES = os.O_CREAT | os.O_TMPFILE


class FailingDisk:
    """A context manager: call number `at` of the writing functions (`open` where it creates) raises `code`.

    With `stays`, so do all that follow, as on a disk that is full until somebody frees space; with `at=None` they are only counted. With
    `concerns`, only calls that name a path of which it is true. Thread-safe.
    """

    def __init__(
        self, at: int | None, code: int = errno.ENOSPC, *, stays: bool = True, only: tuple[str, ...] = WRITING,
        concerns: Callable[[str], bool] | None = None,
    ) -> None:  # fmt: skip
        self.calls = 0
        self.hits: Counter[str] = Counter()
        self._at = at
        self._code = code
        self._stays = stays
        self._only = only
        self._concerns = concerns
        self._lock = threading.Lock()
        self._real: dict[str, Callable[..., Any]] = {}

    def __enter__(self) -> Self:
        for name in self._only:
            self._real[name] = getattr(os, name)
            setattr(os, name, self._shim(name))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for name, real in self._real.items():
            setattr(os, name, real)

    def _shim(self, name: str) -> Callable[..., Any]:
        real = self._real[name]

        def call(*arguments: Any, **options: Any) -> Any:
            flags = arguments[1] if name == "open" and len(arguments) > 1 else 0
            if (name != "open" or flags & _MAKES_NAMES) and self._is_ours(arguments):
                self._count(name, arguments)
            return real(*arguments, **options)

        return call

    def _is_ours(self, arguments: tuple[Any, ...]) -> bool:
        path = arguments[0] if arguments else None
        return self._concerns is None or (isinstance(path, str | Path) and self._concerns(str(path)))

    def _count(self, name: str, arguments: tuple[Any, ...]) -> None:
        with self._lock:
            number = self.calls
            self.calls += 1
            if self._at is None or number < self._at or (number > self._at and not self._stays):
                return
            self.hits[name] += 1
        raise OSError(self._code, os.strerror(self._code), str(arguments[0]) if arguments else "")
