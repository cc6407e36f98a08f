"""The catalogue: models are made once, under names that no file system confuses."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import ConflictError, HostileNameError, IntegrityError
from cas_registry.registry import Registry
from cas_registry.store.catalogue import Catalogue
from tests.support.folders import File, write_folder
from tests.support.simulated import RoundTripBackend, make_registry, make_world


@pytest.fixture
def backend() -> RoundTripBackend:
    return RoundTripBackend(MemoryBackend("catalogue"))


@pytest.fixture
def registry(backend: RoundTripBackend) -> Registry:
    return make_registry(backend, make_world(None))


@pytest.fixture
def catalogue(registry: Registry) -> Catalogue:
    return registry._stores.catalogue


def test_a_new_registry_has_no_models(registry: Registry, catalogue: Catalogue) -> None:
    assert catalogue.models() == {}
    assert registry.models() == []


def test_a_model_is_made_once(backend: RoundTripBackend, catalogue: Catalogue) -> None:
    catalogue.ensure("fraud", time_ms=1, who="t")
    backend.reset()
    catalogue.ensure("fraud", time_ms=2, who="t")
    assert set(backend.requests) == {"get"}
    assert {name: row.since for name, row in catalogue.models().items()} == {"fraud": 2}


@pytest.mark.parametrize(("first", "second"), [("Fraud", "fraud"), ("straße", "STRASSE"), ("Ünï", "ünÏ")])
def test_names_that_differ_in_case_only_are_refused(catalogue: Catalogue, first: str, second: str) -> None:
    catalogue.ensure(first, time_ms=1, who="t")
    with pytest.raises(ConflictError, match="in case only"):
        catalogue.ensure(second, time_ms=1, who="t")
    assert list(catalogue.models()) == [first]


@pytest.mark.parametrize("name", ["HEAD", "head", "catalogue", "a/b", "..", "CON", "-m", "a@b", "", "x" * 256, "e\u0301"])
def test_hostile_names_are_refused_by_the_registry_and_the_catalogue(
    registry: Registry, catalogue: Catalogue, name: str
) -> None:
    with pytest.raises(HostileNameError):
        registry.model(name)
    with pytest.raises(HostileNameError):
        catalogue.ensure(name, time_ms=1, who="t")


def test_many_writers_make_their_models_at_once(registry: Registry) -> None:
    barrier = threading.Barrier(8)

    def make(number: int) -> None:
        barrier.wait()
        registry._stores.catalogue.ensure(f"model-{number % 4}", time_ms=1, who="t")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make, range(8)))
    assert sorted(registry._stores.catalogue.models()) == [f"model-{number}" for number in range(4)]
    head = registry._stores.catalogue.log.head()
    assert head is not None
    assert head.n == 5


def test_a_case_clash_is_found_by_a_commit_and_leaves_no_model(registry: Registry, tmp_path: Path) -> None:
    work = write_folder(tmp_path / "work", {"a": File(b"a")})
    registry.model("Fraud").commit(work)
    with pytest.raises(ConflictError):
        registry.model("fraud").commit(work)
    assert registry.model_names() == ["Fraud"]


def test_a_catalogue_without_entries_is_damage(backend: RoundTripBackend, catalogue: Catalogue) -> None:
    backend.delete("catalogue/0000000001")
    with pytest.raises(IntegrityError, match="has no entries"):
        catalogue.models()
