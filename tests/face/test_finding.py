"""Finding by Python: versions by what is known of them, and by the bytes that they hold."""

from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import AccessError, BackendError, HostileNameError, InvalidInputError, NotFoundError
from cas_registry.model.ids import FileId
from cas_registry.registry import Registry, open_offline, registry_over
from tests.support.folders import File, write_folder
from tests.support.simulated import HookedBackend, make_registry, make_world


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Two versions of fraud, of which the first is prod, and one of ranker."""
    found = make_registry(MemoryBackend("finding"), make_world(tmp_path / "cache"))
    for model, auc, lr in (("fraud", 0.91, 0.1), ("fraud", 0.93, 0.01), ("ranker", 0.5, 0.1)):
        write_folder(tmp_path / "work", {"model.bin": File(f"{model} {auc}".encode()), "shared.txt": File(b"the same in all")})
        found.model(model).commit(tmp_path / "work", metrics={"auc": auc}, params={"lr": lr}, message=f"auc {auc}")
    found.model("fraud").tag("prod", "main~1")
    return found


def test_a_registry_is_searched_over_all_models_or_some(registry: Registry) -> None:
    found = registry.search("metrics.auc > 0.4", sort="metrics.auc")
    assert [(row.model, row.number, row.metrics["auc"]) for row in found] == [
        ("fraud", 2, 0.93),
        ("fraud", 1, 0.91),
        ("ranker", 1, 0.5),
    ]
    assert str(found.condition) == "metrics.auc > 0.4"
    assert [row.model for row in registry.search(models=["ranker"])] == ["ranker"]
    assert [row.model for row in registry.search(models="ranker")] == ["ranker"]
    assert len(registry.search()) == len(registry.search("  ")) == 3
    assert [row.number for row in registry.search("params.lr = 0.1", sort="metrics.auc:min", top=1)] == [1]
    assert len(registry.search(top=0)) == 0


def test_a_model_searches_itself(registry: Registry) -> None:
    assert [row.number for row in registry.model("fraud").search(sort="-metrics.auc")] == [1, 2]
    assert [row.number for row in registry.model("fraud").search("metrics.auc > prod")] == [2]
    with pytest.raises(NotFoundError, match="no model 'froud'"):
        registry.model("froud").search()


def test_what_makes_no_sense_is_refused_before_anything_is_asked(registry: Registry) -> None:
    with pytest.raises(InvalidInputError, match=r"did you mean metrics\.auc"):
        registry.search("metric.auc > 1")
    with pytest.raises(InvalidInputError):
        registry.search(sort="tag")
    with pytest.raises(InvalidInputError):
        registry.search(top=-1)
    with pytest.raises(HostileNameError):
        registry.search(models=["../x"])


def test_whence_takes_a_file_or_an_id(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"fraud 0.91")
    (holding,) = registry.whence(tmp_path / "mine")
    assert (holding.model, holding.number, holding.path) == ("fraud", 1, "model.bin")
    assert [(stay.name, stay.until_ms) for stay in holding.stays if stay.kind.value == "tag"] == [("prod", None)]
    identity = FileId.of(b"the same in all")
    assert [(found.model, found.number) for found in registry.whence(identity.hex)] == [
        ("fraud", 1),
        ("fraud", 2),
        ("ranker", 1),
    ]
    assert registry.whence(identity.hex[:8].upper()) == registry.whence(identity.hex)
    tree = registry.model("ranker").resolve("main").tree
    assert [found.path for found in registry.whence(tree.hex)] == [""]
    (tmp_path / "mine").write_bytes(b"nowhere else")
    assert registry.whence(tmp_path / "mine") == []
    assert registry.whence("f" * 64) == []


def test_whence_says_what_it_takes(registry: Registry, tmp_path: Path) -> None:
    for wrong in ("no-such-file", "abc", "g" * 64, "a" * 65, tmp_path):
        with pytest.raises(InvalidInputError, match="give a file, or 8 to 64 hex digits"):
            registry.whence(wrong)


def test_a_file_that_may_not_be_read_is_an_access_error(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").write_bytes(b"x")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(AccessError, match="mine"):
        registry.whence(tmp_path / "mine")


def test_offline_answers_while_the_store_cannot_be_reached(tmp_path: Path) -> None:
    world = make_world(tmp_path / "cache")
    place = tmp_path / "registry"
    place.mkdir()
    from cas_registry.registry import init_registry

    registry = init_registry(place, world)
    write_folder(tmp_path / "work", {"a": File(b"bytes")})
    registry.model("fraud").commit(tmp_path / "work", metrics={"auc": 0.9})
    offline = open_offline(place, world)
    with pytest.raises(NotFoundError, match="no index of"):
        offline.search()
    registry.whence("f" * 64)
    write_folder(tmp_path / "work", {"a": File(b"other")})
    registry.model("fraud").commit(tmp_path / "work")
    place.rename(tmp_path / "gone")
    assert [row.number for row in offline.search("metrics.auc > 0.5")] == [1]
    assert [found.path for found in offline.whence(FileId.of(b"bytes").hex)] == ["a"]
    assert offline.whence(FileId.of(b"other").hex) == []
    assert (offline.url, repr(offline)) == (str(place), f"OfflineRegistry({str(place)!r})")


def test_a_store_that_does_not_answer_is_said_so(registry: Registry) -> None:
    def fail(method: str, key: str) -> None:
        if key.startswith("catalogue/"):
            raise BackendError("no answer", transient=False)

    broken = registry_over(HookedBackend(registry._stores.backend, fail), make_world())
    with pytest.raises(BackendError, match="no answer"):
        broken.search()
