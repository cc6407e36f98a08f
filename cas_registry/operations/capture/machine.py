"""The machine: operating system, processor, memory, GPUs, and whether it is a container. No host's name and no user's."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from cas_registry.model.canonical import Scalar

MAX_GPUS = 64
NVIDIA_SMI_TIMEOUT_S = 2.0
_PROC_BYTES = 64 * 1024  # of /proc/cpuinfo, which repeats itself for every core
_CONTAINERS = (  # what lies in a container of that kind, and nowhere else
    ("kubernetes", "var/run/secrets/kubernetes.io"),
    ("podman", "run/.containerenv"),
    ("apptainer", ".singularity.d"),
    ("docker", ".dockerenv"),
)
_CPU = re.compile(r"^(?:model name|Processor|cpu model|cpu)\s*:\s*(.+)$", re.MULTILINE)
_DISTRIBUTION = re.compile(r'^PRETTY_NAME="?([^"\n]{1,200})"?$', re.MULTILINE)
_GPU = re.compile(r"^Model:\s*(.+)$", re.MULTILINE)
_DRIVER = re.compile(r"Kernel Module\D*\s(\d+(?:\.\d+)+)")


def find_machine() -> dict[str, Scalar]:
    """`os`, `distribution`, `machine`, `cpu`, `cpu_count` (those that this process may use), `memory_bytes`, `container`, `gpu.0`, `gpu.1`, …,
    `gpu_driver`: those that can be found out. What is asked of a program is asked once a process."""
    return dict(_machine(Path("/")))


@cache
def _machine(root: Path) -> dict[str, Scalar]:
    found: dict[str, Scalar | None] = {
        "os": f"{platform.system()} {platform.release()}".strip(),
        "distribution": _first(_DISTRIBUTION, root / "etc/os-release"),
        "machine": platform.machine(),
        "cpu": _first(_CPU, root / "proc/cpuinfo") or (platform.processor() if os.name == "nt" else None),
        "cpu_count": _cpu_count(),
        "memory_bytes": _memory_bytes(),
        "container": next((kind for kind, mark in _CONTAINERS if (root / mark).exists()), None),
        **(_gpus_of_driver(root) or _gpus_of_program()),
    }
    return {name: value for name, value in found.items() if value}


def _cpu_count() -> int | None:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count()


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _gpus_of_driver(root: Path) -> dict[str, Scalar]:
    """The GPUs as NVIDIA's driver for Linux lists them: nvidia-smi, which says the same, takes up to a second."""
    try:
        folders = sorted((root / "proc/driver/nvidia/gpus").iterdir())[:MAX_GPUS]
    except OSError:
        return {}
    names = [name for folder in folders if (name := _first(_GPU, folder / "information"))]
    return _named(names, _first(_DRIVER, root / "proc/driver/nvidia/version"))


def _gpus_of_program() -> dict[str, Scalar]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return {}
    try:
        done = subprocess.run(  # noqa: S603 - no shell, constants only
            [os.path.abspath(program), "--query-gpu=name,driver_version", "--format=csv,noheader"],  # noqa: PTH100 - PATH may hold relative folders
            capture_output=True, stdin=subprocess.DEVNULL, timeout=NVIDIA_SMI_TIMEOUT_S, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return {}
    rows = [line.rpartition(",") for line in done.stdout.decode("utf-8", "replace").splitlines() if "," in line][:MAX_GPUS]
    return _named([name.strip() for name, _, _ in rows], rows[0][2].strip() if rows else None)


def _named(names: list[str], driver: str | None) -> dict[str, Scalar]:
    gpus: dict[str, Scalar] = {f"gpu.{number}": name for number, name in enumerate(names)}
    return {**gpus, "gpu_driver": driver} if gpus and driver else gpus


def _first(pattern: re.Pattern[str], file: Path) -> str | None:
    try:
        with file.open("rb") as opened:
            found = pattern.search(opened.read(_PROC_BYTES).decode("utf-8", "replace"))
    except OSError:
        return None
    return found[1].strip() if found else None
