"""A process that has imported everything and has one thread, which forks for every case: a child runs a scene and is killed at a step.

`python -m tests.reliability.forks` reads one case a line (JSON) and answers with a line; `Forks` is the other end.
"""

import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import Self

from tests.reliability.scenes import DEPLOYMENTS, SCENES, prepare, run
from tests.reliability.steps import Fate, Step, Steps

_FINISHED, _RAISED = 0, 1
_WARM = (
    "init",
    "checkout over another",
    "retire",
    "gc",
    "repack",
    "promote a protected tag",
    "roll back",
    "fork",
    "merge",
    "release",
    "edit a card",
)  # scenes that import between them all that any scene does


class ChildError(Exception):
    """A child ended in another way than it should; the text is its traceback."""


class Forks:
    """The other process. A context manager."""

    def __enter__(self) -> Self:
        self._scratch = tempfile.TemporaryDirectory()  # what is killed leaves its temporary files
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.reliability.forks"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            cwd=Path(__file__).parents[2], env={**os.environ, "TMPDIR": self._scratch.name},
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=30)
        self._scratch.cleanup()

    def run(self, scene: str, root: Path, number: int, fate: Fate) -> bool:
        """Run the scene, step `number` meeting its fate. True if that killed it, False if it came to its end before."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([scene, str(root), number, fate]) + "\n")
        self._process.stdin.flush()
        killed, error = json.loads(self._process.stdout.readline())
        if error:
            raise ChildError(error)
        return bool(killed)


def _warm_up() -> None:
    """Import what the verbs import when they are called: a child would do it again for every case."""
    with tempfile.TemporaryDirectory() as folder:
        for name in _WARM:
            root = Path(folder) / name
            prepare(SCENES[name], root, 0)
            run(SCENES[name], root)
        root = Path(folder) / "deploy"
        prepare(DEPLOYMENTS["deploy"], root, 0)
        run(DEPLOYMENTS["deploy"], root)


def _serve() -> None:
    _warm_up()
    assert threading.active_count() == 1
    gc.collect()
    gc.freeze()  # no child copies the pages of what is known already, by looking at it
    for line in sys.stdin:
        scene, root, number, fate = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            os._exit(_run(scene, Path(root), number, Fate(fate), writing))
        os.close(writing)
        with open(reading, "rb") as end:
            error = end.read().decode()
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code > 0 and not error:
            error = f"exit code {code}"
        print(json.dumps([code < 0, error]), flush=True)


def _run(scene: str, root: Path, number: int, fate: Fate, errors: int) -> int:
    def decide(step_number: int, _: Step) -> Fate:
        return fate if step_number == number else Fate.PASS

    try:
        with Steps(root, decide):
            run({**SCENES, **DEPLOYMENTS}[scene], root)
    except BaseException:  # the parent tells the test
        os.write(errors, traceback.format_exc().encode())
        return _RAISED
    return _FINISHED


if __name__ == "__main__":
    _serve()
