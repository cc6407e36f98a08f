"""cas_registry and hf_xet by their Python APIs, imports outside of the timing: python -m benchmarks.inprocess SERIES_DIR

For each series one process commits all versions and another restores them all, each into a fresh folder; the two stores take turns.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import (
    Cost,
    Figures,
    Recorder,
    Tools,
    alternate,
    check_same,
    fresh_folder,
    options,
    reported,
    size_bytes,
    warm,
)
from benchmarks.page import publish
from benchmarks.peers import find_series, find_versions
from benchmarks.stores import OURS, PROGRAMS, HfXet, Room, installed


@dataclass(frozen=True, slots=True)
class Program:
    """A store's program with the Python that has the store."""

    title: str
    python: Path
    script: str
    leaves: tuple[str, ...] = ()

    def run(self, room: Room, verb: str, *arguments: str | Path) -> Cost:
        return room.run(self.python, PROGRAMS / self.script, verb, room.place, *arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options(__doc__)
    parser.add_argument("folder", metavar="SERIES_DIR", type=Path, help="folder of series, each a folder of versions")
    parser.add_argument("--series", nargs="+", help="these series only")
    wanted = parser.parse_args(arguments)
    recorder = Recorder("inprocess", wanted.json)
    tools = Tools(wanted.venvs)
    programs = [Program(OURS, Path(sys.executable), "registry.py", (".reg",))]
    if python := tools.python("hf_xet"):
        programs.append(Program(HfXet.title, python, "xet.py"))
    for peer, version in installed(tools, ["cas_registry", "hf_xet"]).items():
        recorder.know(peer.title, version)
    for series in find_series(wanted.folder, wanted.series):
        for number, program in alternate(wanted.runs, programs):
            with recorder.guard(series.name, program.title), fresh_folder(wanted.work) as folder:
                recorder.add(series.name, program.title, number, measure(program, series, Room(folder, tools)))
    publish(recorder, wanted.page)
    return recorder.exit_status()


def measure(program: Program, series: Path, room: Room) -> Figures:
    """One run of one store over one series."""
    versions = find_versions(series)
    warm(versions)
    room.place.mkdir()
    commit_s, commit_peak = reported(program.run(room, "commit", *versions))
    outs = [room.folder / f"out-{number}" for number in range(len(versions))]
    for out in outs:
        out.mkdir()
    steps = [argument for number, out in enumerate(outs) for argument in (str(number), out)]
    restore_s, restore_peak = reported(program.run(room, "restore", *steps))
    for version, out in zip(versions, outs, strict=True):
        check_same(version, out, ignoring=program.leaves)
    return {
        "raw_bytes": sum(map(size_bytes, versions)),
        "commit_s": round(sum(commit_s), 4),
        "restore_s": round(sum(restore_s), 4),
        "commit_peak_mib": round(commit_peak, 1),
        "restore_peak_mib": round(restore_peak, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
