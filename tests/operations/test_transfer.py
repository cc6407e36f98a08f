"""What the pool of workers does to the interpreter, and undoes."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from cas_registry.operations.transfer import TURN_S, worker_pool


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
