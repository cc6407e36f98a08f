"""T14: a file is synced before it gets its name, folders before a log entry is written, that before the acknowledgement; a sync that fails is final."""

import os
import re
import sys
from pathlib import Path

import pytest

from cas_registry.errors import OutcomeUnknownError, RegistryError
from tests.reliability.kills import Kills
from tests.reliability.matrix import Row
from tests.reliability.scenes import SCENES, copy_scene, open_scene, run, state
from tests.reliability.steps import Fate, Kind, Step, Steps

ROW = "T14"
ENTRY = re.compile(r"registry/(refs/.+|releases/.+|catalogue)/\d{10}")
SYNCS = frozenset({Kind.SYNC, Kind.SYNC_FOLDER})
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="paths of descriptors")


@pytest.fixture(scope="module", params=SCENES)
def kills(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kills:
    return Kills(request.param, tmp_path_factory.mktemp("scene"), seed=3)


def test_files_before_names_before_folders_before_entries_before_the_end(kills: Kills, matrix: Row) -> None:
    written: dict[str, bool] = {}  # what is written aside -> whether it is synced since
    unsynced: set[str] = set()  # names in the registry that may be lost
    for step in kills.steps:
        if step.path and not f"{step.path}/".startswith("registry/"):
            continue
        match step.kind:
            case Kind.CREATE | Kind.WRITE:
                written[step.path] = False
            case Kind.SYNC:
                written[step.path] = True
            case Kind.SYNC_FOLDER:
                unsynced = {path for path in unsynced if os.path.dirname(path) != step.path}
            case Kind.LINK:
                assert written[step.path], f"{step.target} is named before it is synced"
                if step.target.startswith(("registry/refs/", "registry/releases/")):
                    others = {path for path in unsynced if not step.target.startswith(f"{path}/")}
                    assert others == set(), f"{step.target} is written while these may still be lost"
                unsynced.add(step.target)
            case Kind.MKDIR if step.path != "registry/files":  # hints alone, which may be lost
                unsynced.add(step.path)
            case Kind.UNLINK if step.path.startswith(("registry/packs/", "registry/maps/")) and "/.tmp-" not in step.path:
                assert unsynced == set(), f"{step.path} goes before the verdict is sure"
            case _:
                pass
        matrix.count()
    assert {path for path in unsynced if not path.startswith("registry/probe/")} == set()


def test_a_sync_that_fails_fails_the_operation_and_is_not_tried_again(kills: Kills, matrix: Row, tmp_path: Path) -> None:
    syncs = [number for number, step in enumerate(kills.steps) if step.kind in SYNCS]
    for number in syncs:
        root = tmp_path / f"sync-{number}"
        copy_scene(kills.template, root)
        failed: list[int] = []

        def fate(taken: int, step: Step, number: int = number, failed: list[int] = failed) -> Fate:
            if taken < number or step.kind not in SYNCS or failed:
                return Fate.PASS
            failed.append(taken)
            return Fate.FAIL

        with Steps(root, fate) as steps, pytest.raises(RegistryError) as caught:
            run(kills.scene, root)
        (taken,) = failed
        at, after = steps.taken[taken], steps.taken[taken + 1 :]
        assert not [step for step in after if step.kind in SYNCS and step.path == at.path]
        assert not [step for step in after if step.kind is Kind.LINK and ENTRY.fullmatch(step.target)]
        now = state(root)
        told = isinstance(caught.value, OutcomeUnknownError) or _is_finish(at)
        assert now == kills.old or (now == kills.new and told)
        if now is not None:
            assert open_scene(root).fsck().exit_code == 0
        kills.finish(root)
        matrix.count()


def _is_finish(step: Step) -> bool:
    """Making a registry ends with its `format`, in the registry's own folder: who is told of a failure there runs it again."""
    return step.path == "registry"
