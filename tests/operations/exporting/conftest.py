"""The bench that exports are tried on."""

from pathlib import Path

import pytest

from tests.operations.exporting.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)
