"""The installed distributions."""

import importlib.metadata
import sys
from pathlib import Path

from cas_registry.operations.capture.packages import MAX_PACKAGES, installed_packages, normal_name


def test_they_are_those_of_the_library() -> None:
    """importlib.metadata opens every file; what it finds is the same."""
    expected: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        expected.setdefault(normal_name(distribution.name), distribution.version)
    assert len(expected) > 20
    assert installed_packages(sys.path) == expected


def test_names_are_normalised_and_the_first_folder_counts(tmp_path: Path) -> None:
    for name in (
        "one/Ruamel.YAML-0.18.dist-info",
        "one/torch-2.9.0+cu121.dist-info",
        "two/torch-1.0.dist-info",
        "two/a_b-1-py3.11.egg-info",
    ):
        (tmp_path / name).mkdir(parents=True)
    path = [str(tmp_path / "one"), str(tmp_path / "nothing"), str(tmp_path / "two")]
    assert list(installed_packages(path).items()) == [("a-b", "1"), ("ruamel-yaml", "0.18"), ("torch", "2.9.0+cu121")]


def test_a_folder_without_a_version_is_looked_into(tmp_path: Path) -> None:
    (tmp_path / "mine.egg-info").mkdir()
    (tmp_path / "mine.egg-info" / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 0.3.dev1\n\nVersion: 9\n")
    (tmp_path / "old.egg-info").write_text("Name: old\nVersion: 7\n")
    (tmp_path / "lost.egg-info").mkdir()
    (tmp_path / "~orch-1.dist-info").mkdir()  # what pip leaves of an uninstall that failed
    assert installed_packages([str(tmp_path)]) == {"mine": "0.3.dev1", "old": "7"}


def test_there_is_an_end_to_them(tmp_path: Path) -> None:
    for number in range(MAX_PACKAGES + 5):
        (tmp_path / f"p{number:05}-1.dist-info").mkdir()
    assert len(installed_packages([str(tmp_path)])) == MAX_PACKAGES
