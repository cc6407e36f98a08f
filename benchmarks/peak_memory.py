"""Peak resident memory of one big safetensors file in, in again with all weights moved, and out: python benchmarks/peak_memory.py [--gigabytes 5] [--s3]"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import cas_registry as reg
from benchmarks.real_model import store

TENSOR_BYTES = 64 * 1024 * 1024


def run(verb: str, url: str, folder: str, options: dict[str, Any]) -> None:
    """One verb in a process of its own."""
    started = time.perf_counter()
    model = reg.open(url, storage_options=options).model("big")
    size = (
        model.commit(folder).raw_bytes
        if verb == "commit"
        else model.checkout("main", f"{folder}-out", cache=False).written_bytes
    )
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{verb:9} {size / 1e9:5.2f} GB  peak {peak} MiB  {seconds:.1f} s  {size / seconds / 1e6:.0f} MB/s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=5)
    parser.add_argument("--s3", action="store_true", help="on SeaweedFS instead of a local folder")
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        run(*arguments.run, json.loads(os.environ["REG_BENCH_OPTIONS"]))
        return
    with store(s3=arguments.s3) as (url, options), tempfile.TemporaryDirectory() as temporary:
        reg.init(url, storage_options=options)
        folder = Path(temporary) / "big"
        folder.mkdir()
        environment = {**os.environ, "REG_BENCH_OPTIONS": json.dumps(options), "REG_CACHE": str(Path(temporary) / "cache")}
        for step, verb in ((0, "commit"), (1, "commit"), (1, "checkout")):  # the second version is deltas to the first
            if verb == "commit":
                write_weights(folder / "model.safetensors", int(arguments.gigabytes * 1e9) // TENSOR_BYTES, step)
            subprocess.run([sys.executable, __file__, "--run", verb, url, str(folder)], check=True, env=environment)


def write_weights(path: Path, count: int, step: int) -> None:
    """A safetensors file of so many fp32 tensors of 64 MiB; those of a later step have moved a little."""
    import numpy as np

    names = [f"layer.{number}.weight" for number in range(count)]
    offsets = [number * TENSOR_BYTES for number in range(count + 1)]
    header = json.dumps(
        {
            name: {"dtype": "F32", "shape": [TENSOR_BYTES // 4], "data_offsets": [start, end]}
            for name, start, end in zip(names, offsets, offsets[1:], strict=False)
        }
    ).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for number in range(count):
            values = np.random.default_rng(number).standard_normal(TENSOR_BYTES // 4, dtype=np.float32)
            file.write((values * np.float32(1 + step * 1e-5)).tobytes())


if __name__ == "__main__":
    main()
