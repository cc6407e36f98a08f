"""The peak of the own process: unlike `ru_maxrss`, it does not begin with what the parent had."""

import json
from collections.abc import Sequence
from pathlib import Path


def report(seconds: Sequence[float]) -> None:
    """Print what the benchmark reads: the seconds of each step, and the peak resident memory of this process."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(json.dumps({"seconds": list(seconds), "peak_mib": int(status["VmHWM"].split()[0]) / 1024}), flush=True)
