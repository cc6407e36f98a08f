"""T1b: the run that should finish a killed one's work is killed too, wherever chance has it."""

import random
import shutil
import sys
from pathlib import Path

import pytest

from tests.reliability.forks import Forks
from tests.reliability.kills import DATA_CHECKED_EVERY, Kills
from tests.reliability.matrix import Row
from tests.reliability.profile import scaled
from tests.reliability.scenes import SCENES, copy_scene

ROW = "T1b"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and paths of descriptors")


def test_double_crash(matrix: Row, tmp_path: Path) -> None:
    chance = random.Random(1)
    prepared: dict[str, Kills] = {}
    with Forks() as forks:
        for pair in range(scaled(100)):
            name = chance.choice(sorted(SCENES))
            if name not in prepared:
                prepared[name] = Kills(name, tmp_path / name, seed=2)
            kills = prepared[name]
            root = tmp_path / f"pair-{pair}"
            copy_scene(kills.template, root)
            for _ in range(2):
                forks.run(name, root, *chance.choice(kills.cases()))
                kills.check(root, read_data=pair % DATA_CHECKED_EVERY == 0)
            kills.finish(root)
            shutil.rmtree(root)
            matrix.count()
