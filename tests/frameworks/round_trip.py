"""One suite for every adapter: an object of the real framework is saved and loaded, and predicts the same, to the last bit.

A module `test_<framework>.py` has `CASES`, and one test that is `check` of each; `python -m tests.frameworks` makes the table of docs/frameworks.md of them.
"""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cas_registry as reg
from cas_registry.errors import FrameworkVersionWarning, UnsafeFileError
from cas_registry.model.on_load import OnLoad


@dataclass(frozen=True)
class Case:
    """An object to be saved: `train(seed)` makes one, `predict` asks it for what must be the same afterwards (arrays, numbers, text, or lists and
    mappings of these). `modules` must be installed, else the case is skipped. `save` and `load` are further arguments of the two."""

    name: str
    modules: tuple[str, ...]
    train: Callable[[int], Any]
    predict: Callable[[Any], Any]
    adapter: str
    format: str
    needs_pickle: bool = False
    save: Mapping[str, Any] = field(default_factory=dict)
    load: Mapping[str, Any] = field(default_factory=dict)
    same_bytes: bool | None = (
        True  # whether the framework writes the same object in the same bytes twice; None where that is up to the clock
    )
    is_marked: bool = True  # whether what needs pickle is seen in the files, too: a graph that writes files is no pickle
    environment: Mapping[str, str] = field(
        default_factory=dict
    )  # what the framework reads when it is imported: other processes have other cases

    def __str__(self) -> str:
        return self.name

    @property
    def missing(self) -> list[str]:
        return [module for module in self.modules if not _is_there(module)]

    @property
    def is_of_another_process(self) -> bool:
        return any(os.environ.get(name) != value for name, value in self.environment.items())


@dataclass(frozen=True)
class Row:
    """What a round trip showed, as the table has it."""

    name: str
    versions: Mapping[str, str]
    format: str
    needs_pickle: bool
    raw_bytes: int  # of the second training
    stored_bytes: int  # what it took beside the first
    same_bytes: bool


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of what it stands in
        return False


def check(case: Case, folder: Path) -> Row:
    """Save two trainings, load both, compare; then what the version tells of them. Skips where the framework is not installed."""
    if case.missing:
        pytest.skip(f"{', '.join(case.missing)} not installed")
    if case.is_of_another_process:
        pytest.skip(f"runs with {case.environment}")
    model = reg.init(folder / "registry", cache_folder=folder / "cache").model("m")
    objects = [case.train(seed) for seed in (0, 1)]
    expected = [case.predict(found) for found in objects]
    reports = [model.save(found, message=case.name, **case.save) for found in objects]
    assert [report.created for report in reports] == [True, True], "the two trainings differ"
    again = model.save(objects[1], message=case.name, **case.save)
    assert case.same_bytes is None or again.created is not case.same_bytes

    (stored,) = model.manifest("v2").objects.values()
    assert (stored.adapter, stored.format, stored.needs_pickle) == (case.adapter, case.format, case.needs_pickle)
    marks = {file.path: file.on_load for file in model.files("v2")}
    assert set(stored.paths) < set(marks)
    if case.needs_pickle:
        assert any(marks[path] is OnLoad.PICKLE for path in stored.paths) is case.is_marked, marks
        with pytest.raises(UnsafeFileError, match="allow_pickle=True"):
            model.load("v2", **case.load)
    else:
        assert not any(mark and mark.runs_code for mark in marks.values()), marks
    allowed = {"allow_pickle": True} if case.needs_pickle else {}
    with warnings.catch_warnings():
        warnings.simplefilter("error", FrameworkVersionWarning)
        for revision, wanted in zip(("v1", "v2"), expected, strict=True):
            assert_same(case.predict(model.load(revision, **allowed, **case.load)), wanted)
    assert stored.versions or not case.modules
    return Row(
        case.name,
        stored.versions,
        case.format,
        case.needs_pickle,
        reports[1].raw_bytes,
        reports[1].stored_bytes,
        not again.created,
    )


def assert_same(found: Any, wanted: Any) -> None:
    """Equal to the last bit, type included; not a number equals itself."""
    if isinstance(wanted, Mapping):
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            assert_same(found[name], value)
    elif isinstance(wanted, (list, tuple)):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_same(one, other)
    elif isinstance(wanted, str) or wanted is None:
        assert found == wanted
    else:
        one, other = np.asarray(found), np.asarray(wanted)
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        np.testing.assert_array_equal(one, other)
