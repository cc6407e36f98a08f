from collections.abc import Mapping, Sequence

import pytest

from cas_registry.cli.graph import Graph


def draw(history: Mapping[str, Sequence[str]], *, unicode: bool = True) -> list[str]:
    """The lines of a history given children first, each commit with its parents."""
    graph: Graph[str] = Graph(unicode=unicode)
    lines: list[str] = []
    for commit, parents in history.items():
        node, after = graph.add(commit, parents)
        lines += [f"{node} {commit}", *after]
    return lines


def test_a_linear_history_is_one_lane():
    assert draw({"c": ["b"], "b": ["a"], "a": []}) == ["● c", "● b", "● a"]


def test_branches_join_where_they_have_a_parent_in_common():
    assert draw({"d": ["b"], "c": ["b"], "b": ["a"], "a": []}) == ["● d", "│ ● c", "├─╯", "● b", "● a"]


def test_a_lane_between_two_that_join_is_crossed():
    assert draw({"e": ["a"], "d": ["b"], "c": ["a"], "b": [], "a": []}) == ["● e", "│ ● d", "│ │ ● c", "├─┼─╯", "│ ● b", "● a"]


def test_a_merge_opens_a_lane():
    assert draw({"m": ["a", "b"], "b": ["r"], "a": ["r"], "r": []}) == ["● m", "├─╮", "│ ● b", "● │ a", "├─╯", "● r"]


def test_unrelated_histories_end_each_by_itself():
    assert draw({"b": [], "a": []}) == ["● b", "● a"]


def test_terminals_without_unicode_get_ascii():
    lines = draw({"d": ["b"], "c": ["b"], "b": []}, unicode=False)
    assert lines == ["* d", "| * c", "+-/", "* b"]
    assert "".join(lines).isascii()


@pytest.mark.parametrize("width", [0, 5])
def test_lines_beside_a_commit_show_the_lanes_that_go_on(width):
    graph: Graph[str] = Graph()
    graph.add("d", ["b"])
    graph.add("c", ["a"])
    assert graph.beside(width=width) == "│ │".ljust(width)


def test_every_commit_of_a_wide_history_is_drawn_in_the_lane_that_waits_for_it():
    history = {f"tip{number}": ["root"] for number in range(20)} | {"root": []}
    lines = draw(history)
    assert lines[-1] == "● root"
    assert max(map(len, lines)) < len("● ") * 3 + len("tip19"), "lanes that joined are used again"
