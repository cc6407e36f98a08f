"""Commits of very many files, whole processes: python -m benchmarks.many_files [--files 100000] [--bytes 100000]

Makes the files (random bytes, a thousand a folder), commits them into a fresh local registry, then commits them unchanged, each time
by a process of its own.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

from benchmarks.measure import Figures, MismatchError, Recorder, Tools, decode_document, fresh_folder, options
from benchmarks.page import publish
from benchmarks.stores import OURS, CasRegistry, Room

FILES_PER_FOLDER = 1000


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options(__doc__)
    parser.add_argument("--files", type=int, default=100_000, help="how many files (default 100000)")
    parser.add_argument("--bytes", type=int, default=100_000, help="the size of each (default 100000)")
    wanted = parser.parse_args(arguments)
    recorder = Recorder("many_files", wanted.json)
    tools = Tools(wanted.venvs)
    recorder.know(OURS, CasRegistry.version(tools) or "")
    case = f"{wanted.files:,} files of {wanted.bytes:,} bytes"
    with recorder.guard(case, OURS), fresh_folder(wanted.work) as folder:
        source = make_files(folder / "source", wanted.files, wanted.bytes)
        room = Room(folder, tools)
        room.run(sys.executable, "-m", "cas_registry", "init", room.place)
        recorder.add(f"{case}, first commit", OURS, 1, commit(room, source, created=True))
        for number in range(wanted.runs):
            recorder.add(f"{case}, unchanged commit", OURS, number + 1, commit(room, source, created=False))
    publish(recorder, wanted.page)
    return recorder.exit_status()


def make_files(folder: Path, count: int, size: int) -> Path:
    """A tree of files of random bytes, the same in every run."""
    random = Random(0)  # noqa: S311 - data, no secret
    for first in range(0, count, FILES_PER_FOLDER):
        below = folder / f"{first // FILES_PER_FOLDER:04}"
        below.mkdir(parents=True)
        for number in range(first, min(count, first + FILES_PER_FOLDER)):
            (below / f"{number:06}.bin").write_bytes(random.randbytes(size))
    return folder


def commit(room: Room, source: Path, *, created: bool) -> Figures:
    """One `reg commit` of the whole tree, by a process of its own."""
    cost = room.run(sys.executable, "-m", "cas_registry", "commit", source, "-R", room.place, "-M", "many", "--json")
    report = decode_document(cost)
    if report["created"] != created:
        raise MismatchError(f"a commit was {'made' if report['created'] else 'not made'}: {report}")
    read = report["raw_bytes"] * report["files_read"] / report["files"]
    return {
        "seconds": round(cost.seconds, 4),
        "files": report["files"],
        "files_read": report["files_read"],
        "read_bytes": read,
        "peak_mib": round(cost.peak_mib, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
