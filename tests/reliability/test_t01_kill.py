"""T1: kill -9 at every step of every operation. What was acknowledged is there, refs are old or new, and the same command finishes the work."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.reliability.forks import Forks
from tests.reliability.kills import DATA_CHECKED_EVERY, Kills
from tests.reliability.matrix import Row
from tests.reliability.profile import NIGHTLY
from tests.reliability.scenes import REFUSED, SCENES, copy_scene, prepare, run, state
from tests.reliability.steps import Fate, Kind, Steps

ROW = "T1"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and paths of descriptors")


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as opened:
        yield opened


@pytest.mark.parametrize("seed", range(1, 51) if NIGHTLY else [1])
@pytest.mark.parametrize("name", SCENES)
def test_kill_at_every_step(name: str, seed: int, forks: Forks, matrix: Row, tmp_path: Path) -> None:
    """Right after one step is right before the next: the command is run again after all kills of the one kind and some of the other."""
    kills = Kills(name, tmp_path, seed)
    killed = 0
    for case, (number, fate) in enumerate(kills.cases()):
        root = tmp_path / f"case-{case}"
        copy_scene(kills.template, root)
        killed += forks.run(name, root, number, fate)
        kills.check(root, read_data=case % DATA_CHECKED_EVERY == 0)
        if fate is not Fate.KILL_AFTER or case % DATA_CHECKED_EVERY == 0:
            kills.finish(root)
        shutil.rmtree(root)
        matrix.count()
    assert killed >= len(kills.steps) * 2 - 4  # threads may save a step


@pytest.mark.parametrize("name", SCENES)
def test_nothing_goes_past_the_steps(name: str, tmp_path: Path) -> None:
    """The interpreter is asked, not the code: every path below the folder is opened, made, renamed or removed in a wrapped call."""
    root = tmp_path / "root"
    prepare(SCENES[name], root, 1)
    with Steps(root) as steps, _watched(steps, root) as seen:
        run(SCENES[name], root)
    assert seen.inside >= len([step for step in steps.taken if step.kind not in _UNHEARD])
    assert seen.outside == []


def test_what_is_refused_takes_no_step(tmp_path: Path) -> None:
    root = tmp_path / "root"
    prepare(REFUSED, root, 1)
    before = state(root)
    with Steps(root) as steps:
        run(REFUSED, root)
    assert steps.taken == []
    assert state(root) == before


def test_what_goes_past_the_steps_is_seen(tmp_path: Path) -> None:
    real = os.mkdir
    with Steps(tmp_path) as steps, _watched(steps, tmp_path) as seen:
        real(tmp_path / "a")
        os.mkdir(tmp_path / "b")
    assert seen.outside == [("os.mkdir", str(tmp_path / "a"))]
    assert seen.inside == 1


_UNHEARD = frozenset({Kind.WRITE, Kind.SYNC, Kind.SYNC_FOLDER, Kind.MODE})  # have no events, but need a file that was opened
_EVENTS = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"})


@dataclass
class _Seen:
    steps: Steps
    root: str
    inside: int = 0
    outside: list[tuple[str, str]] = field(default_factory=list)

    def hear(self, event: str, arguments: tuple[object, ...]) -> None:
        path = arguments[-2] if event == "os.link" else arguments[0]
        name = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        ours = name.startswith(self.root) or not os.path.isabs(name)  # a relative one is below a folder that was opened
        if event not in _EVENTS or not name or not ours:
            return
        if self.steps.is_inside:
            self.inside += 1
        else:
            self.outside.append((event, name))


@contextmanager
def _watched(steps: Steps, root: Path) -> Iterator[_Seen]:
    """Hooks cannot be taken out again: one for the process, which hears for whoever watches."""
    if not _hooked:
        sys.addaudithook(lambda event, arguments: [seen.hear(event, arguments) for seen in _watching] and None)
        _hooked.append(True)
    _watching.append(_Seen(steps, f"{root}{os.sep}"))
    try:
        yield _watching[-1]
    finally:
        _watching.pop()


_hooked: list[bool] = []
_watching: list[_Seen] = []
