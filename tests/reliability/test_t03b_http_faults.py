"""T3 over HTTP: the faults that a connection has, at every request of a commit and of a tag, behind the driver for S3."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cas_registry.backends import Backend
from cas_registry.backends.remote import RemoteBackend, open_filesystem
from cas_registry.backends.wrappers import RetryingBackend
from cas_registry.errors import AccessError, IntegrityError, RegistryError
from cas_registry.registry import registry_over
from cas_registry.store import log
from cas_registry.store.log import Log
from tests.reliability.matrix import Row
from tests.reliability.scenes import SCENES, prepare, registry_state, small_borders
from tests.reliability.test_t03_storage_faults import ACTS, Clock
from tests.support.fake_s3 import BUCKET, FakeS3, HttpFault
from tests.support.simulated import make_world, memory_with

ROW = "T3b"
GIVES_UP = {HttpFault.DENIED: AccessError, HttpFault.FLIPPED_BIT: IntegrityError}  # the others are got over


@pytest.fixture(scope="module")
def store() -> Iterator[FakeS3]:
    with FakeS3().serving() as serving:
        yield serving


@pytest.fixture
def backend(store: FakeS3, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    clock = Clock()
    monkeypatch.setattr(Log.__init__, "__kwdefaults__", {"sleep": clock.sleep})
    monkeypatch.setattr(log, "time", clock)
    remote = RemoteBackend(open_filesystem("s3", store.storage_options), f"{BUCKET}/r", f"s3://{BUCKET}/r")
    with small_borders():
        yield RetryingBackend(remote, sleep=clock.sleep)


@pytest.mark.parametrize("fault", HttpFault)
@pytest.mark.parametrize("name", ["commit", "tag"])
def test_a_fault_at_every_request(
    name: str, fault: HttpFault, store: FakeS3, backend: Backend, matrix: Row, tmp_path: Path
) -> None:
    scene, act = ACTS[name]
    root = tmp_path / "root"
    prepare(SCENES[scene], root, 1)
    folder = root / "registry"
    before = {f"r/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def run(fault_at: int) -> RegistryError | None:
        store.objects, store.requests = dict(before), []
        store.fate = lambda number, _method, _key: fault if number == fault_at else None
        try:
            act(registry_over(backend, make_world()), root)
        except RegistryError as error:
            return error
        return None

    def state() -> object:
        objects = {key.removeprefix("r/"): data for key, data in store.objects.items()}
        registry = registry_over(memory_with(objects), make_world())
        assert registry.fsck().exit_code == 0
        return registry_state(registry)

    store.objects = dict(before)
    old = state()
    assert run(-1) is None
    new, requests = state(), len(store.requests)
    for number in range(requests):
        error = run(number)
        assert error is None or isinstance(error, GIVES_UP.get(fault, ())), (number, error)
        assert state() == (old if error else new), (number, error)
        matrix.count()
    assert requests >= 7
