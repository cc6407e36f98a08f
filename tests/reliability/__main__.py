"""Runs the reliability matrix and writes its table into docs/reliability.md.

    python -m tests.reliability            (REG_RELIABILITY=nightly: fifty times as much)

No row is missing from the table: one that the run has not reached is there with no cases, and makes the command fail.
"""

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.reliability.matrix import ROWS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
MATRIX, BUGS = "matrix", "planted bugs"


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            str(ROOT / "tests"),
            "-m",
            "reliability",
            "--matrix-dir",
            folder,
            *sys.argv[1:],
        ]
        status = subprocess.run(command, cwd=ROOT, check=False).returncode
        records = [json.loads(path.read_text()) for path in sorted(Path(folder).glob("*.json"))]
    page = PAGE.read_text(encoding="utf-8")
    page = put(page, MATRIX, matrix_table(records))
    page = put(page, BUGS, bugs_table(records))
    PAGE.write_text(page, encoding="utf-8")
    missing = sorted(ROWS.keys() - {record["row"] for record in records})
    if missing:
        print(f"not reached: {', '.join(missing)}", file=sys.stderr)  # noqa: T201 - a command
    return status or (1 if missing else 0)


def matrix_table(records: Iterable[dict[str, Any]]) -> str:
    """One line a row: what is done, how much of it, what must come of it, and what did."""
    found = defaultdict(list)
    for record in records:
        found[record["row"]].append(record)
    lines = ["| row | what is done | to reach | cases | expected | result | seconds |", "|---|---|---|---|---|---|---|"]
    for name in sorted(ROWS, key=_order):
        info, run = ROWS[name], found[name]
        cases = sum(record["cases"] for record in run)
        failed = sum(not record["passed"] for record in run)
        result = "not run" if not run else f"**{failed} failed**" if failed else "all passed"
        seconds = sum(record["seconds"] for record in run)
        lines.append(f"| {name} | {info.what} | {info.reach} | {cases:,} | {info.expected} | {result} | {seconds:.0f} |")
    return "\n".join(lines)


def bugs_table(records: Iterable[dict[str, Any]]) -> str:
    said = dict(item for record in records if record["row"] == "bugs" for item in record["said"].items())
    lines = ["| bug | noticed by |", "|---|---|"]
    for number, text in sorted(said.items()):
        name, _, killer = text.partition(": ")
        lines.append(f"| {int(number)} {name} | {killer} |")
    return "\n".join(lines)


def put(page: str, name: str, table: str) -> str:
    """The page with what stands between the two markers of a table replaced."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, _, rest = page.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"docs/reliability.md has no place for the table {name!r}")
    return f"{before}{begin}{table}\n{end}{after}"


def _order(name: str) -> tuple[int, str]:
    digits = "".join(char for char in name if char.isdigit())
    return (int(digits) if digits else 10**6, name)


if __name__ == "__main__":
    sys.exit(main())
