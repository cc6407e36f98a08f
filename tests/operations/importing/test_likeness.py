"""Who comes with the wrong word, or to the wrong folder, is told the right one."""

from pathlib import Path

import pytest

from cas_registry.errors import NotFoundError
from cas_registry.operations.importing import KINDS
from cas_registry.operations.importing.likeness import likeness
from cas_registry.registry import Registry


def test_each_store_looks_like_what_it_is_and_is_not_taken_for_another(
    registry: Registry, stores: Path, dvc_work_tree: Path, lfs_work_tree: Path, tmp_path: Path
) -> None:
    (tmp_path / "hub" / "models--lab--tiny" / "snapshots").mkdir(parents=True)
    places = {kind: stores / kind for kind in ("modelstore", "mlflow", "wandb")}
    places |= {"dvc": dvc_work_tree, "git-lfs": lfs_work_tree, "huggingface": tmp_path / "hub"}
    assert set(places) == set(KINDS)
    for kind, place in places.items():
        assert likeness(str(place)) == [kind]
        for other in {"modelstore", "mlflow", "dvc", "wandb"} - {kind}:
            with pytest.raises(NotFoundError, match=f"looks like.*: reg import {kind} ") as raised:
                registry.import_from(other, place)
            assert str(place) in raised.value.message


@pytest.mark.parametrize("kind", ["modelstore", "mlflow", "wandb"])
def test_a_store_is_not_taken_for_a_folder_of_a_model(registry: Registry, stores: Path, kind: str) -> None:
    with pytest.raises(NotFoundError, match=f"reg import {kind} "):
        registry.import_from("huggingface", stores / kind)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_folder_and_a_missing_one_have_nothing(registry: Registry, tmp_path: Path, kind: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match=r"empty|no folder"):
        registry.import_from(kind, tmp_path / "empty")
    with pytest.raises(NotFoundError, match="there is no folder"):
        registry.import_from(kind, tmp_path / "missing")
    assert registry.model_names() == []


def test_where_a_store_lies_nearby_is_told(registry: Registry, stores: Path, dvc_work_tree: Path) -> None:
    (dvc_work_tree / "deep").mkdir()
    with pytest.raises(NotFoundError, match=r"deep/\.\. looks like a DVC repository"):
        registry.import_from("dvc", dvc_work_tree / "deep")
    (stores / "home").mkdir()
    (stores / "modelstore").rename(stores / "home" / "artifacts")
    with pytest.raises(NotFoundError, match="home/artifacts looks like a modelstore"):
        registry.import_from("mlflow", stores / "home")
