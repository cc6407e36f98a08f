"""Artifacts of W&B as `artifact.download()` leaves them."""

from pathlib import Path

import pytest

from cas_registry.errors import NotFoundError
from cas_registry.operations.importing.engine import Outcome
from cas_registry.registry import Registry


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two versions of a model, the tenth of which was downloaded first, and one of a data set."""
    for name, data in (("fraud:v10", b"ten"), ("fraud:v9", b"nine"), ("rows:v0", b"rows")):
        folder = tmp_path / "project" / "artifacts" / name / "deep"
        folder.mkdir(parents=True)
        (folder / "wéights.bin").write_bytes(data)
    return tmp_path / "project"


@pytest.mark.parametrize("place", [".", "artifacts"])
def test_versions_come_by_their_numbers(registry: Registry, project: Path, place: str) -> None:
    report = registry.import_from("wandb", project / place, only=["fraud"])
    assert [(version.name, version.number) for version in report.versions] == [("fraud:v9", 1), ("fraud:v10", 2)]
    model = registry.model("fraud")
    assert model.open("main", "deep/wéights.bin").read() == b"ten"
    commit = model.show("v1").commit
    assert commit.labels["wandb.version"] == 9
    assert commit.message == "fraud:v9, as it was downloaded"
    assert commit.time_ms == report.versions[0].time_ms
    again = registry.import_from("wandb", project, only=["fraud"])
    assert again.count(Outcome.KNOWN) == 2


def test_one_version_alone(registry: Registry, project: Path) -> None:
    registry.import_from("wandb", project / "artifacts" / "fraud:v10")
    assert registry.import_from("wandb", project, only=["fraud"]).count(Outcome.KNOWN) == 1


def test_names_without_colons_count_where_wandb_puts_downloads(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "artifacts" / "fraud-v3").mkdir(parents=True)
    (tmp_path / "artifacts" / "fraud-v3" / "w").write_bytes(b"w")
    report = registry.import_from("wandb", tmp_path)
    assert [version.name for version in report.versions] == ["fraud:v3"]
    (tmp_path / "artifacts").rename(tmp_path / "other")
    with pytest.raises(NotFoundError):
        registry.import_from("wandb", tmp_path / "other")


def test_another_project_with_the_same_name_is_another_version(registry: Registry, project: Path) -> None:
    registry.import_from("wandb", project, only=["rows"])
    (project / "artifacts" / "rows:v0" / "deep" / "wéights.bin").write_bytes(b"others")
    assert registry.import_from("wandb", project, only=["rows"]).count(Outcome.IMPORTED) == 1


def test_links_that_lead_out_are_not_followed(registry: Registry, project: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (project / "artifacts" / "fraud:v9" / "link").symlink_to(tmp_path / "secret")
    report = registry.import_from("wandb", project)
    assert [version.name for version in report.versions if version.outcome is Outcome.FAILED] == ["fraud:v9"]
    assert "leads out" in report.versions[0].reason


def test_a_cache_alone_has_no_names(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "artifacts" / "obj" / "md5").mkdir(parents=True)
    with pytest.raises(NotFoundError, match="--objects"):
        registry.import_from("wandb", tmp_path)
