"""Folders that move while they are committed, and stores that go away: one clear error, the registry as it was."""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cas_registry.backends.opening import open_backend
from cas_registry.errors import AccessError, BackendError, ChangedDuringCommitError, NotFoundError, RegistryError
from cas_registry.registry import Registry, init_registry, open_registry, registry_over
from cas_registry.settings import Settings
from tests.support.servers import S3Server, ministack

SIZE = 3_000_000


class Meddler:
    """A progress that does something once, when a stage is first reported."""

    def __init__(self, stage: str, action: Callable[[], object]) -> None:
        self._stage = stage
        self._action = action
        self.done = False

    def update(self, stage: str, done_bytes: int, total_bytes: int) -> None:
        if stage == self._stage and not self.done:
            self.done = True
            self._action()


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return init_registry(tmp_path / "registry", Settings(author="ana", cache_folder=tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "big.bin").write_bytes(os.urandom(SIZE))
    (folder / "config.json").write_text("{}")
    return folder


def _rewrite_in_place(path: Path) -> None:
    """New bytes of the same length under the old times: what no comparison of sizes and times would see."""
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(SIZE // 2)
        file.write(b"changed")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


CHANGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "bytes changed after hashing, times put back": ("hash", lambda folder: _rewrite_in_place(folder / "big.bin")),
    "a file cut short after hashing": ("hash", lambda folder: os.truncate(folder / "big.bin", SIZE // 2)),
    "a file grown after hashing": ("hash", lambda folder: os.truncate(folder / "big.bin", SIZE + 4)),
    "a file removed after hashing": ("hash", lambda folder: (folder / "big.bin").unlink()),
    "a file added while storing": ("store", lambda folder: (folder / "late.txt").write_text("late")),
    "an empty folder added while storing": ("store", lambda folder: (folder / "late").mkdir()),
    "a small file changed while storing": ("store", lambda folder: (folder / "config.json").write_text('{"a": 1}')),
    "a permission changed while storing": ("store", lambda folder: (folder / "config.json").chmod(0o755)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_folder_that_changes_meanwhile_makes_no_commit(registry: Registry, folder: Path, change: str) -> None:
    stage, action = CHANGES[change]
    meddler = Meddler(stage, lambda: action(folder))
    model = registry.model("m")
    with pytest.raises(ChangedDuringCommitError, match="changed while it was committed"):
        model.commit(folder, progress=meddler)
    assert meddler.done
    assert registry.models() == []
    report = model.commit(folder)
    assert report.created
    assert model.read_bytes("main", "config.json") == (folder / "config.json").read_bytes()
    assert registry.fsck(read_data=True).exit_code == 0


def test_a_file_changed_right_after_its_commit_is_seen_though_its_size_is_the_same(registry: Registry, folder: Path) -> None:
    model = registry.model("m")
    for number in range(20):
        (folder / "config.json").write_text(f"{number:06}")
        assert model.commit(folder).created, number
        assert model.read_bytes("main", "config.json") == f"{number:06}".encode()


def test_wrong_credentials_and_missing_buckets_are_told_apart(s3_url: str, seaweedfs_server: S3Server) -> None:
    settings = Settings(author="ana", cache_folder=None)
    options = seaweedfs_server.storage_options
    init_registry(s3_url, settings, storage_options=options)
    with pytest.raises(AccessError, match="credentials") as denied:
        open_registry(s3_url, settings, storage_options={**options, "secret": "wrong-secret-of-somebody"})
    assert "wrong-secret" not in str(denied.value)
    for act in (open_registry, init_registry):
        with pytest.raises(NotFoundError, match="no such bucket"):
            act("s3://there-is-no-such-bucket/registry", settings, storage_options=options)
    with pytest.raises(NotFoundError, match="reg init"):
        open_registry(f"{s3_url}-elsewhere", settings, storage_options=options)


def test_a_store_that_goes_away_in_mid_commit_leaves_the_registry_as_it_was(tmp_path: Path, folder: Path) -> None:
    data = tmp_path / "store"
    data.mkdir()
    settings = Settings(author="ana", cache_folder=None)
    with ministack(data) as server:
        server.make_bucket("models")
        registry = init_registry("s3://models/registry", settings, storage_options=server.storage_options)
        first = registry.model("m").commit(folder)
    backend = open_backend("s3://models/registry", server.storage_options)
    started = time.monotonic()
    with pytest.raises(BackendError) as gone:
        registry_over(backend, settings).model("m").commit(folder)
    assert time.monotonic() - started < 60
    assert "network" in str(gone.value)
    (folder / "config.json").write_text('{"new": 1}')
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(ministack(data))
        backend = open_backend("s3://models/registry", server.storage_options)
        model = registry_over(backend, settings).model("m")
        stop = Meddler("store", stack.close)
        with pytest.raises(RegistryError) as stopped:
            model.commit(folder, progress=stop)
        assert stop.done
        assert stopped.value.exit_code in {6, 75}
    with ministack(data) as server:
        model = open_registry("s3://models/registry", settings, storage_options=server.storage_options).model("m")
        assert [record.id for record in model.log("main")] == [first.commit]
        assert model.commit(folder).number == 2
