"""Everything, and the page of it: python -m benchmarks OUT

Makes the series in OUT unless they are there, runs each benchmark in turn, keeps all samples in OUT/samples.json, and writes docs/benchmarks.md
and its plot when nothing failed. About two hours on two cores with all stores installed.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import inprocess, many_files, peers, s3, sharing
from benchmarks.measure import ROOT, Results, Tools, options
from benchmarks.page import SECTIONS, write_page


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options(__doc__)
    parser.add_argument("out", metavar="OUT", type=Path, help="holds the series, the derived folders and the samples")
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS), help="these benchmarks only")
    wanted = parser.parse_args(arguments)
    out: Path = wanted.out.resolve()
    samples = wanted.json or out / "samples.json"
    series, derived = out / "series", out / "derived"
    if not series.is_dir():
        make_series(out, Tools(wanted.venvs))
    shared = ["--json", str(samples), "--venvs", str(wanted.venvs), *(["--work", str(wanted.work)] if wanted.work else [])]
    runs = ["--runs", str(wanted.runs)]
    steps = {
        "peers": lambda: peers.main([str(series), *runs, *shared]),
        "inprocess": lambda: inprocess.main([str(series), *runs, *shared]),
        "sharing": lambda: sharing.main([str(derived), str(series), *shared]),
        "s3": lambda: s3.main([str(series), *runs, *shared]),
        "many_files": lambda: many_files.main([*runs, *shared]),
    }
    failed = [name for name in wanted.only if steps[name]()]
    if failed:
        print(f"no page was written: {', '.join(failed)} failed", file=sys.stderr)
        return 1
    write_page(Results.load(samples), wanted.page or ROOT / "docs" / "benchmarks.md")
    return 0


def make_series(out: Path, tools: Tools) -> None:
    """By whichever Python has torch."""
    python = tools.python("torch")
    if python is None:
        raise argparse.ArgumentTypeError("no Python with torch was found to make the series; see benchmarks/README.md")
    subprocess.run([python, "-m", "benchmarks.series", str(out)], cwd=ROOT, check=True)


if __name__ == "__main__":
    sys.exit(main())
