"""One verb in a process of its own, and the most memory that it had: `python -m tests.reliability.peak commit|checkout REGISTRY FOLDER`."""

import json
import re
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Peak:
    """Bytes of files that the verb dealt with, and its largest resident set in MiB."""

    size_bytes: int
    mib: int


def peak_of(verb: str, registry: Path, folder: Path) -> Peak:
    """Run it."""
    words = [sys.executable, "-m", "tests.reliability.peak", verb, str(registry), str(folder)]
    done = subprocess.run(words, cwd=HERE, check=True, capture_output=True, text=True)
    return Peak(**json.loads(done.stdout))


def _largest_mib() -> int:
    """Linux tells it of this program alone; what getrusage tells there is the parent's where that was larger before the program was loaded."""
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii"))
        assert found
        return int(found[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024**2


def _main(verb: str, registry: str, folder: str) -> None:
    import cas_registry as reg

    model = reg.open(registry).model("m")
    size_bytes = model.commit(folder).raw_bytes if verb == "commit" else model.checkout("main", folder).written_bytes
    print(json.dumps({"size_bytes": size_bytes, "mib": _largest_mib()}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
