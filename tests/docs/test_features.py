"""docs/features.md names tests that exist, and every row that belongs here."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "features.md"
NOT_YET = {19, 38}
ROWS = set(range(1, 54)) - NOT_YET


def _rows() -> dict[int, list[str]]:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\| \d+ \|", line)]
    return {int(line.split("|")[1]): re.findall(r"`([^`]+)`", line.split("|")[4]) for line in lines}


@cache
def _tests_of(module: Path) -> frozenset[str]:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    return frozenset(
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


def test_every_row_is_there() -> None:
    assert _rows().keys() == ROWS


@pytest.mark.parametrize("row", sorted(ROWS))
def test_the_tests_of_a_row_exist(row: int) -> None:
    named = _rows()[row]
    assert named
    for name in named:
        module, _, test = name.partition("::")
        assert (TESTS / module).is_file(), name
        assert test in _tests_of(TESTS / module) if test else _tests_of(TESTS / module), name
