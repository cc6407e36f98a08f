"""The machine, from what it says of itself."""

import getpass
import os
import platform
import socket
from pathlib import Path

import pytest

from cas_registry.operations.capture import machine
from cas_registry.operations.capture.machine import _machine, find_machine


@pytest.fixture(autouse=True)
def _forget() -> None:
    _machine.cache_clear()


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_this_machine() -> None:
    found = find_machine()
    assert found["os"].startswith(platform.system())
    assert found["machine"] == platform.machine()
    assert found["memory_bytes"] > 2**26
    assert 1 <= found["cpu_count"] <= (os.cpu_count() or 1)


def test_neither_host_nor_user_are_told() -> None:
    told = " ".join(map(str, find_machine().values())).split()
    assert socket.gethostname() not in told
    assert getpass.getuser() not in told


def test_processor_and_distribution(tmp_path: Path) -> None:
    write(tmp_path, **{
        "proc/cpuinfo": "processor\t: 0\nmodel name\t: AMD EPYC 7B13\nprocessor\t: 1\nmodel name\t: other\n",
        "etc/os-release": 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 24.04.1 LTS"\n',
    })  # fmt: skip
    found = _machine(tmp_path)
    assert (found["cpu"], found["distribution"]) == ("AMD EPYC 7B13", "Ubuntu 24.04.1 LTS")
    assert "container" not in found


@pytest.mark.parametrize(
    ("mark", "kind"),
    [(".dockerenv", "docker"), ("run/.containerenv", "podman"), ("var/run/secrets/kubernetes.io/x", "kubernetes"), (".singularity.d/x", "apptainer")],
)  # fmt: skip
def test_a_container_is_noticed(tmp_path: Path, mark: str, kind: str) -> None:
    assert _machine(write(tmp_path, **{mark: ""}))["container"] == kind


def test_gpus_from_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_gpus_of_program", lambda: pytest.fail("nvidia-smi was asked"))
    gpus = {
        f"proc/driver/nvidia/gpus/0000:0{number}:00.0/information": f"Model: \t\t NVIDIA A100-SXM4-80GB\nIRQ:   {number}\n"
        for number in (1, 2)
    }
    version = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n"
    found = _machine(write(tmp_path, **gpus, **{"proc/driver/nvidia/version": version}))
    assert (found["gpu.0"], found["gpu.1"], found["gpu_driver"]) == (
        "NVIDIA A100-SXM4-80GB",
        "NVIDIA A100-SXM4-80GB",
        "535.104.05",
    )


@pytest.mark.parametrize("code", [0, 1])
def test_gpus_from_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    program = (
        write(tmp_path, **{"bin/nvidia-smi": f"#!/bin/sh\necho 'NVIDIA L4, 550.54.15'\nexit {code}\n"}) / "bin" / "nvidia-smi"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    found = _machine(tmp_path)
    assert (found.get("gpu.0"), found.get("gpu_driver")) == (("NVIDIA L4", "550.54.15") if code == 0 else (None, None))
