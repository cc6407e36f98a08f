"""The rows of the reliability matrix, and what a run of the tests says of each.

A module declares its row (`ROW = "T5"`); its tests take the fixture `matrix` and count the cases that they tried. With `--matrix-dir` every
test leaves a small JSON file there, from which `python -m tests.reliability` makes the table of docs/reliability.md.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RowInfo:
    """A row of the table: what is done, the number to reach in the normal profile, and what must come of it."""

    what: str
    reach: str
    expected: str


ROWS = {
    "T5": RowInfo(
        "committers, collectors, a retirement and a reader under a deterministic scheduler: random, by priorities, one stalled for ever",
        "2,000 schedules", "every live version reads back; garbage goes; a seed replays",
    ),
    "T5b": RowInfo("exhaustive model of the collection protocol, with each of its rules left out", "all states, 7 weakenings", "safe; each weakening dangles"),
    "T6": RowInfo("a state machine of all verbs against dictionaries, with crashes and damage", "10,000 steps", "equal to the model, fsck clean"),
    "bugs": RowInfo("planted bugs, in copies of the code", "16", "each noticed by a test"),
    "T13": RowInfo("clocks off by up to ten years, each actor its own", "500 schedules", "nothing lost"),
}  # fmt: skip


@dataclass(slots=True)
class Row:
    """What one test tried: `count` once a case, or with a number."""

    name: str
    cases: int = 0
    said: dict[str, str] = field(default_factory=dict)

    def count(self, cases: int = 1) -> None:
        self.cases += cases

    def say(self, name: str, text: str) -> None:
        """A remark for the page."""
        self.said[name] = text

    def write(self, folder: Path, test: str, *, passed: bool, seconds: float) -> None:
        """Leave what was counted in a file of the test's own."""
        folder.mkdir(parents=True, exist_ok=True)
        name = "".join(char if char.isalnum() else "-" for char in test)[-150:]
        record = {
            "row": self.name,
            "test": test,
            "cases": self.cases,
            "passed": passed,
            "seconds": round(seconds, 2),
            "said": self.said,
        }
        (folder / f"{name}.json").write_text(json.dumps(record) + "\n")
