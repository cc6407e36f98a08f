"""Running whole processes, and keeping what was measured: every benchmark here takes its samples through this module.

The benchmarking process stays small (no numpy here): Linux counts the memory that a child shares with its parent before it
becomes another program into the child's peak, so that the parent's own size is the least peak that can be seen.
"""

import argparse
import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

Figures = dict[str, float]

ROOT = Path(__file__).resolve().parent.parent
VENVS = Path(__file__).resolve().parent / "data" / "peers"
COMPARED_BYTES = 1024 * 1024


class CommandFailedError(Exception):
    """A measured process ended with another status than 0; its output is the message."""


class MismatchError(Exception):
    """What came back is not what went in."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one command took: wall time, and the peak resident memory of its largest process."""

    seconds: float
    peak_mib: float
    output: str


def run(command: Sequence[str | Path], *, cwd: Path, environment: Mapping[str, str]) -> Cost:
    """Run a command to its end. Dirty pages of whatever ran before are written back first, outside of the timing.

    The peak is the `ru_maxrss` that `wait4` reports: the largest of the process and all of its descendants that were waited for.
    """
    os.sync()
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            list(map(str, command)), cwd=cwd, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode:
        raise CommandFailedError(f"{' '.join(map(str, command))}\nended with {process.returncode}:\n{text[-2000:]}")
    return Cost(seconds, usage.ru_maxrss / 1024, text)


@dataclass(frozen=True, slots=True)
class Tools:
    """Programs and Python packages of the peers: on the path, beside this Python, or in a virtual environment below `venvs`."""

    venvs: Path = VENVS

    @property
    def path(self) -> str:
        """PATH of every measured process: this Python's own programs come before a peer's."""
        folders = [Path(sys.executable).parent, *os.get_exec_path(), *(venv / "bin" for venv in self._venvs())]
        return os.pathsep.join(map(str, folders))

    def program(self, name: str) -> str | None:
        """Where a program is, or None."""
        return shutil.which(name, path=self.path)

    def python(self, package: str) -> Path | None:
        """The Python that has a package, or None."""
        for prefix in (Path(sys.prefix), *self._venvs()):
            if any(prefix.glob(f"lib/python*/site-packages/{package}/__init__.py")):
                return prefix / "bin" / "python"
        return None

    def _venvs(self) -> list[Path]:
        return sorted(path.parent for path in self.venvs.glob("*/pyvenv.cfg"))


@dataclass(frozen=True, slots=True)
class Sample:
    """One store, one case (a series, a step), one run: the raw figures."""

    benchmark: str
    case: str
    store: str
    run: str
    figures: Figures


@dataclass(slots=True)
class Results:
    """Samples of one machine, with the versions of what was measured."""

    machine: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> "Results":
        document = json.loads(path.read_text())
        return cls(document["machine"], document["versions"], [Sample(**sample) for sample in document["samples"]])

    def save(self, path: Path) -> None:
        """Written aside first: an interrupted run leaves the samples that were there."""
        aside = path.with_name(f"{path.name}.new")
        rows = ",\n".join(f"  {json.dumps(asdict(sample))}" for sample in self.samples)
        head = f'"machine": {json.dumps(self.machine)},\n "versions": {json.dumps(self.versions)}'
        aside.write_text(f'{{\n {head},\n "samples": [\n{rows}\n ]\n}}\n')
        aside.replace(path)

    def merge(self, other: "Results") -> None:
        """Take in the samples of another file. ValueError where they come from another machine or other versions."""
        if self.machine and other.machine and self.machine != other.machine:
            raise ValueError(f"samples of two machines do not mix: {self.machine} and {other.machine}")
        for store, version in other.versions.items():
            if self.versions.setdefault(store, version) != version:
                raise ValueError(f"samples of {store} {self.versions[store]} and {version} do not mix")
        self.machine = self.machine or other.machine
        self.samples += other.samples

    def select(self, benchmark: str, *, case: str | None = None, store: str | None = None) -> list[Sample]:
        """The samples of one benchmark, in the order in which they were taken."""
        return [
            sample
            for sample in self.samples
            if sample.benchmark == benchmark and case in {None, sample.case} and store in {None, sample.store}
        ]


class Recorder:
    """Collects the samples of one session, and keeps them in a file from the first one on."""

    def __init__(self, benchmark: str, path: Path | None) -> None:
        self.results = Results(machine=machine())
        if path and path.exists():
            known = Results.load(path)
            known.merge(self.results)
            self.results = known
        self.benchmark = benchmark
        self._path = path
        self._session = time.strftime("%Y-%m-%dT%H:%M:%S")
        self.failures: list[str] = []

    def know(self, store: str, version: str) -> None:
        """Note which version of a store is measured."""
        self.results.merge(Results(versions={store: version}))

    def add(self, case: str, store: str, run: int, figures: Figures) -> None:
        """Keep and print one sample. Samples of one session and run stand beside each other in ratios."""
        sample = Sample(self.benchmark, case, store, f"{self._session}#{run}", figures)
        self.results.samples.append(sample)
        shown = "  ".join(f"{name} {value:,.6g}" for name, value in figures.items())
        print(f"{case:16} {store:14} run {run}  {shown}", flush=True)
        if self._path:
            self.results.save(self._path)

    @contextlib.contextmanager
    def guard(self, case: str, store: str) -> Iterator[None]:
        """What fails is told, kept out of the samples, and makes the benchmark fail when it is through."""
        try:
            yield
        except (CommandFailedError, MismatchError) as error:
            print(f"FAILED  {case} {store}: {error}", file=sys.stderr, flush=True)
            self.failures.append(f"{case} {store}")

    def exit_status(self) -> int:
        for failure in self.failures:
            print(f"FAILED: {failure}", file=sys.stderr)
        return 1 if self.failures else 0


def options(description: str | None, *, runs: int = 5) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks share."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=runs, help=f"how often everything is measured (default {runs})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the raw samples there, after those it holds already")
    parser.add_argument(
        "--page", type=Path, metavar="FILE.md", help="write a page of all samples there, and its plot beside it"
    )
    parser.add_argument("--work", type=Path, help="where stores and restored folders go (default: a temporary folder)")
    parser.add_argument("--venvs", type=Path, default=VENVS, help="folder of the peers' virtual environments")
    return parser


def alternate(runs: int, stores: Sequence[T]) -> Iterator[tuple[int, T]]:
    """Run 1 of every store, then run 2 …; each run starts with another one, so that nobody is always first."""
    for number in range(runs):
        first = number % len(stores) if stores else 0
        for store in (*stores[first:], *stores[:first]):
            yield number + 1, store


@contextlib.contextmanager
def fresh_folder(parent: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-", dir=parent, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def isolated(home: Path, tools: Tools) -> dict[str, str]:
    """The whole environment of a measured process: nothing of the user's own, neither settings nor caches."""
    for folder in (home, home / "tmp"):
        folder.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": tools.path,
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "LANG": "C.UTF-8",
        "REG_AUTHOR": "bench",
        "REG_CACHE": str(home / "reg-cache"),
    }


def size_bytes(folder: Path) -> int:
    """The bytes of all files below a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())


def warm(folders: Iterable[Path]) -> None:
    """Read every file once: no store is the one that waits for the disk."""
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                with path.open("rb") as file:
                    while file.read(COMPARED_BYTES):
                        pass


def check_same(source: Path, restored: Path, *, ignoring: Sequence[str] = ()) -> None:
    """MismatchError unless both folders hold the same files with the same bytes; names in `ignoring` are a store's own."""
    if not same(source, restored, ignoring=ignoring):
        raise MismatchError(f"{source.name}: what was restored differs from what was committed")


def same(left: Path, right: Path, *, ignoring: Sequence[str] = (".reg",)) -> bool:
    """Whether two folders hold the same files with the same bytes."""
    names = [
        {
            path.relative_to(root)
            for path in root.rglob("*")
            if path.is_file() and path.relative_to(root).parts[0] not in ignoring
        }
        for root in (left, right)
    ]
    return names[0] == names[1] and all(_same_bytes(left / name, right / name) for name in names[0])


def machine() -> dict[str, str]:
    """What a reader needs to know of the machine to judge a figure; no name and no path of it."""
    model = _line("/proc/cpuinfo", "model name") or platform.processor() or platform.machine()
    memory = int((_line("/proc/meminfo", "MemTotal") or "0").split()[0]) / 1024 / 1024
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "cpu": model,
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
    }


def _same_bytes(left: Path, right: Path) -> bool:
    if left.stat().st_size != right.stat().st_size:
        return False
    with left.open("rb") as one, right.open("rb") as other:
        while block := one.read(COMPARED_BYTES):
            if block != other.read(COMPARED_BYTES):
                return False
    return True


def _line(file: str, name: str) -> str | None:
    with contextlib.suppress(OSError):
        for line in Path(file).read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return None


def reported(cost: Cost) -> tuple[list[float], float]:
    """What a program of `benchmarks/programs` reports in its last line: the seconds of its steps, and its peak in MiB."""
    document = json.loads(cost.output.strip().splitlines()[-1])
    return document["seconds"], document["peak_mib"]


def decode_document(cost: Cost) -> Any:
    """The JSON document that a command printed."""
    return json.loads(cost.output)
