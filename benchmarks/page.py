"""The page of all figures, and its plot, from files of samples: python -m benchmarks.page FILE.json… --page docs/benchmarks.md"""

import argparse
import sys
from collections.abc import Callable
from functools import reduce
from pathlib import Path

from benchmarks.measure import Recorder, Results
from benchmarks.plot import plot
from benchmarks.stores import OURS, PEERS
from benchmarks.tables import Figure, rate, ratio_table, ratios, raw, table

STORED = Figure("stored/raw", raw("stored_bytes", of="raw_bytes"), digits=3, more_is_better=False)
COMMIT = Figure("commit MB/s", rate("raw_bytes", "commit_s"))
RESTORE = Figure("restore MB/s", rate("raw_bytes", "restore_s"))
PEAKS = [
    Figure("commit peak MiB", raw("commit_peak_mib"), more_is_better=False),
    Figure("restore peak MiB", raw("restore_peak_mib"), more_is_better=False),
]
SHARING = [
    Figure("new MB", raw("new_bytes", scale=1e6), digits=2, more_is_better=False),
    Figure("% of its raw bytes", raw("new_percent_of_raw"), digits=2, more_is_better=False),
    Figure("% of the fp32 weights", raw("new_percent_of_fp32"), digits=2, more_is_better=False),
]
WIRE = [
    Figure("seconds", raw("seconds"), digits=3, more_is_better=False),
    Figure("MB/s", rate("raw_bytes", "seconds")),
    Figure("peak MiB", raw("peak_mib"), more_is_better=False),
    Figure("requests", raw("requests"), more_is_better=False),
    Figure("MB sent", raw("sent_bytes", scale=1e6), digits=2, more_is_better=False),
    Figure("MB received", raw("received_bytes", scale=1e6), digits=2, more_is_better=False),
]
MANY_FILES = [
    Figure("seconds", raw("seconds"), digits=2, more_is_better=False),
    Figure("files", raw("files")),
    Figure("files read", raw("files_read"), more_is_better=False),
    Figure("MB/s", rate("read_bytes", "seconds")),
    Figure("peak MiB", raw("peak_mib"), more_is_better=False),
]
DEDUPLICATING = [peer.title for peer in PEERS.values() if peer.deduplicates and peer.title != OURS]

PEERS_TEXT = """\
Whole processes: every version committed by a process of its own, then every version restored by one into a fresh folder and compared
byte for byte. Stores take turns (run 1 of each, run 2 of each, …), each run on an empty store. Input is in the page cache, dirty
pages are written back before each timed process, and a process is timed until it ends; some stores sync what they write, among them
cas_registry, some do not. borg and tar compress with zstd at level 1. git-lfs and DVC keep versions in their local caches; a push would come on top. Peak is resident memory of the
largest process of a store; the measuring process's own (about 20 MiB) is the least that shows. `cp` is what the disk allows."""
RATIOS_TEXT = """\
cas_registry ÷ the best other store that deduplicates below whole files (best by its median, chosen for each figure), run by run: median
(minimum-maximum) of the ratios of runs that stood beside each other."""
INPROCESS_TEXT = """\
Both by their Python API, each in one process that commits all versions and one that restores all; imports and opening the store are not
counted."""
SHARING_TEXT = """\
What a store grows by when the same weights come back in another shape, after the last checkpoint of `full-fp32` was committed. Exact,
the same in every run."""
WIRE_TEXT = """\
SeaweedFS on loopback; each step in a process of its own, imports and opening not counted. Requests and bytes are those on the wire, counted
by a proxy in a run that is not timed; bytes include headers. s3fs and obstore copy the same files as they are."""
MANY_FILES_TEXT = """\
Whole processes of `reg commit` over many files of random bytes, on a local registry."""


def peers_section(results: Results) -> str:
    samples = results.select("peers")
    figures = [STORED, COMMIT, RESTORE]
    compared = ratio_table(ratios(samples, figures, OURS, DEDUPLICATING), case="series", ours=OURS)
    absolute = table(samples, [*figures, *PEAKS], case="series")
    return f"{PEERS_TEXT}\n\n{absolute}\n\n### Ratios\n\n{RATIOS_TEXT}\n\n{compared}"


def inprocess_section(results: Results) -> str:
    samples = results.select("inprocess")
    compared = ratio_table(ratios(samples, [COMMIT, RESTORE], OURS, DEDUPLICATING), case="series", ours=OURS)
    return f"{INPROCESS_TEXT}\n\n{table(samples, [COMMIT, RESTORE, *PEAKS], case='series')}\n\n{compared}"


def sharing_section(results: Results) -> str:
    return f"{SHARING_TEXT}\n\n{table(results.select('sharing'), SHARING, case='what is committed')}"


def s3_section(results: Results) -> str:
    samples = results.select("s3")
    compared = ratio_table(ratios(samples, [WIRE[0]], OURS, ["s3fs", "obstore"]), case="step", ours=OURS)
    return f"{WIRE_TEXT}\n\n{table(samples, WIRE, case='step', store='client')}\n\n{compared}"


def many_files_section(results: Results) -> str:
    return f"{MANY_FILES_TEXT}\n\n{table(results.select('many_files'), MANY_FILES, case='step')}"


SECTIONS: dict[str, tuple[str, Callable[[Results], str]]] = {
    "peers": ("Against other stores", peers_section),
    "inprocess": ("In one process, against hf_xet", inprocess_section),
    "sharing": ("The same weights in another shape", sharing_section),
    "s3": ("On S3", s3_section),
    "many_files": ("Many files", many_files_section),
}


def publish(recorder: Recorder, page: Path | None) -> None:
    """Print the section of the benchmark that was run; write the page of everything that its file of samples holds."""
    if recorder.benchmark in {sample.benchmark for sample in recorder.results.samples}:
        title, section = SECTIONS[recorder.benchmark]
        print(f"\n## {title}\n\n{caption(recorder.results)}\n\n{section(recorder.results)}")
    if page and not recorder.failures:
        write_page(recorder.results, page)


def write_page(results: Results, page: Path) -> None:
    """The page, and beside it the plot of the peers."""
    parts = ["# Benchmarks", f"Written by `python -m benchmarks` from its samples; not by hand. {caption(results)}"]
    for name, (title, section) in SECTIONS.items():
        if results.select(name):
            parts += [f"## {title}", section(results)]
        if name == "peers" and results.select(name):
            drawing = page.with_suffix(".svg")
            drawing.write_text(plot(results.select(name), [STORED, COMMIT, RESTORE], ours=OURS))
            parts.append(f"![Stored bytes, commit and restore speed by store]({drawing.name})")
    page.write_text("\n\n".join(parts) + "\n")


def caption(results: Results) -> str:
    """Which machine and which versions; medians of n runs with minimum and maximum."""
    machine = results.machine
    versions = ", ".join(f"{store} {version}" for store, version in results.versions.items())
    return (
        f"Medians of n runs (minimum-maximum). {machine['cores']} cores of {machine['cpu']}, {machine['memory']} of memory, "
        f"{machine['system']}, Python {machine['python']}; {versions}. 1 MB is 10⁶ bytes, 1 MiB 2²⁰."
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("samples", metavar="FILE.json", nargs="+", type=Path)
    parser.add_argument("--page", metavar="FILE.md", type=Path, required=True)
    arguments = parser.parse_args()
    results = reduce(_merged, map(Results.load, arguments.samples))
    write_page(results, arguments.page)
    return 0


def _merged(left: Results, right: Results) -> Results:
    left.merge(right)
    return left


if __name__ == "__main__":
    sys.exit(main())
