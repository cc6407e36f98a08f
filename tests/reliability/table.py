"""The table of docs/reliability.md, from what the tests of a run left in a folder."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.reliability.matrix import ROWS, RowInfo

BEGIN, END = "<!-- matrix -->", "<!-- end of matrix -->"
BUGS_BEGIN, BUGS_END = "<!-- planted bugs -->", "<!-- end of planted bugs -->"
_HEAD = (
    "| Id | What is done | To reach | Cases run | What must come of it | Result | Seconds |",
    "|---|---|---|---|---|---|---|",
)


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of a row: of all its tests together."""

    name: str
    info: RowInfo
    cases: int
    failed: int
    seconds: float


def read_rows(folder: Path, rows: Mapping[str, RowInfo] = ROWS) -> list[Figures]:
    """The rows that a run has figures of, in the order of their numbers. KeyError for a row that nobody declared."""
    tests: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in sorted(folder.glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        tests[record["row"]].append(record)
    found = [
        Figures(
            name, rows[name], sum(part["cases"] for part in parts), sum(not part["passed"] for part in parts),
            sum(part["seconds"] for part in parts),
        )
        for name, parts in tests.items()
    ]  # fmt: skip
    return sorted(found, key=_number)


def table(rows: Iterable[Figures]) -> str:
    """The rows in Markdown."""
    lines = [
        f"| {row.name} | {row.info.what} | {row.info.reach} | {row.cases:,} | {row.info.expected} | {_result(row)} | {row.seconds:.0f} |"
        for row in rows
    ]
    return "\n".join((*_HEAD, *lines))


def bugs_table(said: Iterable[Mapping[str, str]]) -> str:
    """Which test noticed which planted bug, from what the tests of the bugs said (number -> name: test)."""
    found = {number: text for remarks in said for number, text in remarks.items()}
    lines = [
        f"| {int(number)} | {name} | {test} |"
        for number, text in sorted(found.items())
        for name, _, test in [text.partition(": ")]
    ]
    return "\n".join(("| | Bug | Noticed by |", "|---|---|---|", *lines))


def with_table(page: str, rows: Iterable[Figures]) -> str:
    """The page with these rows between its two marks. ValueError for a page without them."""
    return _put(page, BEGIN, table(rows), END)


def with_bugs(page: str, lines: str) -> str:
    """The page with the table of the planted bugs in its place. ValueError for a page without one."""
    return _put(page, BUGS_BEGIN, lines, BUGS_END)


def _put(page: str, begin: str, text: str, end: str) -> str:
    before, began, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not began or not ended:
        raise ValueError(f"the page has no place for the table: {begin} and {end}")
    return f"{before}{begin}\n{text}\n{end}{after}"


def _result(row: Figures) -> str:
    return f"{row.failed} tests fail" if row.failed else "holds"


def _number(row: Figures) -> tuple[int, str]:
    digits = re.search(r"\d+", row.name)
    return (int(digits[0]) if digits else 10**6, row.name)
