"""T2: the power goes at any step. What was acknowledged is there, the rest may be, and nothing that is there is taken for what it is not."""

import json
import random
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from cas_registry.errors import NotFoundError
from cas_registry.model.ids import FileId
from cas_registry.registry import registry_over
from tests.reliability.kills import Kills
from tests.reliability.matrix import Row
from tests.reliability.power import Disk
from tests.reliability.profile import NIGHTLY
from tests.reliability.scenes import SCENES, open_scene, registry_state, run, state, target_files
from tests.reliability.steps import Steps
from tests.reliability.whole import is_hint, is_whole
from tests.support.simulated import make_world, memory_with

ROW = "T2"
RERUN_EVERY = 25  # different states; the command is run again there
DATA_READ_EVERY = 5
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="paths of descriptors")


@pytest.mark.parametrize("seed", range(1, 51) if NIGHTLY else [1])
@pytest.mark.parametrize("name", SCENES)
def test_power_loss_at_every_step(name: str, seed: int, matrix: Row, tmp_path: Path) -> None:
    kills = Kills(name, tmp_path, seed)
    chance = random.Random(seed)
    disk = Disk(*_contents(kills.template))
    seen: set[FileId] = set()
    for number in range(len(kills.steps) + 1):
        acknowledged = number == len(kills.steps)
        for files in disk.states(chance):
            matrix.count()
            mark = _mark(files, acknowledged=acknowledged)
            if mark not in seen:
                seen.add(mark)
                _check(kills, files, acknowledged=acknowledged, read_data=len(seen) % DATA_READ_EVERY == 0)
                if len(seen) % RERUN_EVERY == 0:
                    _finish(kills, files, tmp_path / f"state-{len(seen)}")
        if not acknowledged:
            disk.take(kills.steps[number])
    assert len(seen) > 1


def _contents(root: Path) -> tuple[dict[str, bytes], frozenset[str]]:
    paths = {path.relative_to(root).as_posix(): path for path in root.rglob("*")}
    files = {name: path.read_bytes() for name, path in paths.items() if path.is_file()}
    return files, frozenset(name for name, path in paths.items() if path.is_dir())


def _mark(files: Mapping[str, bytes], *, acknowledged: bool) -> FileId:
    """The same for the same state."""
    rows = (f"{path} {FileId.of(data).hex}" for path, data in sorted(files.items()) if not path.startswith("cache/"))
    return FileId.of("\n".join((*rows, str(acknowledged))).encode())


def _check(kills: Kills, files: Mapping[str, bytes], *, acknowledged: bool, read_data: bool) -> None:
    for path, data in files.items():
        if path.startswith("target/.reg/"):
            json.loads(data)  # a file of old or new, never rubbish
    stored = {path.removeprefix("registry/"): data for path, data in files.items() if path.startswith("registry/")}
    for key, data in stored.items():
        assert is_hint(key) or is_whole(key, data), f"{key} has its name and not its bytes"
    try:
        registry = registry_over(memory_with(stored), make_world())
    except NotFoundError:
        assert kills.old is None
        assert not acknowledged
        return
    assert registry_state(registry) in ([kills.new] if acknowledged else [kills.old, kills.new])
    report = registry.fsck(read_data=read_data)
    assert report.exit_code == 0, report.findings


def _finish(kills: Kills, files: Mapping[str, bytes], root: Path) -> None:
    """The same command again. What a checkout left and did not sync is no version's: it is looked at, and overwritten by force; what it
    had removed may be back."""
    shutil.copytree(kills.template / "work", root / "work")
    for path, data in files.items():
        if not path.startswith(("cache/", "work/")):
            where = root / path
            where.parent.mkdir(parents=True, exist_ok=True)
            where.write_bytes(data)
    if kills.scene.name.startswith("checkout"):
        open_scene(root).model("m").checkout("main", root / "target", force=True)
    else:
        with Steps(root):
            run(kills.scene, root)
    assert state(root) == kills.new
    found = target_files(root)
    assert kills.new_files.items() <= found.items() <= (kills.old_files | kills.new_files).items()
