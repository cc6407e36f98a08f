import contextlib
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from cas_registry.backends import Backend
from cas_registry.backends.local import LocalBackend
from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.opening import open_backend
from cas_registry.backends.probe import PROBE_PREFIX, RACERS, ProbeReport, probe_create
from cas_registry.backends.wrappers import CountingBackend, RetryingBackend, SingleWriterBackend
from cas_registry.errors import AccessError, AlreadyExistsError, BackendError, IntegrityError, NotFoundError
from tests.support.faulty import Fault, FaultKind, FaultyBackend
from tests.support.servers import S3Server


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(RACERS) as executor:
        yield executor


class Double:
    """A memory store with another `create`."""

    def __init__(self) -> None:
        self.inner = MemoryBackend()
        self.url = "memory://double"
        for method in ("get", "get_many", "put", "list", "stat", "delete", "flush"):
            setattr(self, method, getattr(self.inner, method))


class IgnoresConditions(Double):
    def create(self, key: str, data: bytes) -> None:
        self.inner.put(key, data)


class AcceptsAndDrops(Double):
    def create(self, key: str, data: bytes) -> None:
        with contextlib.suppress(AlreadyExistsError):
            self.inner.create(key, data)


class ExistsThenWrite(Double):
    """As fsspec's own local mode="create" does it."""

    def create(self, key: str, data: bytes) -> None:
        try:
            self.inner.stat(key)
        except NotFoundError:
            time.sleep(0.02)
            self.inner.put(key, data)
            return
        raise AlreadyExistsError(f"{key} exists", key=key)


class RefusesAndOverwrites(Double):
    def create(self, key: str, data: bytes) -> None:
        try:
            self.inner.create(key, data)
        except AlreadyExistsError:
            self.inner.put(key, data)
            raise


class LosesObjects(Double):
    def create(self, key: str, data: bytes) -> None:
        self.inner.create(key, data)
        self.inner.put(key, b"")


class RefusesWithoutHaving(Double):
    def create(self, key: str, data: bytes) -> None:
        raise AlreadyExistsError(f"{key} exists", key=key)


def left_behind(backend: Backend) -> list[str]:
    return [info.key for info in backend.list("")]


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_folders_and_memory_are_safe_with_sixteen_racers(kind, tmp_path, pool):
    for _ in range(5):
        backend = LocalBackend(tmp_path / "registry") if kind == "local" else MemoryBackend()
        report = probe_create(backend, executor=pool)
        assert report == ProbeReport(second_create_refused=True, winners=1, racers=16, reads_back=True)
        assert report.safe_for_shared_writing
        assert left_behind(backend) == []


def s3(server: S3Server) -> Backend:
    return open_backend(f"s3://{server.make_bucket('probed')}/{secrets.token_hex(8)}", server.storage_options)


def test_ministack_is_safe_with_sixteen_racers(ministack_server, pool):
    backend = s3(ministack_server)
    assert probe_create(backend, executor=pool) == ProbeReport(True, 1, 16, True)
    assert left_behind(backend) == []


def test_seaweedfs_is_safe_with_three_racers(s3_url, s3_options, pool):
    backend = open_backend(s3_url, s3_options)
    report = probe_create(backend, executor=pool, racers=3)
    assert report == ProbeReport(True, 1, 3, True)
    assert left_behind(backend) == []


def test_rclone_ignores_conditions_and_is_refused(rclone_server, pool):
    backend = s3(rclone_server)
    report = probe_create(backend, executor=pool)
    assert not report.safe_for_shared_writing
    assert not report.second_create_refused
    assert report.winners > 1


def test_rclone_does_for_a_single_writer(rclone_server):
    backend = SingleWriterBackend(s3(rclone_server))
    assert probe_create(backend).safe_for_shared_writing


@pytest.mark.parametrize("double", [IgnoresConditions, AcceptsAndDrops])
def test_a_store_that_accepts_a_second_create_is_refused_even_without_a_race(double):
    report = probe_create(double())
    assert not report.second_create_refused
    assert not report.safe_for_shared_writing


def test_a_store_that_looks_and_then_writes_is_refused_by_the_race(pool):
    assert probe_create(ExistsThenWrite()).safe_for_shared_writing, "only the race can tell"
    report = probe_create(ExistsThenWrite(), executor=pool)
    assert report.second_create_refused
    assert not report.safe_for_shared_writing


@pytest.mark.parametrize("double", [RefusesAndOverwrites, LosesObjects])
def test_a_store_that_does_not_keep_what_it_took_is_refused(double, pool):
    report = probe_create(double(), executor=pool)
    assert not report.reads_back
    assert not report.safe_for_shared_writing


def test_a_store_that_refuses_what_it_does_not_have_is_an_error():
    with pytest.raises(IntegrityError) as caught:
        probe_create(RefusesWithoutHaving())
    assert str(caught.value.fields["key"]).startswith(PROBE_PREFIX)


@pytest.mark.parametrize("call", range(4))
def test_a_lost_answer_does_not_change_the_verdict(call, pool):
    faulty = FaultyBackend(MemoryBackend(), [Fault("create", FaultKind.FAIL_AFTER, call=call)])
    report = probe_create(RetryingBackend(faulty, sleep=lambda _: None), executor=pool)
    assert report == ProbeReport(True, 1, 16, True)
    faulty.assert_all_hit()


def test_a_writer_who_may_not_delete_gets_its_answer():
    store = MemoryBackend()
    faulty = FaultyBackend(store, [Fault("delete", FaultKind.DENY, times=2)])
    assert probe_create(faulty).safe_for_shared_writing
    faulty.assert_all_hit()
    assert all(key.startswith(PROBE_PREFIX) for key in left_behind(store))


@pytest.mark.parametrize(("kind", "error"), [(FaultKind.FAIL_BEFORE, BackendError), (FaultKind.DENY, AccessError)])
def test_a_store_that_fails_gives_no_report_and_keeps_nothing(kind, error):
    for method in ("create", "get"):
        store = MemoryBackend()
        with pytest.raises(error):
            probe_create(FaultyBackend(store, [Fault(method, kind)]))
        assert left_behind(store) == []


def test_two_probes_do_not_meet_and_none_touches_other_keys():
    backend = CountingBackend(MemoryBackend())
    probe_create(backend)
    probe_create(backend)
    created = {key for method, key in backend.keys if method == "create"}
    assert len(created) == 2
    assert all(key.startswith(PROBE_PREFIX) for _, key in backend.keys)
