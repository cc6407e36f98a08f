"""A registry to import into, and stores of other tools, made by them (make_data.py)."""

import shutil
import subprocess
from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.registry import Registry
from tests.operations.importing.make_data import DATA
from tests.support.simulated import make_registry, make_world


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """An empty registry; whoever imports is tester@bench."""
    return make_registry(MemoryBackend("importing"), make_world(tmp_path / "cache"))


@pytest.fixture
def stores(tmp_path: Path) -> Path:
    """A copy of data/ that a test may spoil."""
    return Path(shutil.copytree(DATA, tmp_path / "stores"))


@pytest.fixture
def dvc_work_tree(stores: Path) -> Path:
    """A clone of the DVC repository, beside the remote that it names."""
    clone = _clone(stores / "dvc.bundle", stores / "detector")
    (stores / "dvc_remote").rename(stores / "remote")
    return clone


@pytest.fixture
def lfs_work_tree(stores: Path) -> Path:
    """A clone of the git-lfs repository, with its objects."""
    clone = _clone(stores / "git_lfs.bundle", stores / "vision")
    (clone / ".git" / "lfs").mkdir(exist_ok=True)
    shutil.copytree(stores / "git_lfs_objects", clone / ".git" / "lfs" / "objects", dirs_exist_ok=True)
    return clone


def _clone(bundle: Path, folder: Path) -> Path:
    subprocess.run(
        ["git", "-c", "filter.lfs.smudge=", "-c", "filter.lfs.process=", "-c", "filter.lfs.required=false", "clone", "-q", "-b", "main", bundle, folder],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder
