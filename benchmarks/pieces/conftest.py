"""Data, yardsticks and the table of the pieces; see benchmarks/README.md."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import blake3
import numpy as np
import pytest

from cas_registry.model.tensors import ElementType

YARDSTICK_BYTES = 64 * 1024 * 1024
YARDSTICK_ROUNDS = 7

_rows: list[tuple[str, float]] = []
_yardsticks: dict[str, float] = {}


@dataclass(frozen=True)
class Tensor:
    """Elements of a checkpoint, and the same ones a few training steps earlier."""

    element: ElementType
    data: bytes
    before: bytes


def _weights(count: int, element: ElementType) -> Tensor:
    """Normally distributed weights, all of which moved a little."""
    numbers = np.random.default_rng(0)
    before = (numbers.standard_normal(count, dtype=np.float32) * 0.02).astype(np.float32)
    now = before + numbers.standard_normal(count, dtype=np.float32) * np.float32(1e-4)
    if element is ElementType.F32:
        return Tensor(element, now.tobytes(), before.tobytes())
    words = [(values.view(np.uint32) >> 16).astype(np.uint16).tobytes() for values in (now, before)]
    return Tensor(element, words[0], words[1])


@pytest.fixture(scope="session")
def weights() -> Callable[[int, ElementType], Tensor]:
    """Makes a tensor of so many elements, F32 or BF16."""
    return _weights


@pytest.fixture
def speed(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Times `function(*arguments)`, which deals with `size_bytes`; the table gives its rate. Returns what it returned.

    Without pytest-benchmark nothing is timed, and the pieces are plain tests.
    """
    if not request.config.pluginmanager.hasplugin("benchmark"):
        return lambda _, function, *arguments: function(*arguments)
    benchmark = request.getfixturevalue("benchmark")

    def measure(size_bytes: int, function: Callable[..., Any], *arguments: Any) -> Any:
        result = benchmark(function, *arguments)
        if benchmark.stats:  # none with --benchmark-disable
            rate = size_bytes / benchmark.stats.stats.median
            _rows.append((request.node.name.removeprefix("test_"), rate))
            benchmark.extra_info["MB/s"] = round(rate / 1e6)
        return result

    return measure


@pytest.fixture(scope="session", autouse=True)
def _yardstick() -> Iterator[None]:
    """What one thread of this machine can do: BLAKE3, and a copy in memory."""
    source = np.random.default_rng(0).bytes(YARDSTICK_BYTES)
    target = bytearray(YARDSTICK_BYTES)

    def copy() -> None:
        memoryview(target)[:] = source

    for name, action in (("BLAKE3", lambda: blake3.blake3(source).digest()), ("memcpy", copy)):
        seconds = []
        for _ in range(YARDSTICK_ROUNDS):
            started = time.perf_counter()
            action()
            seconds.append(time.perf_counter() - started)
        _yardsticks[name] = YARDSTICK_BYTES / min(seconds)
    return


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Each piece's median rate, and its share of the machine's own."""
    if not _rows:
        return
    terminalreporter.section("pieces, one thread")
    terminalreporter.line("".join(f"{name} {rate / 1e6:,.0f} MB/s   " for name, rate in _yardsticks.items()))
    terminalreporter.line(f"{'piece':44} {'MB/s':>8} {'÷ BLAKE3':>9} {'÷ memcpy':>9}")
    for name, rate in _rows:
        shares = "".join(f" {rate / yardstick:9.3f}" for yardstick in _yardsticks.values())
        terminalreporter.line(f"{name:44} {rate / 1e6:8,.0f}{shares}")
