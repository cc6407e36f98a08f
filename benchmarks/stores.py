"""The stores that are compared, as their users run them: one class each, every verb a process of its own.

A store lives in a fresh `Room` for one run. git-lfs and DVC keep what they version in a work tree: files are laid there outside of
the timing, and nothing is pushed. Everything else takes a folder from where it lies.
"""

import json
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from benchmarks.measure import ROOT, Cost, Tools, isolated, run, size_bytes

PROGRAMS = ROOT / "benchmarks" / "programs"
OURS = "cas_registry"


@dataclass(frozen=True, slots=True)
class Room:
    """A fresh folder for one store and one run, with a home of its own."""

    folder: Path
    tools: Tools

    @property
    def place(self) -> Path:
        """Where the store's own folder goes."""
        return self.folder / "store"

    def run(self, *command: str | Path, cwd: Path | None = None) -> Cost:
        home = self.folder / "home"
        environment = {
            **isolated(home, self.tools),
            **{f"GIT_{who}_{what}": "bench@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
            "GIT_CONFIG_NOSYSTEM": "1",
            "RESTIC_PASSWORD": "bench",
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
            "DVC_NO_ANALYTICS": "1",
        }
        return run(command, cwd=cwd or self.folder, environment=environment)

    def shell(self, script: str, *, cwd: Path | None = None) -> Cost:
        return self.run("bash", "-euo", "pipefail", "-c", script, cwd=cwd)


class Peer(Protocol):
    """A store under measurement: versions are folders, numbered as they are committed."""

    title: ClassVar[str]
    deduplicates: ClassVar[bool]  # below the level of whole files
    leaves: ClassVar[tuple[str, ...]]  # names that it adds to a restored folder

    @staticmethod
    def version(tools: Tools) -> str | None:
        """Which version is installed; None if it is not."""

    def __init__(self, room: Room) -> None:
        """Make an empty store."""

    def commit(self, version: Path) -> Cost:
        """Take in a folder as the next version."""

    def restore(self, number: int, out: Path) -> Cost:
        """Lay a version into the empty folder `out`."""

    def stored_bytes(self) -> int:
        """What the store takes on disk, its metadata included."""


class CasRegistry:
    title = OURS
    deduplicates = True
    leaves = (".reg",)

    @staticmethod
    def version(tools: Tools) -> str | None:  # noqa: ARG004 - the one that this Python has
        import cas_registry

        return cas_registry.__version__

    def __init__(self, room: Room) -> None:
        self._room = room
        self._count = 0
        self._reg("init", room.place)

    def commit(self, version: Path) -> Cost:
        self._count += 1
        return self._reg("commit", version, "-R", self._room.place, "-M", "series", "-q")

    def restore(self, number: int, out: Path) -> Cost:
        revision = f"main~{self._count - 1 - number}"
        return self._reg("checkout", revision, out, "-R", self._room.place, "-M", "series", "-q")

    def stored_bytes(self) -> int:
        return size_bytes(self._room.place)

    def _reg(self, *arguments: str | Path) -> Cost:
        return self._room.run(sys.executable, "-m", "cas_registry", *arguments)


class HfXet:
    title = "hf_xet"
    deduplicates = True
    leaves = ()

    @staticmethod
    def version(tools: Tools) -> str | None:
        return _package_version(tools, "hf_xet", "hf-xet")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._count = 0
        room.place.mkdir()

    def commit(self, version: Path) -> Cost:
        self._count += 1
        return self._program("commit", version)

    def restore(self, number: int, out: Path) -> Cost:
        return self._program("restore", str(number), out)

    def stored_bytes(self) -> int:
        return size_bytes(self._room.place / "xet" / "xorbs")

    def _program(self, verb: str, *arguments: str | Path) -> Cost:
        python = self._room.tools.python("hf_xet") or sys.executable
        return self._room.run(python, PROGRAMS / "xet.py", verb, self._room.place, *arguments)


class Restic:
    title = "restic"
    deduplicates = True
    leaves = ()

    @staticmethod
    def version(tools: Tools) -> str | None:
        return _program_version(tools, "restic", "version")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._snapshots: list[str] = []
        room.run("restic", "init", "-r", room.place)

    def commit(self, version: Path) -> Cost:
        cost = self._room.run("restic", "-r", self._room.place, "backup", "--json", ".", cwd=version)
        self._snapshots.append(json.loads(cost.output.strip().splitlines()[-1])["snapshot_id"])
        return cost

    def restore(self, number: int, out: Path) -> Cost:
        return self._room.run("restic", "-r", self._room.place, "restore", self._snapshots[number], "--target", out)

    def stored_bytes(self) -> int:
        return size_bytes(self._room.place)


class Borg:
    title = "borg"
    deduplicates = True
    leaves = ()

    @staticmethod
    def version(tools: Tools) -> str | None:
        return _program_version(tools, "borg", "--version")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._count = 0
        room.run("borg", "init", "-e", "none", room.place)

    def commit(self, version: Path) -> Cost:
        self._count += 1
        return self._room.run("borg", "create", "-C", "zstd,1", f"{self._room.place}::{self._count - 1}", ".", cwd=version)

    def restore(self, number: int, out: Path) -> Cost:
        return self._room.run("borg", "extract", f"{self._room.place}::{number}", cwd=out)

    def stored_bytes(self) -> int:
        return size_bytes(self._room.place)


class Casync:
    title = "casync"
    deduplicates = True
    leaves = ()

    @staticmethod
    def version(tools: Tools) -> str | None:
        return _program_version(tools, "casync", "--version")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._count = 0
        room.place.mkdir()

    def commit(self, version: Path) -> Cost:
        self._count += 1
        return self._casync("make", self._index(self._count - 1), version)

    def restore(self, number: int, out: Path) -> Cost:
        return self._casync("extract", self._index(number), out)

    def stored_bytes(self) -> int:
        return size_bytes(self._room.place)

    def _casync(self, verb: str, *arguments: Path) -> Cost:
        return self._room.run("casync", verb, f"--store={self._room.place / 'chunks.castr'}", *arguments)

    def _index(self, number: int) -> Path:
        return self._room.place / f"{number}.caidx"


class GitLfs:
    title = "git-lfs"
    deduplicates = False
    leaves = (".gitattributes",)

    @staticmethod
    def version(tools: Tools) -> str | None:
        return _program_version(tools, "git-lfs", "version")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._count = 0
        room.place.mkdir()
        room.shell("git init -q . && git lfs install --local && git lfs track '*.safetensors' '*.pt' '*.bin'", cwd=room.place)

    def commit(self, version: Path) -> Cost:
        keep = {".git", ".gitattributes"}
        for path in self._room.place.iterdir():
            if path.name not in keep:
                _remove(path)
        shutil.copytree(version, self._room.place, dirs_exist_ok=True)
        self._count += 1
        name = f"v{self._count - 1}"
        return self._room.shell(f"git add -A && git commit -qm {name} && git tag {name}", cwd=self._room.place)

    def restore(self, number: int, out: Path) -> Cost:
        return self._room.run("git", f"--work-tree={out}", "checkout", "-f", f"v{number}", "--", ".", cwd=self._room.place)

    def stored_bytes(self) -> int:
        return size_bytes(self._room.place / ".git")


class Dvc:
    title = "DVC"
    deduplicates = False
    leaves = ()

    @staticmethod
    def version(tools: Tools) -> str | None:
        return _program_version(tools, "dvc", "--version")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._count = 0
        room.place.mkdir()
        setup = "git init -q . && dvc init -q && dvc config core.check_update false && git add -A && git commit -qm start"
        room.shell(setup, cwd=room.place)

    def commit(self, version: Path) -> Cost:
        self._clear()
        shutil.copytree(version, self._room.place / "model")
        self._count += 1
        name = f"v{self._count - 1}"
        script = f"dvc add -q model && git add -A && git commit -qm {name} && git tag {name}"
        return self._room.shell(script, cwd=self._room.place)

    def restore(self, number: int, out: Path) -> Cost:
        self._clear()
        cost = self._room.shell(f"git checkout -q v{number} && dvc checkout -q", cwd=self._room.place)
        out.rmdir()
        (self._room.place / "model").rename(out)
        return cost

    def stored_bytes(self) -> int:
        return size_bytes(self._room.place / ".dvc" / "cache")

    def _clear(self) -> None:
        if (self._room.place / "model").exists():
            _remove(self._room.place / "model")


class Modelstore:
    title = "modelstore"
    deduplicates = False
    leaves = ()

    @staticmethod
    def version(tools: Tools) -> str | None:
        return _package_version(tools, "modelstore", "modelstore")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._ids: list[str] = []

    def commit(self, version: Path) -> Cost:
        cost = self._program("commit", version)
        self._ids.append(cost.output.split()[-1])
        return cost

    def restore(self, number: int, out: Path) -> Cost:
        return self._program("restore", self._ids[number], out)

    def stored_bytes(self) -> int:
        return size_bytes(self._room.place)

    def _program(self, verb: str, *arguments: str | Path) -> Cost:
        python = self._room.tools.python("modelstore") or sys.executable
        return self._room.run(python, PROGRAMS / "modelstore_folder.py", verb, self._room.place, *arguments)


class TarZstd:
    title = "tar + zstd"
    deduplicates = False
    leaves = ()

    @staticmethod
    def version(tools: Tools) -> str | None:
        return _program_version(tools, "zstd", "--version") if tools.program("tar") else None

    def __init__(self, room: Room) -> None:
        self._room = room
        self._count = 0
        room.place.mkdir()

    def commit(self, version: Path) -> Cost:
        self._count += 1
        archive = shlex.quote(str(self._archive(self._count - 1)))
        return self._room.shell(f"tar c . | zstd -q -1 -T0 > {archive}", cwd=version)

    def restore(self, number: int, out: Path) -> Cost:
        return self._room.shell(f"zstd -qdc {shlex.quote(str(self._archive(number)))} | tar x", cwd=out)

    def stored_bytes(self) -> int:
        return size_bytes(self._room.place)

    def _archive(self, number: int) -> Path:
        return self._room.place / f"{number}.tar.zst"


class Cp:
    title = "cp"
    deduplicates = False
    leaves = ()

    @staticmethod
    def version(tools: Tools) -> str | None:
        return _program_version(tools, "cp", "--version")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._count = 0
        room.place.mkdir()

    def commit(self, version: Path) -> Cost:
        self._count += 1
        return self._room.run("cp", "-r", version, self._room.place / str(self._count - 1))

    def restore(self, number: int, out: Path) -> Cost:
        return self._room.run("cp", "-r", f"{self._room.place / str(number)}/.", out)

    def stored_bytes(self) -> int:
        return size_bytes(self._room.place)


PEERS: dict[str, type[Peer]] = {
    "cas_registry": CasRegistry,
    "hf_xet": HfXet,
    "restic": Restic,
    "borg": Borg,
    "casync": Casync,
    "git-lfs": GitLfs,
    "dvc": Dvc,
    "modelstore": Modelstore,
    "tar-zstd": TarZstd,
    "cp": Cp,
}


def installed(tools: Tools, wanted: list[str] | None = None) -> dict[type[Peer], str]:
    """The peers that can be measured here with their versions; of those wanted, or of all. Says which are missing."""
    found = {}
    for name in wanted or PEERS:
        version = PEERS[name].version(tools)
        if version is None:
            print(f"{name} is not installed: left out")
        else:
            found[PEERS[name]] = version
    return found


def _program_version(tools: Tools, name: str, option: str) -> str | None:
    if tools.program(name) is None:
        return None
    output = run([name, option], cwd=ROOT, environment={"PATH": tools.path, "LANG": "C.UTF-8"}).output
    found = re.search(r"\d+(\.\d+)+", output) or re.search(r"\d+", output)
    return found[0] if found else "of unknown version"


def _package_version(tools: Tools, package: str, distribution: str) -> str | None:
    python = tools.python(package)
    if python is None:
        return None
    script = f"import importlib.metadata as m; print(m.version({distribution!r}))"
    return run([python, "-c", script], cwd=ROOT, environment={"PATH": tools.path}).output.split()[-1]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
