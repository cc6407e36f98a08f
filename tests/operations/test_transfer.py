"""What the pool of workers does to the interpreter, and undoes; what a plan counts of a fetch."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.operations.transfer import TURN_S, _groups, fetch_stored, foresee_fetch, worker_pool
from cas_registry.operations.version_files import list_files, locate_files
from cas_registry.store.objects import ObjectStore
from tests.support.folders import MIB, make_bytes
from tests.support.simulated import RoundTripBackend, make_registry, make_world


@pytest.fixture(autouse=True)
def usual_turns():
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    yield
    sys.setswitchinterval(before)


def test_threads_take_short_turns_while_any_pool_is_open():
    with worker_pool():
        with worker_pool():
            assert sys.getswitchinterval() == pytest.approx(TURN_S, abs=2e-6)
        assert sys.getswitchinterval() == pytest.approx(TURN_S, abs=2e-6)
    assert sys.getswitchinterval() == pytest.approx(0.005, abs=2e-6)


def test_an_executor_of_the_caller_gets_them_too_and_an_error_ends_them():
    inside = []

    def fail() -> None:
        inside.append(sys.getswitchinterval())
        raise KeyError

    with ThreadPoolExecutor(1) as executor, pytest.raises(KeyError), worker_pool(executor):
        fail()
    assert inside == [pytest.approx(TURN_S, abs=2e-6)]
    assert sys.getswitchinterval() == pytest.approx(0.005, abs=2e-6)


def test_turns_that_are_shorter_already_are_left_alone():
    sys.setswitchinterval(0.00025)
    with worker_pool():
        assert sys.getswitchinterval() == pytest.approx(0.00025, abs=2e-6)
    assert sys.getswitchinterval() == pytest.approx(0.00025, abs=2e-6)


def test_what_is_going_to_be_fetched_is_counted_as_it_is_fetched(tmp_path):
    """Whole versions, with deltas: the plan and the store's own count agree."""
    backend = RoundTripBackend(MemoryBackend("foresee"))
    model = make_registry(backend, make_world()).model("m")
    for step in range(3):
        values = np.random.default_rng(7).standard_normal((800, 800), dtype=np.float32) * np.float32(1 + step * 1e-5)
        np.save(tmp_path / "weights.npy", values)
        (tmp_path / "noise.bin").write_bytes(make_bytes(step, 3 * MIB))
        model.commit([tmp_path / "weights.npy", tmp_path / "noise.bin"])
    stores, version = model._stores, model.resolve("main")
    files, _ = list_files(stores.objects, version.tree)
    rows = [row for found in locate_files(stores.objects, version.map, files).values() for row in found]
    assert any(row.base for row in rows), "deltas are read with their bases"
    for at_hand in (frozenset(), {rows[0].placement.chunk}, {row.base.placement.chunk for row in rows if row.base}):
        wanted = [row for row in rows if row.placement.chunk not in at_hand]
        bases = frozenset(at_hand)
        requests, size_bytes = foresee_fetch(wanted, lambda row, held=bases: row.placement.chunk in held)
        backend.reset()
        for group in _groups(wanted):
            fetch_stored(ObjectStore(backend), group, bases)
        assert (requests, size_bytes) == (len(backend.keys), backend.bytes_in)
