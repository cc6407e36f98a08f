"""The fixture `matrix`: counts the cases of a row, and leaves them where `--matrix-dir` says."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reliability.matrix import Row
from tests.reliability.profile import NIGHTLY, NIGHTLY_TIMEOUT_S


@pytest.fixture
def matrix(request: pytest.FixtureRequest) -> Iterator[Row]:
    marker = request.node.get_closest_marker("row")
    name = marker.args[0] if marker else request.module.ROW
    row = Row(name)
    started = time.monotonic()
    yield row
    folder = request.config.getoption("--matrix-dir")
    if folder:
        passed = not request.node.stash.get(_FAILED, False)
        row.write(Path(folder), request.node.nodeid, passed=passed, seconds=time.monotonic() - started)


_FAILED = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "matrix" in getattr(item, "fixturenames", ()):
            item.add_marker("reliability")
            if NIGHTLY:
                item.add_marker(pytest.mark.timeout(NIGHTLY_TIMEOUT_S))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if call.when == "call":
        item.stash[_FAILED] = report.failed
    return report
