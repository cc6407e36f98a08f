"""What a store grows by when weights it holds come back in another shape: python -m benchmarks.sharing DERIVED_DIR SERIES_DIR

Commits the last checkpoint of `full-fp32`, then each folder of DERIVED_DIR (python -m benchmarks.series makes them) into a store of its own.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Figures, Recorder, Tools, check_same, fresh_folder, options, size_bytes
from benchmarks.page import publish
from benchmarks.peers import find_series, find_versions
from benchmarks.stores import PEERS, Peer, Room, installed

BASE = "full-fp32"
WEIGHTS = "model.safetensors"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options(__doc__, runs=1)
    parser.add_argument("derived", metavar="DERIVED_DIR", type=Path, help="folder of folders, each the weights in one shape")
    parser.add_argument("series", metavar="SERIES_DIR", type=Path, help=f"folder of series, of which {BASE} is used")
    deduplicating = [name for name, peer in PEERS.items() if peer.deduplicates]
    parser.add_argument("--only", nargs="+", choices=deduplicating, default=deduplicating, help="these stores only")
    wanted = parser.parse_args(arguments)
    recorder = Recorder("sharing", wanted.json)
    tools = Tools(wanted.venvs)
    peers = installed(tools, wanted.only)
    base = find_versions(wanted.series / BASE)[-1]
    for peer, version in peers.items():
        recorder.know(peer.title, version)
    for derived in find_series(wanted.derived, None):
        for peer in peers:
            with recorder.guard(derived.name, peer.title), fresh_folder(wanted.work) as folder:
                recorder.add(derived.name, peer.title, 1, measure(peer, base, derived.resolve(), Room(folder, tools)))
    publish(recorder, wanted.page)
    return recorder.exit_status()


def measure(peer: type[Peer], base: Path, derived: Path, room: Room) -> Figures:
    """How many bytes `derived` adds to a store that holds `base`."""
    store = peer(room)
    store.commit(base)
    before = store.stored_bytes()
    store.commit(derived)
    new = store.stored_bytes() - before
    out = room.folder / "out"
    out.mkdir()
    store.restore(1, out)
    check_same(derived, out, ignoring=peer.leaves)
    raw_bytes, fp32_bytes = size_bytes(derived), (base / WEIGHTS).stat().st_size
    return {
        "raw_bytes": raw_bytes,
        "new_bytes": new,
        "new_percent_of_raw": 100 * new / raw_bytes,
        "new_percent_of_fp32": 100 * new / fp32_bytes,
    }


if __name__ == "__main__":
    sys.exit(main())
