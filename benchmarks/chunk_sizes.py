"""Stored/raw by chunk size: python benchmarks/chunk_sizes.py SERIES…, each a folder of checkpoint folders."""

import shutil
import sys
import tempfile
import time
from pathlib import Path

from cas_registry.registry import init_registry
from cas_registry.settings import Settings

SIZES = [kibibytes * 1024 for kibibytes in (16, 32, 64, 128, 256, 512, 1024)]


def main() -> None:
    for chunk_bytes in SIZES:
        for series in map(Path, sys.argv[1:]):
            folder = Path(tempfile.mkdtemp())
            registry = init_registry(folder / "registry", Settings(author="bench", cache_folder=None), chunk_bytes=chunk_bytes)
            model = registry.model("series")
            started = time.perf_counter()
            for version in sorted(series.iterdir()):
                model.commit(version)
            commit_s = time.perf_counter() - started
            stats = registry.stats()
            started = time.perf_counter()
            report = model.checkout("main", folder / "out")
            checkout_s = time.perf_counter() - started
            print(
                f"{chunk_bytes // 1024:5} KiB  {series.name:14} stored/raw {stats.ratio:.4f}  maps {stats.bytes['maps'] / 1e3:6.0f} kB  "
                f"commit {stats.raw_bytes / commit_s / 1e6:5.0f} MB/s  checkout {report.written_bytes / checkout_s / 1e6:5.0f} MB/s",
                flush=True,
            )
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
