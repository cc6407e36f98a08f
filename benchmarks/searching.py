"""Searches over very many versions, whole processes: python -m benchmarks.searching [--versions 100000] [--models 20]

Makes a local registry whose versions are commits and log entries alone (written as they are, without syncing each), searches it once,
which reads all logs into the index, and then again and again, each time by a process of its own. Prints a table.
"""

import json
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

from benchmarks.measure import Cost, fresh_folder, options, run
from cas_registry.backends import Data
from cas_registry.backends.local import LocalBackend
from cas_registry.registry import registry_over
from cas_registry.settings import Settings

FIRST = ("number = 1", "--all", "--top", "1", "--json")
SEARCHES = (
    ("metrics.auc > 0.9 and params.lr < 1e-3 and tag = prod", "--all"),
    ("metrics.auc > 0.999", "--all", "--sort", "metrics.auc", "--top", "10"),
    ("metrics.auc >= prod and author ~ ana and age < 36500d", "--all", "--top", "10"),
    (
        "packages.package-7 = 1.7.2 and not (params.optimizer = adam or labels.state is null)",
        "--all",
        "--sort",
        "-metrics.loss",
        "--top",
        "10",
    ),
    ("message ~ 'nothing says so'", "--all"),
)
_PACKAGES = 80


class UnsyncedFolder(LocalBackend):
    """A folder that is filled quickly, by one writer; what it holds is as ever."""

    def create(self, key: str, data: Data) -> None:
        path = Path(self.url) / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options(__doc__)
    parser.add_argument("--versions", type=int, default=100_000, help="how many versions (default 100000)")
    parser.add_argument("--models", type=int, default=20, help="of how many models (default 20)")
    wanted = parser.parse_args(arguments)
    with fresh_folder(wanted.work) as folder:
        place = folder / "registry"
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "REG_CACHE": str(folder / "cache"), "REG_STATE": str(folder / "state"),
            "REG_REGISTRY": str(place),
        }  # fmt: skip

        def reg(*words: str) -> Cost:
            return run([sys.executable, "-m", "cas_registry", *words], cwd=folder, environment=environment)

        reg("init", str(place))
        fill(place, wanted.versions, wanted.models)
        first = reg("search", *FIRST)
        if json.loads(first.output)["count"] != 1:
            raise SystemExit(first.output)
        index_bytes = sum(file.stat().st_size for file in (folder / "cache" / "index").iterdir())
        print(f"{wanted.versions:,} versions of {wanted.models} models; index {index_bytes / 1e6:.0f} MB")
        print(f"first search, which reads all logs: {first.seconds:.1f} s, {first.peak_mib:.0f} MiB")
        print("| `reg search …` | found | min | median | max, s | peak MiB |\n|---|---|---|---|---|---|")
        for words in SEARCHES:
            costs = [reg("search", *words) for _ in range(wanted.runs)]
            found = json.loads(reg("search", *words, "--json").output)["count"]
            seconds = [cost.seconds for cost in costs]
            peak_mib = max(cost.peak_mib for cost in costs)
            print(
                f"| `{' '.join(words)}` | {found:,} | {min(seconds):.2f} | {statistics.median(seconds):.2f} | {max(seconds):.2f} | {peak_mib:.0f} |"
            )
    return 0


def fill(place: Path, versions: int, models: int) -> None:
    """The same versions in every run: ten params, five metrics, three labels, 80 packages that change now and then, a machine."""
    from tests.support.versions import LogWriter

    random = Random(0)  # noqa: S311 - data, no secret
    registry = registry_over(UnsyncedFolder(place), Settings(author="bench", cache_folder=None, state_folder=None))
    for number in range(models):
        writer = LogWriter(registry, f"model-{number:02}")
        own = versions // models + (number < versions % models)
        for version in range(own):
            writer.commit(
                author=random.choice(["ana@lab", "bob@lab", "eve@lab", "joe@lab"]),
                tags=["prod"] if version == own * 9 // 10 else (),
                params={
                    "lr": 10 ** random.uniform(-5, -1), "depth": random.randrange(20), "optimizer": random.choice(["adam", "sgd", "lion"]),
                    "seed": version, "warm": version % 2 == 0, **{f"p{k}": random.random() for k in range(5)},
                },
                metrics={"auc": random.random(), "loss": random.expovariate(1), **{f"m{k}": random.random() for k in range(3)}},
                labels={"team": f"team-{number % 3}", "reviewed": version % 7 == 0, "state": random.choice(["new", "good", "bad"])},
                framework={"torch": f"2.{version * 5 // own}"},
                packages={f"package-{k}": f"1.{k}.{version * 5 // own}" for k in range(_PACKAGES)},
                environment={"python": "3.12.1", "platform": "Linux-6.8-x86_64", "gpu.0": "NVIDIA A100"},
                code={"commit": f"{version // 20:040x}", "dirty": version % 3 == 0},
            )  # fmt: skip
        writer.finish()


if __name__ == "__main__":
    sys.exit(main())
