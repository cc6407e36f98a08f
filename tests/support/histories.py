"""Histories that branch and merge as a test wants them: commits with parents, and whatever else, of its choice."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import strategies as st

from cas_registry.model.commit import Commit
from cas_registry.registry import Model
from tests.support.folders import Folder, write_folder

_TIP = "tip"

Parents = list[list[int]]  # of version n, by number, all below n


def commit_after(model: Model, work: Path, folder: Folder, parents: Sequence[str], **fields: Any) -> str:
    """A version that comes after these; `fields` of the commit are set to what no verb gives it. The branch `tip` stands at it."""
    if any(ref.name == _TIP for ref in model.branches()):
        model.delete_branch(_TIP)
    if parents:
        model.branch(_TIP, parents[0])
    ids = tuple(model.resolve(parent).commit for parent in parents)

    def make(**given: Any) -> Commit:
        return Commit(**{**given, "parents": ids, **fields})

    message = str(fields.pop("message", ""))
    with mock.patch("cas_registry.operations.commit.Commit", make):
        return model.commit(write_folder(work, folder), branch=_TIP, message=message, allow_empty=True).commit.hex


@st.composite
def dags(draw: st.DrawFn, max_versions: int = 24) -> Parents:
    """Histories with one root: each later version has one or two parents, mostly near ones."""
    count = draw(st.integers(1, max_versions))
    history: Parents = [[]]
    for number in range(1, count):
        near = st.integers(max(0, number - 4), number - 1)
        anywhere = st.integers(0, number - 1)
        history.append(list(dict.fromkeys(draw(st.lists(near | anywhere, min_size=1, max_size=2)))))
    return history


def behind(history: Parents, number: int) -> set[int]:
    """A version and all that came before it."""
    found: set[int] = set()
    waiting = [number]
    while waiting:
        if (version := waiting.pop()) not in found:
            found.add(version)
            waiting += history[version]
    return found
