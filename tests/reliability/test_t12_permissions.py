"""T12: folders that may not be written or read, and file systems without hard links. Reading works as far as it may; writing is refused
with advice before anything is left behind.

Root may do everything, so refusals come from a shim over `os` that says what the kernel would.
"""

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cas_registry.errors import AccessError, BackendError, RegistryError
from cas_registry.registry import Registry, init_registry, open_registry
from cas_registry.settings import Settings
from tests.reliability.failing_disk import WRITING, FailingDisk
from tests.reliability.matrix import Row
from tests.support.folders import CHUNK_BYTES, KIB, File, Folder, make_bytes, read_folder, write_folder
from tests.support.simulated import make_world

ROW = "T12"
FILES: Folder = {"a.txt": File(b"first"), "sub/b.txt": File(b"second"), "weights.bin": File(make_bytes(1, 30 * KIB))}
CHANGED: Folder = {**FILES, "a.txt": File(b"changed")}
AREAS = ["catalogue", "commits", "maps", "packs", "refs", "trees"]
WRITES: dict[str, Callable[[Registry, Path], object]] = {
    "commit": lambda registry, work: registry.model("m").commit(work),
    "tag": lambda registry, _: registry.model("m").tag("old", "main", reason="why"),
    "branch": lambda registry, _: registry.model("m").branch("side", "main"),
    "first commit of a model": lambda registry, work: registry.model("new").commit(work),
    "retire": lambda registry, _: registry.model("m").retire("main~1"),
    "gc": lambda registry, _: registry.gc(delete=True),
}


@pytest.fixture
def world(tmp_path: Path) -> Settings:
    return replace(make_world(tmp_path / "cache"), state_folder=tmp_path / "state")


@pytest.fixture
def root(tmp_path: Path, world: Settings) -> Path:
    """A registry in a folder with two versions; `work` beside it holds a third."""
    root = tmp_path / "registry"
    registry = init_registry(root, world, chunk_bytes=CHUNK_BYTES)
    work = write_folder(tmp_path / "work", {"a.txt": File(b"before")})
    registry.model("m").commit(work)
    registry.model("m").commit(write_folder(work, FILES), tags=["prod"])
    write_folder(work, CHANGED)
    return root


def _snapshot(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _below(folder: Path) -> Callable[[str], bool]:
    return lambda path: Path(path) == folder or folder in Path(path).parents


def _refusal(act: Callable[[], object]) -> RegistryError | None:
    try:
        act()
    except RegistryError as error:
        return error
    return None


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS], ids=["EACCES", "EROFS"])
def test_a_folder_that_may_only_be_read_is_read(matrix: Row, root: Path, tmp_path: Path, world: Settings, code: int) -> None:
    before = _snapshot(root)
    with FailingDisk(0, code, concerns=_below(root)):
        registry = open_registry(root, world)
        model = registry.model("m")
        assert [version.message for version in (record.commit for record in model.log())] == ["", ""]
        assert model.read_bytes("prod", "sub/b.txt") == b"second"
        assert [row.model for row in registry.models()] == ["m"]
        assert registry.fsck(read_data=True).exit_code == 0
        model.checkout("prod", tmp_path / "out")
    assert read_folder(tmp_path / "out") == FILES
    assert _snapshot(root) == before
    matrix.count(6)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS], ids=["EACCES", "EROFS"])
@pytest.mark.parametrize("write", WRITES)
def test_writing_to_it_is_refused_with_advice_and_leaves_nothing(
    matrix: Row, root: Path, tmp_path: Path, world: Settings, write: str, code: int
) -> None:
    before = _snapshot(root)
    registry = open_registry(root, world)
    with FailingDisk(0, code, concerns=_below(root)) as disk:
        error = _refusal(lambda: WRITES[write](registry, tmp_path / "work"))
    assert disk.hits
    assert isinstance(error, AccessError)
    assert ("permissions" if code == errno.EACCES else "read-only") in error.message
    assert error.exit_code == 6
    assert _snapshot(root) == before
    matrix.count()


@pytest.mark.parametrize("area", AREAS)
def test_one_area_that_may_not_be_written_refuses_the_commit_and_its_rerun_succeeds(
    matrix: Row, root: Path, tmp_path: Path, world: Settings, area: str
) -> None:
    model = open_registry(root, world).model("new")
    with FailingDisk(0, errno.EACCES, concerns=_below(root / area)) as disk:
        error = _refusal(lambda: model.commit(tmp_path / "work"))
    assert disk.hits
    assert isinstance(error, AccessError)
    assert area in error.message
    assert open_registry(root, world).fsck(read_data=True).exit_code == 0
    assert list(root.rglob(".tmp-*")) == []
    model.commit(tmp_path / "work")
    model.checkout("main", tmp_path / "out")
    assert read_folder(tmp_path / "out") == CHANGED
    matrix.count()


@pytest.mark.parametrize("area", [*AREAS, "format"])
def test_one_area_that_may_not_be_read_is_an_error_that_names_it(
    matrix: Row, root: Path, tmp_path: Path, world: Settings, area: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, forbidden = os.open, _below(root / area)

    def refuse(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if isinstance(path, str | Path) and forbidden(str(path)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)

    def read_all() -> None:
        registry = open_registry(root, world)
        registry.model_names()
        registry.model("m").show("main")
        registry.model("m").checkout("main", tmp_path / "out", remember=False)
        registry.model("m").files("main")

    error = _refusal(read_all)
    if area == "trees" and error is None:  # small trees came with the root map
        assert read_folder(tmp_path / "out") == FILES
    else:
        assert isinstance(error, AccessError), error
        assert area in error.message
        assert "permissions" in error.message
        assert not (tmp_path / "out").exists() or read_folder(tmp_path / "out") == {}
    matrix.count()


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK])
def test_a_file_system_without_hard_links_is_refused_with_advice(
    matrix: Row, root: Path, tmp_path: Path, world: Settings, code: int
) -> None:
    before = _snapshot(root)
    with FailingDisk(0, code, only=("link",)) as disk:
        new = _refusal(lambda: init_registry(tmp_path / "fresh", world))
        old = _refusal(lambda: open_registry(root, world).model("m").commit(tmp_path / "work"))
    assert disk.hits
    for error in (new, old):
        assert isinstance(error, BackendError)
        assert "hard links" in error.message
        assert "use another disk, or an object store" in error.message
    assert [path for path in (tmp_path / "fresh").rglob("*") if path.is_file()] == []
    assert _snapshot(root) == before
    matrix.count(2)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS], ids=["EACCES", "EROFS"])
def test_a_target_that_may_not_be_written_is_an_access_error(
    matrix: Row, root: Path, tmp_path: Path, world: Settings, code: int
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with FailingDisk(0, code, concerns=lambda path: not path.startswith("/") or _below(out)(path)):
        error = _refusal(lambda: open_registry(root, world).model("m").checkout("main", out))
    assert isinstance(error, AccessError)
    assert error.exit_code == 6
    assert list(out.iterdir()) == []
    matrix.count()


@pytest.mark.skipif(not hasattr(os, "fork") or os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_else_reads_and_may_not_write(matrix: Row, root: Path, tmp_path: Path, world: Settings) -> None:
    """The kernel's own word: as nobody, in a child, with the folder owned by root."""
    place = Path("/tmp") / f"reg-reliability-{os.getpid()}"
    shutil.copytree(root, place)
    try:
        child = os.fork()
        if child == 0:
            _as_nobody(place, tmp_path)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert _snapshot(place) == _snapshot(root)
    finally:
        shutil.rmtree(place)
    matrix.count(2)


def _as_nobody(place: Path, tmp_path: Path) -> None:
    """Reads all and tries to tag; leaves with 0 where that went as it should."""
    status = 1
    try:
        os.setgid(65534)
        os.setuid(65534)
        model = open_registry(place, replace(make_world(None), state_folder=None)).model("m")
        read = model.read_bytes("prod", "sub/b.txt") == b"second"
        error = _refusal(lambda: model.tag("old", "main", reason="why"))
        status = 0 if read and isinstance(error, AccessError) else 2
    finally:
        os._exit(status)


def test_the_shim_covers_what_the_backend_writes_with() -> None:
    assert {"open", "link", "mkdir", "fsync", "write"} <= set(WRITING)
