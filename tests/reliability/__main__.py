"""Runs the reliability tests and writes their tables into docs/reliability.md: `python -m tests.reliability [words for pytest]`.

Fails as the tests do, and where a row that is declared was not reached: no row is missing from the page.
"""

import json
import sys
import tempfile
from pathlib import Path

import pytest

from tests.reliability.matrix import ROWS
from tests.reliability.table import bugs_table, read_rows, with_bugs, with_table

HERE = Path(__file__).parent
ELSEWHERE = [HERE.parent / "operations" / name for name in ("test_signing.py", "test_repair.py")]  # T17, T21
PAGE = HERE.parents[1] / "docs" / "reliability.md"


def main(words: list[str]) -> int:
    """The exit status of pytest. The page gets the rows of this run whatever that is: what failed stands there as failed."""
    with tempfile.TemporaryDirectory() as folder:
        status = int(pytest.main([*map(str, (HERE, *ELSEWHERE)), "--matrix-dir", folder, *words]))
        rows = read_rows(Path(folder))
        said = [json.loads(path.read_text(encoding="utf-8"))["said"] for path in sorted(Path(folder).glob("*.json"))]
    page = PAGE.read_text(encoding="utf-8")
    if rows:
        page = with_table(page, rows)
    if any(said):
        page = with_bugs(page, bugs_table(said))
    PAGE.write_text(page, encoding="utf-8")
    missing = sorted(ROWS.keys() - {row.name for row in rows})
    if missing:
        print(f"not reached: {', '.join(missing)}", file=sys.stderr)  # noqa: T201 - a command
    return status or bool(missing)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
