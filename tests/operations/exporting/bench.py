"""A registry with one model and a version that has all kinds of paths: deep, executable, empty, of other alphabets."""

from pathlib import Path
from typing import Any

import numpy as np

from cas_registry.backends.memory import MemoryBackend
from cas_registry.registry import Model, registry_over
from tests.support.folders import File, Folder, write_folder
from tests.support.simulated import HookedBackend, make_registry, make_world


class Bench:
    """Two versions on main: `weights.bin` is of both, `config.json` differs."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.work = place / "work"
        self.requests: list[tuple[str, str]] = []
        self.before: list[Any] = []
        store = HookedBackend(MemoryBackend(), self._hook)
        make_registry(store)
        self.registry = registry_over(store, make_world(place / "cache"))

    def _hook(self, method: str, key: str) -> None:
        self.requests.append((method, key))
        for action in self.before:
            action(method, key)

    @property
    def model(self) -> Model:
        return self.registry.model("fraud")

    def commit(self, files: Folder, **words: Any) -> str:
        write_folder(self.work, files)
        return self.model.commit(self.work, capture=False, **words).commit.hex

    def two_versions(self) -> tuple[str, str]:
        first = self.commit(files(1), message="first", metrics={"auc": 0.9}, params={"lr": 0.1}, labels={"owner": "risk"})
        second = self.commit(files(2), message="second")
        return first, second

    def packs_read(self) -> int:
        """How many reads of packs there were since the last time that was asked."""
        found = sum(1 for method, key in self.requests if method == "get" and key.startswith("packs/"))
        self.requests.clear()
        return found


def files(number: int) -> dict[str, File | None]:
    """What a version holds."""
    big = np.random.default_rng(7).bytes(1_500_000)
    return {
        "weights.bin": File(big),
        "copy/weights.bin": File(big),
        "config.json": File(b'{"layers": %d}' % number),
        "run.sh": File(b"#!/bin/sh\n", executable=True),
        "empty.txt": File(b""),
        "hollow/inner": None,
        "a-b/x.txt": File(b"x"),
        "a/b/c/d.txt": File(b"deep"),
        "naïve/模型.md": File("# Größe\n".encode()),
        "long/" + "n" * 120 + "/" + "m" * 120 + ".txt": File(b"long"),
    }
