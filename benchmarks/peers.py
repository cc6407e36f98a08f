"""Commit and restore every version of every series with every store, whole processes: python -m benchmarks.peers SERIES_DIR

Each store begins every run empty, in a folder and with a home of its own. Each version is committed by a process of its own, then each
is restored by one into a fresh folder and compared byte for byte. Stores take turns: run 1 of all of them, then run 2.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Cost, Figures, Recorder, Tools, alternate, check_same, fresh_folder, options, size_bytes, warm
from benchmarks.page import publish
from benchmarks.stores import PEERS, Peer, Room, installed


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options(__doc__)
    parser.add_argument("folder", metavar="SERIES_DIR", type=Path, help="folder of series, each a folder of versions")
    parser.add_argument("--only", nargs="+", choices=list(PEERS), help="these stores only")
    parser.add_argument("--series", nargs="+", help="these series only")
    wanted = parser.parse_args(arguments)
    recorder = Recorder("peers", wanted.json)
    tools = Tools(wanted.venvs)
    peers = installed(tools, wanted.only)
    for peer, version in peers.items():
        recorder.know(peer.title, version)
    for series in find_series(wanted.folder, wanted.series):
        for number, peer in alternate(wanted.runs, list(peers)):
            with recorder.guard(series.name, peer.title), fresh_folder(wanted.work) as folder:
                recorder.add(series.name, peer.title, number, measure(peer, series, Room(folder, tools)))
    publish(recorder, wanted.page)
    return recorder.exit_status()


def find_series(folder: Path, names: Sequence[str] | None) -> list[Path]:
    """The series of a folder, sorted by name; those named, or all."""
    found = sorted(path for path in folder.iterdir() if path.is_dir() and (not names or path.name in names))
    if missing := set(names or ()) - {path.name for path in found}:
        raise argparse.ArgumentTypeError(f"{folder} has no series {', '.join(sorted(missing))}")
    return found


def find_versions(series: Path) -> list[Path]:
    """The versions of a series, oldest first."""
    return sorted(path.resolve() for path in series.iterdir() if path.is_dir())


def measure(peer: type[Peer], series: Path, room: Room) -> Figures:
    """One run of one store over one series."""
    versions = find_versions(series)
    warm(versions)
    store = peer(room)
    commits = [store.commit(version) for version in versions]
    stored = store.stored_bytes()
    restores = []
    for number, version in enumerate(versions):
        out = room.folder / "out"
        out.mkdir()
        restores.append(store.restore(number, out))
        check_same(version, out, ignoring=peer.leaves)
        shutil.rmtree(out)
    return {
        "raw_bytes": sum(map(size_bytes, versions)),
        "stored_bytes": stored,
        "commit_s": _seconds(commits),
        "restore_s": _seconds(restores),
        "commit_peak_mib": _peak(commits),
        "restore_peak_mib": _peak(restores),
    }


def _seconds(costs: Sequence[Cost]) -> float:
    return round(sum(cost.seconds for cost in costs), 4)


def _peak(costs: Sequence[Cost]) -> float:
    return round(max(cost.peak_mib for cost in costs), 1)


if __name__ == "__main__":
    sys.exit(main())
