"""docs/frameworks.md: its Python runs as it stands, and its table has every adapter."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import cas_registry as reg
from cas_registry.frameworks.table import TABLE
from tests.frameworks.__main__ import TABLE as ROUND_TRIPS
from tests.frameworks.__main__ import cases_of, modules

PAGE = Path(__file__).parents[2] / "docs" / "frameworks.md"
DOCUMENT = PAGE.read_text(encoding="utf-8")


def test_the_example_runs(tmp_path: Path) -> None:
    pytest.importorskip("skops")
    (tmp_path / "work").mkdir()
    reg.init(tmp_path / "registry")
    (code,) = re.findall(r"<!-- objects -->\n```python\n(.*?)```", DOCUMENT, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path / "work", capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("1.0 skops\n", "")


def test_every_round_trip_has_its_row_and_every_adapter_one() -> None:
    table = ROUND_TRIPS.search(DOCUMENT)
    assert table
    rows = {line.split("|")[1].strip(): line for line in table[0].splitlines()[2:]}
    cases = [case for module in modules() for case in cases_of(module)]
    assert list(rows) == [case.name for case in cases], "python -m tests.frameworks writes the table"
    assert {case.adapter for case in cases} | {"files"} == set(TABLE)
    for case in cases:
        assert f"| {case.format} | {'yes' if case.needs_pickle else 'no'} |" in rows[case.name]
