"""Running `reg`: in this process by click's runner, or as a program of its own, with or without a terminal."""

import errno
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from cas_registry.cli import reg

TIMEOUT_S = 60


@dataclass(frozen=True)
class Result:
    exit_code: int
    stdout: str
    stderr: str
    data: bytes = b""

    @property
    def json(self) -> Any:
        """The one document on standard output."""
        return json.loads(self.stdout)

    @property
    def error(self) -> dict[str, Any]:
        """The error on standard error, as JSON."""
        found: dict[str, Any] = json.loads(self.stderr)["error"]
        return found

    @property
    def lines(self) -> list[str]:
        return self.stdout.splitlines()


@dataclass(frozen=True)
class Shell:
    """Types commands in the current folder."""

    folder: Path

    def reg(self, *words: str | Path, code: int | None = 0) -> Result:
        """Run a verb in this process; the exit status must be `code`, or any if that is None."""
        found = CliRunner().invoke(reg, [str(word) for word in words], prog_name="reg")
        if found.exception and not isinstance(found.exception, SystemExit):
            raise found.exception
        assert code in {None, found.exit_code}, (
            f"reg {' '.join(map(str, words))}: {found.exit_code}\n{found.stdout}{found.stderr}"
        )
        return Result(found.exit_code, found.stdout, found.stderr, found.stdout_bytes)

    def write(self, path: str, data: str | bytes) -> Path:
        """A file below the folder."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data.encode() if isinstance(data, str) else data)
        return target


def program(*words: str | Path, **environment: str) -> Result:
    """Run `reg` as a program, its output piped."""
    found = subprocess.run(
        command(*words), capture_output=True, timeout=TIMEOUT_S, env={**os.environ, **environment}, check=False
    )
    return Result(found.returncode, found.stdout.decode(errors="replace"), found.stderr.decode(errors="replace"), found.stdout)


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "cas_registry", *map(str, words)]


def python(code: str, *words: str | Path, **environment: str) -> Result:
    """Run a script, its output piped."""
    found = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        capture_output=True,
        timeout=TIMEOUT_S,
        env={**os.environ, **environment},
        check=False,
    )
    return Result(found.returncode, found.stdout.decode(), found.stderr.decode())


def on_terminal(
    words: list[str], *, columns: int = 100, when: Callable[[str, int], None] | None = None, **environment: str
) -> Result:
    """Run a program with a terminal of so many columns for its output; what it shows is in `stdout`.

    `when` is called with the output so far and the process id, each time that more arrives.
    """
    terminal, theirs = pty.openpty()
    set_columns(terminal, columns)
    around = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}  # the terminal tells
    process = subprocess.Popen(
        words, stdin=theirs, stdout=theirs, stderr=theirs, env={**around, "TERM": "xterm", **environment}, close_fds=True
    )
    os.close(theirs)
    shown = b""
    deadline = time.monotonic() + TIMEOUT_S
    try:
        while time.monotonic() < deadline:
            if not select.select([terminal], [], [], 0.2)[0]:
                if process.poll() is not None:
                    break
                continue
            try:
                data = os.read(terminal, 65536)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                break  # the other end is closed
            if not data:
                break
            shown += data
            if when:
                when(shown.decode(errors="replace"), process.pid)
        code = process.wait(timeout=TIMEOUT_S)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
        os.close(terminal)
    return Result(code, shown.decode(errors="replace").replace("\r\n", "\n"), "")


def set_columns(terminal: int, columns: int) -> None:
    import fcntl
    import struct
    import termios

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
