"""T4: sixteen processes commit a hundred times each to one branch of a folder; every commit is in history, exactly once, the chain whole."""

from pathlib import Path

import pytest

from cas_registry.registry import init_registry
from cas_registry.settings import Settings
from tests.concurrency.test_many_writers import _check, _race
from tests.reliability.matrix import Row
from tests.reliability.profile import scaled

ROW = "T4"
WRITERS, COMMITS = 16, 100


@pytest.mark.timeout(600)
def test_every_commit_is_in_history_once(matrix: Row, tmp_path: Path) -> None:
    url = str(tmp_path / "registry")
    registry = init_registry(url, Settings(author="ana", cache_folder=None))
    acknowledged = _race(url, {}, tmp_path / "cache", writers=WRITERS, commits=scaled(COMMITS))
    _check(registry, url, {}, acknowledged, WRITERS * scaled(COMMITS))
    matrix.count(len(acknowledged))
