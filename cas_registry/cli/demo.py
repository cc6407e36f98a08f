"""`reg demo` as a story: every `$ reg …` line is run by the verb itself, in a folder of its own."""

import contextlib
import json
import os
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import blake3
import click
import numpy as np

from cas_registry.cli import text
from cas_registry.cli.demo_model import CharacterModel, read_sources, write_safetensors
from cas_registry.cli.output import Document, Line, Paper, Styled, Table, View
from cas_registry.errors import IntegrityError
from cas_registry.operations.history import LogRecord
from cas_registry.registry import Registry

MODEL = "writer"
_STEPS = 70
_HEAD_STEPS = 40
_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Told:
    """How the story ended: the versions, oldest first, each verified byte for byte after its checkout."""

    folder: str | None
    seconds: float
    versions: list[LogRecord]
    stored_bytes: int


def tell(folder: Path, open_registry: Callable[[str], Registry], *, keep: bool) -> Told:
    """Tell the story in an empty folder. IntegrityError if a version comes out other than it went in."""
    started = time.monotonic()
    with _working_in(folder):
        _Story().tell()
        registry = open_registry("registry")
        versions = registry.model(MODEL).log("main")[::-1]
        stored = registry.stats().stored_bytes
    return Told(str(folder) if keep else None, time.monotonic() - started, versions, stored)


class _Story:
    def __init__(self) -> None:
        self._random = np.random.default_rng(2026)
        self._out = Path("model")
        self._committed: list[dict[str, str]] = []

    def tell(self) -> None:
        self._out.mkdir()
        self._reg(f"init registry --model {MODEL}")
        sources = read_sources()
        model = CharacterModel.fresh(self._random)
        parameters = sum(tensor.size for tensor in model.tensors.values())
        _say(
            f"Train {parameters / 1e6:.1f} million parameters to write Python, on {text.size(len(sources))} of its standard library"
        )
        loss = model.train(sources, self._random, steps=_STEPS)
        self._save(model, temperature=1.0)
        self._commit("trained on the standard library", loss, f"--param steps={model.steps} --tag prod")

        _say("Train the head alone for some more steps: the other tensors stay as they are")
        loss = model.train(sources, self._random, steps=_HEAD_STEPS, only="head")
        self._save(model, temperature=1.0)
        self._commit("head tuned further", loss, f"--param steps={model.steps}")
        self._reg("diff prod main")
        self._reg('tag prod main -m "lower loss"')

        _say("Change one line of config.json")
        self._save(model, temperature=0.8)
        self._commit("cooler by default", loss, f"--param steps={model.steps}")
        self._reg("log")
        self._reg("tag --history prod")
        self._reg("ls main")

        _say("Take every version out again and compare each file's BLAKE3 with the one that went in")
        for number, expected in enumerate(self._committed, start=1):
            back = len(self._committed) - number
            self._reg(f"checkout {'prod' if back == 1 else f'main~{back}'.removesuffix('~0')} serve")
            _verify(number, expected, _digests(Path("serve")))
        self._reg("fsck --read-data")

    def _reg(self, command: str) -> None:
        from cas_registry.cli import reg

        click.echo(f"$ reg {command}")
        code = reg.main(shlex.split(command), prog_name="reg", standalone_mode=False)
        if code:
            raise IntegrityError(f"reg {command} ended with {code}", command=command)
        click.echo()

    def _commit(self, message: str, loss: float, more: str) -> None:
        self._committed.append(_digests(self._out))
        self._reg(f'commit {self._out} -m "{message}" --metric loss={loss:.4f} {more}')

    def _save(self, model: CharacterModel, *, temperature: float) -> None:
        write_safetensors(self._out / "model.safetensors", model.tensors, {"format": "np"})
        config = {"kind": "character-mlp", "context": 16, "vocabulary": 96, "temperature": temperature}
        (self._out / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        (self._out / "README.md").write_text("# A small model that writes Python\n", encoding="utf-8")


def _say(sentence: str) -> None:
    click.echo(f"# {sentence}")


def _digests(folder: Path) -> dict[str, str]:
    """The BLAKE3 of every file, by name."""
    found: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.is_file():
            hasher = blake3.blake3()
            with path.open("rb") as file:
                while data := file.read(_BUFFER_BYTES):
                    hasher.update(data)
            found[path.name] = hasher.hexdigest()
    return found


def _verify(number: int, expected: dict[str, str], found: dict[str, str]) -> None:
    if found != expected:
        wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        raise IntegrityError(f"v{number} came out other than it went in: {', '.join(wrong)}", paths=wrong)
    _say(f"v{number}: {text.count(len(found), 'file')} equal byte for byte\n")


@contextlib.contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    """The folder as the current one, with a cache of its own and without the user's choices of registry and model."""
    before = {name: os.environ.get(name) for name in ("REG_CACHE", "REG_STATE", "REG_REGISTRY", "REG_MODEL")}
    try:
        with contextlib.chdir(folder):
            os.environ["REG_CACHE"] = str(folder / "cache")
            os.environ["REG_STATE"] = str(folder / "state")
            os.environ.pop("REG_REGISTRY", None)
            os.environ.pop("REG_MODEL", None)
            yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _version(record: LogRecord) -> dict[str, object]:
    stats = record.stats
    return {
        "commit": record.id.hex,
        "number": record.number,
        "message": record.commit.message,
        "raw_bytes": stats.raw_bytes if stats else None,
        "new_bytes": stats.new_bytes if stats else None,
        "stored_bytes": stats.stored_bytes if stats else None,
        "verified": True,
    }


def _document(told: Told) -> Document:
    return {
        "folder": told.folder,
        "seconds": round(told.seconds, 3),
        "versions": [_version(record) for record in told.versions],
        "stored_bytes": told.stored_bytes,
    }


def _human(told: Told, _: Paper) -> Iterator[Line | Table]:
    yield ["# What each version cost"]
    rows: list[list[str]] = []
    raw_bytes = 0
    for record in told.versions:
        if record.stats:
            stats = record.stats
            raw_bytes += stats.raw_bytes
            sizes = (stats.raw_bytes, stats.new_bytes, stats.raw_bytes - stats.new_bytes, stats.stored_bytes)
            rows.append([f"v{record.number}", *map(text.size, sizes), record.commit.message])
    headers = ["version", "raw", "new", "reused", "stored", "message"]
    yield Table(headers, rows, frozenset(headers[1:5]))
    share = text.ratio(told.stored_bytes, raw_bytes)
    yield [""]
    yield [
        Styled(
            f"{text.size(raw_bytes)} of versions take {text.size(told.stored_bytes)} ({share}), metadata included. ", "green"
        ),
        f"{told.seconds:.1f} s.",
    ]
    if told.folder:
        yield [f"Look around: cd {shlex.quote(told.folder)} && reg log --graph"]


DEMO = View(_document, _human)
