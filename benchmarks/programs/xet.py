"""hf_xet in a process of its own: xet.py commit STORE FOLDER… | xet.py restore STORE NUMBER OUT [NUMBER OUT]…

Uses the two functions of hf_xet for whole files, against a folder (`local://`). Reports the seconds of each; imports are not counted.
"""

import json
import sys
import time
import warnings
from pathlib import Path

warnings.simplefilter("ignore")  # these two are the quicker of hf_xet's interfaces, and deprecated

import hf_xet
from peak import report


def commit(store: Path, folder: Path) -> None:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    rows = hf_xet.upload_files(list(map(str, paths)), f"local://{store}", None, None, None, "model")
    files = [(str(path.relative_to(folder)), row.hash, row.file_size) for path, row in zip(paths, rows, strict=True)]
    number = len(list(store.glob("*.json")))
    (store / f"{number}.json").write_text(json.dumps(files))


def restore(store: Path, number: str, out: Path) -> None:
    files = json.loads((store / f"{number}.json").read_text())
    wanted = [hf_xet.PyXetDownloadInfo(str(out / name), digest, size) for name, digest, size in files]
    hf_xet.download_files(wanted, f"local://{store}", None, None, None)


def main(verb: str, place: str, *arguments: str) -> None:
    store, seconds = Path(place), []
    steps = [(folder,) for folder in arguments] if verb == "commit" else zip(arguments[::2], arguments[1::2], strict=True)
    for step in steps:
        started = time.perf_counter()
        if verb == "commit":
            commit(store, Path(step[0]))
        else:
            restore(store, step[0], Path(step[1]))
        seconds.append(time.perf_counter() - started)
    report(seconds)


if __name__ == "__main__":
    main(*sys.argv[1:])
