"""Planted bugs: sixteen mutations of a copy of the code, each of which a test must notice.

    python -m tests.reliability.mutants [NAME ...]

prints which test kills which. The product has no switch for any of them: the text of one module of the copy is changed, and the tests
run against the copy.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class Mutant:
    """In `module` of the package each text becomes the bug beside it; `killers` are the tests that are asked, one after another."""

    number: int
    name: str
    module: str
    changes: tuple[tuple[str, str], ...]
    killers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which test failed first with a bug in place; None: the bug survived."""

    mutant: Mutant
    killer: str | None


_READ_BACK = "            try:\n                landed = self._read_raw([number])[0]\n"
_CATCH_UP = (
    "        self._load()\n",
    "        self._pending = range(self._seen + 1, head.gc_seen + 1)\n",
    "        self._seen = head.gc_seen\n",
)
_SCHEDULES = "tests/reliability/test_t05_schedules.py"

MUTANTS = (
    Mutant(
        1, "the ref before the commit", "operations/commit.py",
        (
            (
                "        identity = stores.objects.write_commit(commit)\n",
                "        from cas_registry.model.commit import encode_commit\n\n        identity = CommitId.of(encode_commit(commit))\n",
            ),
            (
                "        if refs.log.append(entry):\n",
                "        if refs.log.append(entry):\n            stores.objects.write_commit(commit)\n",
            ),
        ),
        ("tests/operations/test_write_order.py",),
    ),
    Mutant(
        2, "no sync of a file", "backends/local.py", (("        os.fsync(handle)\n\n\n", "        pass\n\n\n"),),
        ("tests/backends/test_local.py",),
    ),
    Mutant(
        3, "no sync of a folder", "backends/local.py", (("                        _sync_folder(folder)\n", "                        pass\n"),),
        ("tests/backends/test_local.py",),
    ),
    Mutant(
        4, "a failed sync is ignored", "backends/local.py",
        (
            (
                "                    _sync_file(handle)\n",
                "                    with contextlib.suppress(OSError):\n                        _sync_file(handle)\n",
            ),
        ),
        ("tests/backends/test_local.py",),
    ),
    Mutant(
        5, "create looks first and writes then", "backends/local.py",
        (
            (
                "                os.link(temporary, path)\n",
                "                if path.exists():\n                    raise FileExistsError\n                os.rename(temporary, path)\n",
            ),
        ),
        ("tests/backends/test_local.py", "tests/contracts/test_backend_contract.py"),
    ),
    Mutant(
        6, "a refused create is never read back", "store/log.py",
        ((_READ_BACK, f"            if isinstance(failure, AlreadyExistsError):\n                return False\n{_READ_BACK}"),),
        ("tests/store/test_log.py",),
    ),
    Mutant(
        7, "a timeout is a failure, and the next number is taken", "store/log.py",
        ((_READ_BACK, f"            if isinstance(failure, BackendError):\n                return False\n{_READ_BACK}"),),
        ("tests/store/test_log.py",),
    ),
    Mutant(
        8, "nobody checks again after a barrier", "operations/commit.py",
        (("        if before and threats.catch_up(before) and not threats.spares_version(written.root):\n", "        if False:\n"),),
        ("tests/operations/test_collection.py",),
    ),
    Mutant(
        9, "the head is taken for known before its lists are read", "store/epochs.py",
        (("".join(_CATCH_UP), "".join((_CATCH_UP[0], _CATCH_UP[2], _CATCH_UP[1]))),),
        ("tests/store/test_epochs.py",),
    ),
    Mutant(
        10, "the catalogue is not fenced", "operations/collection.py",
        (
            (
                "        catalogue = self._stores.catalogue.log.fence(epoch, self._settled, time_ms=time_ms, who=who)\n",
                "        catalogue = self._stores.catalogue.head()\n",
            ),
        ),
        ("tests/operations/test_collection.py",),
    ),
    Mutant(
        11, "an error is an empty list", "operations/marking.py",
        (
            (
                "            roots = [version.map for version in self._stores.refs(model).versions(head)]\n",
                (
                    "            try:\n                roots = [version.map for version in self._stores.refs(model).versions(head)]\n"
                    "            except Exception:\n                roots = []\n"
                ),
            ),
        ),
        ("tests/operations/test_collection.py",),
    ),
    Mutant(
        12, "ranged reads are not verified", "store/objects.py",
        (("        if ChunkId.of(data) == item.placement.chunk:\n            return data\n", "        return data\n"),),
        ("tests/store/test_objects.py", "tests/operations/test_damage.py"),
    ),
    Mutant(
        13, "a hint is believed unseen", "store/objects.py",
        (("            return self._backend.stat(object_key(pack.name)).size_bytes == pack.size_bytes\n", "            return True\n"),),
        ("tests/operations/test_placing.py",),
    ),
    Mutant(
        14, "packs named by their content alone", "operations/transfer.py",
        (
            ("        self._builder = PackBuilder(os.urandom(16), buffer=self._buffers.take())\n        self._slot = PackSlot()\n        self._uploads",
             "        self._builder = PackBuilder(bytes(16), buffer=self._buffers.take())\n        self._slot = PackSlot()\n        self._uploads"),
        ),
        ("tests/operations/test_collection.py", _SCHEDULES),
    ),
    Mutant(
        15, "links are followed", "worktree/target.py",
        (("_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW |", "_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY |"),),
        ("tests/worktree/test_target.py",),
    ),
    Mutant(
        16, "the limit is checked after the memory was taken", "codecs/zstd.py",
        (
            (
                "        return decompressor.decompress(stored, max_output_size=raw_bytes, allow_extra_data=False)\n",
                "        return data\n",
            ),
            ("        announced = zstandard.frame_content_size(stored)\n", "        data = decompressor.decompress(stored)\n        announced = len(data)\n"),
        ),
        ("tests/codecs/test_zstd.py",),
    ),
)  # fmt: skip


def plant(mutant: Mutant, copy: Path) -> None:
    """Change the copy. Every text must be there exactly once: a mutant that is none would survive anything."""
    path = copy / "cas_registry" / mutant.module
    source = path.read_text(encoding="utf-8")
    for text, bug in mutant.changes:
        if source.count(text) != 1:
            raise SystemExit(f"mutant {mutant.number}: {mutant.module} has its text {source.count(text)} times: {text!r}")
        source = source.replace(text, bug)
    path.write_text(source, encoding="utf-8")


def try_mutant(mutant: Mutant) -> Verdict:
    """Run the tests against a copy with the bug in it, until one fails."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        ignored = shutil.ignore_patterns("data", ".*")  # with what was compiled: it holds for files of the same age
        for name in ("cas_registry", "tests", "docs"):
            shutil.copytree(ROOT / name, copy / name, ignore=ignored)
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, copy / name)
        plant(mutant, copy)
        for killer in mutant.killers:
            command = [
                sys.executable,
                "-m",
                "pytest",
                "-x",
                "-q",
                "-n",
                "0",
                "-p",
                "no:cacheprovider",
                "--timeout",
                "120",
                killer,
            ]
            done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
            if done.returncode == 1 and (failed := re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)):
                return Verdict(mutant, failed[1])
            if done.returncode not in (0, 1):
                raise SystemExit(
                    f"mutant {mutant.number}: pytest ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
                )
    return Verdict(mutant, None)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.reliability.mutants", description="Which test kills which planted bug."
    )
    parser.add_argument("number", nargs="*", type=int, help="only these")
    wanted = parser.parse_args(arguments)
    survivors = 0
    for mutant in MUTANTS:
        if wanted.number and mutant.number not in wanted.number:
            continue
        verdict = try_mutant(mutant)
        survivors += verdict.killer is None
        print(f"{mutant.number:>2}  {mutant.name:<55}  {verdict.killer or 'SURVIVED'}", flush=True)  # noqa: T201 - a command
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
