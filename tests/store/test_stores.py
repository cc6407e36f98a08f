"""Opening and making a registry: told apart from nothing, from damage and from newer versions; made once however many try."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import cas_registry as reg
from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.wrappers import RetryingBackend
from cas_registry.errors import (
    AlreadyExistsError,
    BackendError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    RegistryError,
    UnsupportedFormatError,
)
from cas_registry.model import canonical
from cas_registry.model.ids import FormatId
from cas_registry.operations.init import create_registry
from cas_registry.registry import registry_over
from cas_registry.store.stores import open_stores
from tests.support.faulty import Fault, FaultKind, FaultyBackend
from tests.support.folders import File, write_folder
from tests.support.simulated import CheckThenWriteBackend, HookedBackend, make_registry, make_world, memory_with, objects_of

MADE = {"time_ms": 1_700_000_000_000, "who": "t"}


def test_what_is_made_can_be_opened() -> None:
    store = MemoryBackend("made")
    made = create_registry(store, **MADE)
    assert open_stores(store).format == made.format
    assert sorted(objects_of(store)) == ["catalogue/0000000001", "catalogue/HEAD", "format"]


@pytest.mark.parametrize("place", ["nothing", "bucket", "my-bucket/registry"])
def test_a_place_without_a_registry_says_how_to_make_one(tmp_path: Path, place: str) -> None:
    with pytest.raises(NotFoundError, match=r"there is no registry at .*; make one with: reg init") as caught:
        reg.open(tmp_path / place)
    assert caught.value.exit_code == 3
    assert not (tmp_path / place).exists()


def test_a_registry_is_not_made_over_another() -> None:
    store = MemoryBackend("twice")
    create_registry(store, **MADE)
    before = objects_of(store)
    with pytest.raises(AlreadyExistsError, match="there is a registry"):
        create_registry(store, **MADE)
    assert objects_of(store) == before


def test_every_flipped_bit_of_the_format_is_noticed() -> None:
    store = MemoryBackend("flipped")
    create_registry(store, **MADE)
    data = store.get("format", length=2**16)
    for at in range(len(data)):
        for bit in range(8):
            store.put("format", data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :])
            with pytest.raises(IntegrityError, match="format in memory://flipped is damaged"):
                open_stores(store)


@pytest.mark.parametrize("change", [{"v": 2}, {"format": 2}, {"encryption": "aes"}])
def test_a_registry_of_a_newer_version_is_refused_with_advice(change: dict[str, object]) -> None:
    store = MemoryBackend("newer")
    create_registry(store, **MADE)
    _, body = canonical.unseal(store.get("format", length=2**16), FormatId)
    newer = canonical.encode({**canonical.decode(body, kind="format"), **change})
    store.put("format", canonical.seal(newer, FormatId))
    with pytest.raises(UnsupportedFormatError, match="upgrade"):
        open_stores(store)


@pytest.mark.parametrize("chunk_bytes", [0, 1, 4095, 5000, 2**23, -4096])
def test_chunk_sizes_out_of_range_are_refused_before_anything_is_written(chunk_bytes: int) -> None:
    store = MemoryBackend("sizes")
    with pytest.raises(InvalidInputError, match="power of two"):
        create_registry(store, chunk_bytes=chunk_bytes, **MADE)
    assert objects_of(store) == {}


@pytest.mark.parametrize("kind", [FaultKind.FAIL_BEFORE, FaultKind.FAIL_AFTER, FaultKind.DENY])
def test_an_init_that_is_stopped_at_any_call_can_be_run_again(tmp_path: Path, kind: FaultKind) -> None:
    calls = _calls_of_init()
    failed = 0
    for method, count in calls.items():
        for call in range(count):
            store = MemoryBackend("stopped")
            faulty = FaultyBackend(store, [Fault(method, kind, call=call, transient=False)])
            try:
                create_registry(faulty, **MADE)
            except RegistryError:
                failed += 1
                _init_unless_done(store)
            assert open_stores(store).catalogue.models() == {}
            assert registry_over(store, make_world(None)).fsck().exit_code == 0
    assert failed > 3


def test_an_init_whose_answers_are_lost_is_got_over_by_retries() -> None:
    for call in range(2, _calls_of_init()["create"]):
        store = MemoryBackend("lost")
        faulty = FaultyBackend(store, [Fault("create", FaultKind.FAIL_AFTER, call=call)])
        made = create_registry(RetryingBackend(faulty, sleep=lambda _: None), **MADE)
        assert open_stores(store).format == made.format


def test_of_several_inits_at_once_all_see_one_registry() -> None:
    for _ in range(10):
        store = MemoryBackend("race")
        barrier = threading.Barrier(6)

        def make(_: int, store: MemoryBackend = store, barrier: threading.Barrier = barrier) -> str:
            barrier.wait()
            try:
                return create_registry(store, **MADE).format.registry
            except AlreadyExistsError:
                return open_stores(store).format.registry

        with ThreadPoolExecutor(6) as pool:
            ids = set(pool.map(make, range(6)))
        assert ids == {open_stores(store).format.registry}


def test_a_store_that_ignores_conditions_is_refused_unless_one_process_writes(tmp_path: Path) -> None:
    class Overwriting(HookedBackend):
        def create(self, key: str, data: bytes) -> None:
            self.put(key, data)

    store = MemoryBackend("ignoring")
    careless = Overwriting(store, lambda _method, _key: None)
    with pytest.raises(BackendError, match=r"does not honour create-if-absent.*--single-writer"):
        create_registry(careless, **MADE)
    assert not any(key.startswith(("format", "catalogue")) for key in objects_of(store))
    registry = make_registry(careless, make_world(None), single_writer=True)
    assert not registry.is_shared
    work = write_folder(tmp_path / "work", {"a": File(b"1")})
    registry.model("m").commit(work)
    write_folder(tmp_path / "work", {"a": File(b"2")})
    registry.model("m").commit(work)
    reopened = registry_over(careless, make_world(None))
    assert not reopened.is_shared
    assert [record.number for record in reopened.model("m").log("main")] == [2, 1]


def test_a_store_that_looks_first_and_writes_then_is_found_out_by_the_race() -> None:
    with pytest.raises(BackendError, match=r"\d+ of 16 racing creates won"):
        create_registry(CheckThenWriteBackend(MemoryBackend("checking"), lambda: time.sleep(0.2)), **MADE)


def _calls_of_init() -> dict[str, int]:
    calls: dict[str, int] = {}

    def count(method: str, key: str) -> None:
        if not key.startswith("probe/"):
            calls[method] = calls.get(method, 0) + 1

    create_registry(HookedBackend(MemoryBackend("counted"), count), **MADE)
    assert calls["create"] == 2
    return calls


def _init_unless_done(store: MemoryBackend) -> None:
    try:
        create_registry(store, **MADE)
    except AlreadyExistsError:
        assert memory_with(objects_of(store)).get("format", length=10)
