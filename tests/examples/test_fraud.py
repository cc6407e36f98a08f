"""The story of examples/fraud comes true: trainings, promotions, a service that reloads, a rollback, and the culprit found."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn")
EXAMPLE = Path(__file__).parents[2] / "examples" / "fraud"


def test_the_story_comes_true(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, str(EXAMPLE / "story.py"), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr
    served = [line.split()[-1] for line in told.stdout.splitlines() if line.startswith("The service answers")]
    assert served == ["v1.", "v2.", "v3.", "v2."]
    assert "fraud v3" in told.stdout.partition("is the first bad version")[0].splitlines()[-1]
    assert "Deleted 2 objects" in told.stdout
    assert "Everything is there and whole" in told.stdout
