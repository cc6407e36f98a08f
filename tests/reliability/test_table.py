"""The table says what the tests counted."""

from pathlib import Path

import pytest

from tests.reliability.matrix import ROWS, Row, RowInfo
from tests.reliability.table import read_rows, table, with_table

DECLARED = {"T9": RowInfo("flips", "many", "seen"), "T10": RowInfo("cuts", "few", "seen too")}


def _leave(folder: Path, name: str, test: str, cases: int, *, passed: bool = True, seconds: float = 1.0) -> None:
    row = Row(name)
    row.count(cases)
    row.write(folder, test, passed=passed, seconds=seconds)


def test_tests_of_one_row_are_added_up_and_rows_stand_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    _leave(tmp_path, "T10", "test_a[x/y]", 3)
    _leave(tmp_path, "T10", "test_b", 4, passed=False, seconds=0.6)
    _leave(tmp_path, "T9", "test_c", 1000, seconds=2)
    assert table(read_rows(tmp_path, DECLARED)).splitlines()[2:] == [
        "| T9 | flips | many | 1,000 | seen | holds | 2 |",
        "| T10 | cuts | few | 7 | seen too | 1 tests fail | 2 |",
    ]


def test_a_row_that_nobody_declared_is_an_error(tmp_path: Path) -> None:
    _leave(tmp_path, "T99", "test_a", 1)
    with pytest.raises(KeyError):
        read_rows(tmp_path)


def test_the_table_takes_its_place_on_the_page_and_nothing_else_changes(tmp_path: Path) -> None:
    _leave(tmp_path, "T9", "test_c", 1)
    rows = read_rows(tmp_path, DECLARED)
    changed = with_table("above\n<!-- matrix -->\nold\n<!-- end of matrix -->\nbelow\n", rows)
    assert changed == f"above\n<!-- matrix -->\n{table(rows)}\n<!-- end of matrix -->\nbelow\n"
    assert with_table(changed, rows) == changed
    with pytest.raises(ValueError, match="no place"):
        with_table("a page", rows)


def test_every_module_of_a_row_has_declared_it() -> None:
    for path in Path(__file__).parent.glob("test_t[0-9]*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("ROW = "):
                assert line.removeprefix("ROW = ").strip('"') in ROWS, path.name
