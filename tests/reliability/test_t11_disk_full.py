"""T11: a disk that is full at any moment. A typed error, nothing partial under a final name, and the rerun succeeds once there is space."""

import errno
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cas_registry.errors import BackendError, OutcomeUnknownError, RegistryError
from cas_registry.registry import Model, init_registry, open_registry
from cas_registry.settings import Settings
from tests.cli.shell import python
from tests.reliability.failing_disk import FailingDisk
from tests.reliability.matrix import Row
from tests.reliability.profile import NIGHTLY
from tests.support.folders import CHUNK_BYTES, KIB, File, Folder, make_bytes, read_folder, write_folder
from tests.support.simulated import make_world

ROW = "T11"
ONE: Folder = {
    "a.txt": File(b"first"),
    "sub/deep/b.txt": File(b"second"),
    "weights.bin": File(make_bytes(1, 30 * KIB)),
    "empty": None,
}
TWO: Folder = {
    **ONE,
    "a.txt": File(b"changed"),
    "weights.bin": File(make_bytes(1, 20 * KIB) + make_bytes(2, 12 * KIB)),
    "new": File(b"n", True),
}


@dataclass(frozen=True)
class Scene:
    """What is done in a folder that holds `registry`, `one`, `two`; `check` says that it was done, and `before` prepares the folder."""

    act: Callable[[Path], object]
    check: Callable[[Path], None]
    versions: int


def _world(folder: Path) -> Settings:
    """With its cache, and what this machine saw of logs, on the same disk."""
    return replace(make_world(folder / "cache"), state_folder=folder / "state")


def _model(folder: Path) -> Model:
    return open_registry(folder / "registry", _world(folder)).model("m")


def _commit(which: str) -> Callable[[Path], object]:
    return lambda folder: _model(folder).commit(folder / which, message=which, tags=["prod"])


def _holds(what: Folder) -> Callable[[Path], None]:
    def check(folder: Path) -> None:
        _model(folder).checkout("prod", folder / "check", remember=False)
        assert read_folder(folder / "check") == what

    return check


def _checkout(folder: Path) -> object:
    return _model(folder).checkout("main", folder / "out", force=True)


def _checked_out(folder: Path) -> None:
    assert read_folder(folder / "out") == TWO


def _init(folder: Path) -> object:
    return init_registry(folder / "registry", _world(folder), chunk_bytes=CHUNK_BYTES)


SCENES = {
    "init": Scene(_init, lambda folder: _model(folder).branches() == [], -1),
    "first commit": Scene(_commit("one"), _holds(ONE), 0),
    "second commit": Scene(_commit("two"), _holds(TWO), 1),
    "tag": Scene(lambda folder: _model(folder).tag("old", "main~1", reason="why"), lambda folder: None, 2),
    "checkout": Scene(_checkout, _checked_out, 2),
}


_STEP = dict.fromkeys(SCENES, 1) | ({} if NIGHTLY else {"init": 5})  # most calls of `init` are those of sixteen racing probes


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Folders by the number of versions that their registry has; -1: no registry."""
    base = tmp_path_factory.mktemp("full")
    write_folder(base / "none" / "one", ONE)
    write_folder(base / "none" / "two", TWO)
    found = {-1: base / "none"}
    for number, act in enumerate([_init, _commit("one"), _commit("two")]):
        folder = shutil.copytree(found[number - 1], base / str(number))
        act(folder)
        found[number] = folder
    return found


def _partial(folder: Path) -> list[Path]:
    """Temporary files that a failure left."""
    return [path for path in folder.rglob("*") if path.name.startswith((".tmp-", ".reg-tmp-"))]


def _check_after_failure(folder: Path, scene: str) -> None:
    """Nothing partial: no temporary file, a whole registry, and in the target only whole files."""
    assert _partial(folder) == []
    if (folder / "registry" / "format").exists():
        assert open_registry(folder / "registry", _world(folder)).fsck(read_data=True).exit_code == 0
    if scene == "checkout":
        there = read_folder(folder / "out") if (folder / "out").exists() else {}
        assert {path: file for path, file in there.items() if file}.items() <= TWO.items()


@pytest.mark.parametrize("stays", [True, False], ids=["until space is freed", "once"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT], ids=["ENOSPC", "EDQUOT"])
@pytest.mark.parametrize("scene", SCENES)
def test_a_full_disk_at_any_call_is_a_typed_error_and_the_rerun_succeeds(
    matrix: Row, prepared: dict[int, Path], tmp_path: Path, scene: str, code: int, stays: bool
) -> None:
    if code == errno.EDQUOT and stays:
        pytest.skip("a quota differs by its number alone: once is enough")
    what = SCENES[scene]
    undisturbed = shutil.copytree(prepared[what.versions], tmp_path / "undisturbed")
    with FailingDisk(None) as disk:
        what.act(undisturbed)
    assert disk.calls > 5
    refused = 0
    step = _STEP[scene] * (1 if stays or NIGHTLY else 5 if code == errno.ENOSPC else 11)
    for at in range(0, disk.calls, step):
        folder = shutil.copytree(prepared[what.versions], tmp_path / f"run{at}")
        with FailingDisk(at, code, stays=stays) as failing:
            error = _error_of(what, folder)
        assert failing.hits, (at, disk.calls, failing.calls, error)
        refused += error is not None
        assert error is None or isinstance(error, BackendError | OutcomeUnknownError), (at, failing.hits, error)
        assert not isinstance(error, BackendError) or "space" in error.message, (at, error)
        _check_after_failure(folder, scene)
        again = _error_of(what, folder)
        assert again is None or (scene == "init" and again.code == "already-exists"), (at, error, again)
        what.check(folder)
        _check_after_failure(folder, scene)
        shutil.rmtree(folder)
        matrix.count()
    assert refused > disk.calls // step // 2


def _error_of(scene: Scene, folder: Path) -> RegistryError | None:
    try:
        scene.act(folder)
    except RegistryError as error:
        return error
    return None


_LIMITED = """
import resource, signal, sys
from pathlib import Path
from cas_registry.errors import RegistryError
from tests.reliability.test_t11_disk_full import SCENES
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    SCENES[sys.argv[2]].act(Path(sys.argv[1]))
except RegistryError as error:
    sys.exit(error.exit_code)
"""


@pytest.mark.parametrize("limit_bytes", [0, 600, 8 * KIB])
@pytest.mark.parametrize("scene", ["init", "first commit", "checkout"])
def test_files_that_may_not_grow_stop_a_process_cleanly(
    matrix: Row, prepared: dict[int, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scene: str, limit_bytes: int
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    what = SCENES[scene]
    folder = shutil.copytree(prepared[what.versions], tmp_path / "run")
    found = python(_LIMITED, folder, scene, str(limit_bytes))
    assert found.exit_code in {0, 6}, found.stderr
    assert found.stderr == ""
    assert found.exit_code == 6 or limit_bytes >= 5000, "a limit below every object is felt"
    _check_after_failure(folder, scene)
    if found.exit_code or scene != "init":
        what.act(folder)
    what.check(folder)
    matrix.count()
