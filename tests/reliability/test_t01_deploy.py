"""T1, of what is served: killed at every step of a deployment, `current` names a whole version, and the same command finishes."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reliability.forks import Forks
from tests.reliability.matrix import Row
from tests.reliability.scenes import DEPLOYMENTS, copy_scene, prepare, run
from tests.reliability.steps import Fate, Kind, Step, Steps
from tests.support.folders import File, read_folder

ROW = "T1"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and paths of descriptors")


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as opened:
        yield opened


def served(root: Path) -> dict[str, File | None] | None:
    """What `current` names; None where there is none. A link that leads nowhere fails."""
    try:
        name = os.readlink(root / "serve" / "current")
    except FileNotFoundError:
        return None
    assert (root / "serve" / name).is_dir()
    return read_folder(root / "serve" / name)


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_kill_at_every_step_of_a_deployment(name: str, forks: Forks, matrix: Row, tmp_path: Path) -> None:
    template, whole = tmp_path / "template", tmp_path / "whole"
    prepare(DEPLOYMENTS[name], template, 1)
    copy(template, whole)
    before = served(template)
    with Steps(whole) as steps:
        run(DEPLOYMENTS[name], whole)
    after, second = served(whole), read_folder(template / "work")
    assert (after == second) == ("bad" not in name)
    assert {Kind.SYMLINK, Kind.REPLACE, Kind.SYNC} <= {step.kind for step in steps.taken}
    assert_synced_before_the_switch(steps.taken)
    killed = 0
    for number, step in enumerate(steps.taken):
        root = tmp_path / f"case-{number}"
        copy(template, root)
        killed += forks.run(name, root, number, Fate.KILL_WITHIN if step.kind is Kind.WRITE else Fate.KILL_BEFORE)
        assert served(root) in (before, second)
        run(DEPLOYMENTS[name], root)
        assert served(root) == after
        assert (root / "loaded").read_bytes() == (whole / "loaded").read_bytes()
        assert not [path for path in (root / "serve").iterdir() if path.name.startswith((".current-", ".removed-"))]
        shutil.rmtree(root)
        matrix.count()
    assert killed == len(steps.taken)


def assert_synced_before_the_switch(taken: list[Step]) -> None:
    """No power loss leaves a `current` that names less than what was verified."""
    (first, *_) = [number for number, step in enumerate(taken) if step.target == "serve/current"]
    folder = next(step.path for step in taken if step.kind is Kind.MKDIR and step.path.startswith("serve/v"))
    files = {step.target for step in taken[:first] if step.target.startswith(f"{folder}/")}
    synced = {step.path for step in taken[:first] if step.kind is Kind.SYNC}
    assert len(files) >= 4
    assert {path for path in files if "/.reg/" not in path} <= synced


def copy(template: Path, root: Path) -> None:
    """With links as links."""
    copy_scene(template, root)
    link = template / "serve" / "current"
    if link.is_symlink():
        shutil.rmtree(root / "serve" / "current")
        (root / "serve" / "current").symlink_to(os.readlink(link))
