"""A search under way, as a folder remembers it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.errors import InvalidInputError
from cas_registry.worktree.bisection import BISECTION, BisectionState, forget_bisection, read_bisection, write_bisection

STATE = BisectionState("0" * 32, "m", "/folder", first_parent=False, bad="m@b", goods=("m@g",))
versions = st.lists(st.text(), max_size=3).map(tuple)


@given(
    state=st.builds(
        BisectionState, registry=st.text(), model=st.text(), folder=st.text(), first_parent=st.booleans(), bad=st.text(),
        goods=versions, skipped=versions, current=st.none() | st.text(), log=versions,
    )
)  # fmt: skip
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, state: BisectionState) -> None:
    folder = tmp_path_factory.mktemp("bisection")
    write_bisection(folder, state)
    assert read_bisection(folder) == state
    forget_bisection(folder)
    assert read_bisection(folder) is None
    forget_bisection(folder)


def test_marks_are_kept_once_and_all_that_was_said() -> None:
    state = STATE.marked("good", "m@1").marked("skip", "m@2").marked("bad", "m@3").marked("good", "m@1")
    assert (state.goods, state.skipped, state.bad) == (("m@g", "m@1"), ("m@2",), "m@3")
    assert state.log == ("good m@1", "skip m@2", "bad m@3", "good m@1")


@pytest.mark.parametrize(
    "data",
    [
        "",
        "[]",
        "{}",
        '{"goods": 1}',
        "[" * 100_000,
        '{"goods": [], "skipped": [], "log": [], "registry": 1, "model": "", "folder": "", "first_parent": false, "bad": ""}',
    ],
)
def test_what_is_no_search_is_refused(tmp_path: Path, data: str) -> None:
    (tmp_path / ".reg").mkdir()
    (tmp_path / ".reg" / BISECTION).write_text(data)
    with pytest.raises(InvalidInputError, match="reg bisect reset"):
        read_bisection(tmp_path)
