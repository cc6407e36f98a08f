"""A version that repeats an earlier one."""

from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.operations import identical
from cas_registry.operations.identical import find_identical
from cas_registry.registry import Model
from tests.support.folders import MIB, File, make_bytes, write_folder
from tests.support.simulated import RoundTripBackend, make_registry, make_world


@pytest.fixture
def backend() -> RoundTripBackend:
    return RoundTripBackend(MemoryBackend("identical"))


@pytest.fixture
def model(backend: RoundTripBackend, tmp_path: Path) -> Model:
    return make_registry(backend, make_world(tmp_path / "cache")).model("m")


def commit(model: Model, folder: Path, content: int, **more: object) -> int | None:
    """Commit a large and a small file; the number of the version that it repeats."""
    write_folder(folder, {"model.bin": File(make_bytes(content, 2 * MIB)), "config.json": File(str(content).encode())})
    return model.commit(folder, **more).identical_to


def test_a_training_that_came_out_the_same_is_noticed(model: Model, tmp_path: Path) -> None:
    """Also where a small file is stored again, since nothing leads to it: the tree tells, not the bytes."""
    found = [commit(model, tmp_path / "work", content) for content in (1, 2, 1, 3, 2)]
    assert found == [None, None, 1, None, 2]


def test_of_another_branch_and_of_its_own_parent(model: Model, tmp_path: Path) -> None:
    commit(model, tmp_path / "work", 1)
    assert commit(model, tmp_path / "work", 1, branch="other") == 1
    assert commit(model, tmp_path / "work", 1, allow_empty=True) in {1, 2}


def test_another_models_version_is_not_this_ones(model: Model, backend: RoundTripBackend, tmp_path: Path) -> None:
    commit(model, tmp_path / "work", 1)
    from cas_registry.registry import Registry

    other = Registry(model._stores, model._world).model("n")
    assert commit(other, tmp_path / "other", 2) is None
    assert commit(other, tmp_path / "other", 1) is None


def test_a_retired_version_is_not_named(model: Model, tmp_path: Path) -> None:
    for content in (1, 2):
        commit(model, tmp_path / "work", content)
    model.retire("v1")
    assert commit(model, tmp_path / "work", 1) is None


def test_a_new_version_asks_nothing_of_the_log(
    model: Model, backend: RoundTripBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(model, tmp_path / "work", 1)
    monkeypatch.setattr(identical, "find_identical", lambda *_: pytest.fail("the log was searched"))
    commit(model, tmp_path / "work", 2)


def test_an_answer_that_cannot_be_had_is_no_error(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cas_registry.errors import BackendError

    def fail(*_: object) -> int:
        raise BackendError("the network is down")

    for content in (1, 2):
        commit(model, tmp_path / "work", content)
    monkeypatch.setattr(identical, "find_identical", fail)
    assert commit(model, tmp_path / "work", 1) is None
    assert model.resolve("main").number == 3


def test_the_log_is_searched_from_its_end_and_not_for_ever(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for content in (1, 2, 3):
        commit(model, tmp_path / "work", content)
    refs = model._stores.refs("m")
    head, table = refs.existing_head()
    first = model.resolve("v1").tree
    monkeypatch.setattr(identical, "READ_BATCH", 1)
    assert find_identical(refs, head, table, first) == 1
    monkeypatch.setattr(identical, "MAX_ENTRIES", 2)
    assert find_identical(refs, head, table, first) is None
    assert find_identical(refs, head, table, model.resolve("v3").tree) == 3
