"""Marks: what counts as code, and what a group of files says together."""

from cas_registry.model.on_load import OnLoad, shared_mark


def test_what_runs_what_is_cleared_and_what_is_neither() -> None:
    assert [mark for mark in OnLoad if mark.runs_code] == [OnLoad.PICKLE, OnLoad.CODE, OnLoad.SEALED]
    assert [mark for mark in OnLoad if mark.is_cleared] == [OnLoad.NO_PICKLE_FOUND]
    assert OnLoad.NO_PICKLE_FOUND.label == "no-pickle-found"


def test_files_that_differ_have_no_mark_together() -> None:
    assert shared_mark([OnLoad.PICKLE, OnLoad.PICKLE]) is OnLoad.PICKLE
    assert shared_mark([OnLoad.PICKLE, OnLoad.NO_PICKLE_FOUND]) is OnLoad.NOT_LOOKED_AT
    assert shared_mark([]) is OnLoad.NOT_LOOKED_AT


def test_no_mark_ever_says_safe() -> None:
    assert not any("safe" in mark.label for mark in OnLoad)
