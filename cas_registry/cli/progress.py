"""A bar on standard error for what takes longer than a second, if somebody is there to see it."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cas_registry.cli.text import plain

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

WAIT_S = 1.0
_STAGES = {
    "hash": "Reading",
    "list": "Listing versions",
    "store": "Storing",
    "write": "Writing",
    "plan": "Comparing",
    "read": "Checking",
    "count": "Counting files",
    "map": "Reading maps",
    "index": "Reading logs",
    "trees": "Reading folders",
}


@contextmanager
def progress_bar(*, wanted: bool, wait_s: float = WAIT_S) -> Iterator["ProgressBar"]:
    """A `Progress` for the library; shows itself after `wait_s` seconds, and leaves nothing behind."""
    bar = ProgressBar()
    timer = threading.Timer(wait_s, bar.start) if wanted and sys.stderr.isatty() else None
    if timer:
        timer.daemon = True
        timer.start()
    try:
        yield bar
    finally:
        if timer:
            timer.cancel()
        bar.stop()


class ProgressBar:
    """Takes updates from the working thread and draws from its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rich: RichProgress | None = None
        self._task: TaskID | None = None
        self._stage = ""
        self._stopped = False
        self._latest: tuple[str, int, int] | None = None

    def update(self, stage: str, done_bytes: int, total_bytes: int) -> None:
        with self._lock:
            self._latest = (stage, done_bytes, total_bytes)
            self._draw()

    def start(self) -> None:
        """Begin to draw."""
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

        with self._lock:
            if self._stopped:
                return
            self._rich = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=30),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._rich.start()
            self._task = self._rich.add_task("Working", total=None)
            self._draw()

    def stop(self) -> None:
        """Clear what was drawn."""
        with self._lock:
            self._stopped = True
            if self._rich:
                self._rich.stop()
                self._rich = None

    def _draw(self) -> None:
        if self._rich is None or self._task is None or self._latest is None:
            return
        stage, done, total = self._latest
        if stage != self._stage:
            self._stage = stage
            shown = plain(_STAGES.get(stage) or stage[:1].upper() + stage[1:])
            self._rich.reset(self._task, description=shown, total=total or None)
        self._rich.update(self._task, completed=done, total=total)
