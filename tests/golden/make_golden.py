"""Writes the golden registry of format 1 and what is expected of it. Run once; what it wrote is checked in and never edited.

    python -m tests.golden.make_golden

Author, times and contents are fixed; the registry's id, nonces, and so the names of packs and maps fall as they fall. Some of the
writer's choices are made smaller, so that a few hundred KiB have maps of their own, references and a ref table stored apart.
"""

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from unittest.mock import patch

from blake3 import blake3

from cas_registry.model.entry import RefKind
from cas_registry.model.inputs import Input
from cas_registry.model.keep import Best, Keep
from cas_registry.model.rules import TagRule
from cas_registry.model.schema import Column, Schema
from cas_registry.operations import placing, repack, repack_writing
from cas_registry.operations.capture import Captured
from cas_registry.registry import Model, Registry, init_registry, open_registry
from cas_registry.settings import Settings
from cas_registry.store import refs
from tests.golden.by_the_book import Files

HERE = Path(__file__).parent
GOLDEN, EXPECTED = HERE / "format-1", HERE / "format-1.json"
NOON_NS = 1_764_590_400_000_000_000  # 2025-12-01T12:00:00Z
MINUTE_NS = 60 * 10**9


@dataclass(frozen=True)
class Told(Settings):
    """A world in which commits tell of surroundings that are the same on every machine."""

    def capture(self, folder: Path, *, diff: bool = False) -> Captured | None:
        return Captured(
            code={
                "repository": "https://example.org/digits",
                "commit": "9fceb02d0ae598e95dc970b74767f19372d61af8",
                "dirty": False,
            },
            environment={"python": "3.11.9", "cpus": 8, "memory_gib": 31.25, "gpu.0": None},
            packages={"numpy": "2.4.0", "模型-naïve": "0.1"},
        )


def settings(author: str, clock_ns: Callable[[], int]) -> Settings:
    """Somebody at work, whose machine remembers nothing."""
    return Told(author=author, cache_folder=None, clock_ns=clock_ns, state_folder=None)


def noise(seed: str, size_bytes: int) -> bytes:
    return blake3(seed.encode()).digest(length=size_bytes)


def text(seed: str, lines: int) -> bytes:
    return "".join(f"{seed} line {number}: the quick brown fox\n" for number in range(lines)).encode()


def safetensors(name: str, dtype: str, values: list[int], width: int) -> bytes:
    header = json.dumps({name: {"dtype": dtype, "shape": [len(values)], "data_offsets": [0, len(values) * width]}}).encode()
    return len(header).to_bytes(8, "little") + header + b"".join(value.to_bytes(width, "little") for value in values)


def trained() -> list[list[int]]:
    """The bit patterns of 2,000 fp32 weights, and of what they are two steps later."""
    exponents = noise("exponents", 2_000)
    start = [0x3C000000 + (exponents[at] % 8 << 23) + int.from_bytes(noise(f"w{at}", 2), "little") for at in range(2_000)]
    steps = [start]
    for step in ("one", "two"):
        moves = noise(step, 2_000)
        steps.append([value + move % 32 for value, move in zip(steps[-1], moves, strict=True)])
    return steps


def versions() -> list[Files]:
    """The three versions of the model, as `by_the_book` writes folders."""
    weights = noise("weights", 40_000) + text("table", 1000) + noise("more", 20_000)
    tensors = trained()
    first = {
        "layer.safetensors": ("file", safetensors("layer.weight", "F32", tensors[0], 4)),
        "weights.bin": ("file", weights),
        "config.json": ("file", b'{"layers": 2}\n'),
        "scaler.bin": ("file", b"\x80\x02cbuiltins\nlen\n."),
        "predict.sh": ("exec", b"#!/bin/sh\necho 7\n"),
        "empty.txt": ("file", b""),
        "logs": ("tree", b""),
        "模型-naïve.md": ("file", "Ein Modell für Ziffern\n".encode()),
        "tokenizer/vocab.txt": ("file", text("word", 40)),
        "tokenizer/deep/merges.txt": ("file", text("merge", 20)),
        "tokenizer/deep/copy.json": ("file", b'{"layers": 2}\n'),
    }
    retrained = weights[:30_000] + noise("step 2", 6000) + weights[36_000:]
    second = {**first, "weights.bin": ("file", retrained), "config.json": ("file", b'{"layers": 3}\n')}
    second["layer.safetensors"] = ("file", safetensors("layer.weight", "F32", tensors[1], 4))
    exported = [(value + 0x7FFF + (value >> 16 & 1)) >> 16 for value in tensors[1]]
    second["export/half.safetensors"] = ("file", safetensors("layer.weight", "BF16", exported, 2))
    third = {**second, "weights.bin": ("file", b"header" + retrained), "predict.py": ("file", b"print(7)\n")}
    third["layer.safetensors"] = ("file", safetensors("layer.weight", "F32", tensors[2], 4))
    del third["predict.sh"]
    return [first, second, third]


def write_folder(parent: Path, files: Files) -> Path:
    """A fresh folder below `parent` with these files."""
    root = parent / str(len(list(parent.iterdir())))
    root.mkdir()
    for path, (mode, data) in files.items():
        disk = root / path
        disk.parent.mkdir(parents=True, exist_ok=True)
        if mode == "tree":
            disk.mkdir()
            continue
        disk.write_bytes(data)
        disk.chmod(0o755 if mode == "exec" else 0o644)
    return root


def make(root: Path) -> Registry:
    ticks = count(NOON_NS, MINUTE_NS)
    world = settings("ada@example.org", lambda: next(ticks))
    registry = init_registry(root, world, chunk_bytes=4096)
    model = registry.model("digits")
    first, second, third = versions()
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(placing, "BIG_FILE_BYTES", 16 * 1024),
        patch.object(placing, "INLINE_BYTES", 400),
    ):
        parent = Path(folder)
        model.commit(
            write_folder(parent, first),
            message="first\n\nzwei Absätze",
            params={"lr": 1e-05, "epochs": 3, "seed": -(2**62), "frozen": True, "notes": None, "optimizer": 'adam "w" \\ \u0007'},
            metrics={"accuracy": 0.1, "loss": float("inf"), "f1": float("nan"), "zero": -0.0, "big": 1e16},
            labels={"owner": "risk", "draft": True, "stage": None, "weight": 0.5},
            framework={"name": "plain", "version": "1"},
            schema=Schema(
                (Column("pixels", "float32", (None, 28, 28)), Column(None, "string")), (Column("digit", "int64", ()),), (Column("top", "int64"),)
            ),
            inputs=[Input("train", uri="s3://data/2025-11", digest="sha256:00ff"), Input("rows", uri="file:rows.csv")],
        )  # fmt: skip
        model.tag("prod", "main", reason="the first one")
        model.tag("v0.1", "main")
        model.commit(
            write_folder(parent, second), message="second", metrics={"accuracy": 0.93}, capture=False, tags=["candidate"]
        )
        model.branch("experiment", "main")
        model.commit(
            write_folder(parent, third), branch="experiment", message="third", metrics={"accuracy": 0.95}, capture=False
        )
        model.delete_tag("v0.1", reason="a mistake")
        scratch = registry.model("scratch")
        scratch.commit(write_folder(parent, {"try.bin": ("file", noise("try", 5000))}), message="a try", capture=False)
        scratch.commit(write_folder(parent, {"try.bin": ("file", noise("again", 5000))}), message="another", capture=False)
        scratch.retire("main~1", reason="worse")
        registry.retire("scratch", reason="not needed")
        registry.set_policy(Keep(last=20, days=90, best=(Best("accuracy", 5), Best("loss", 3, smallest=True))))
        assert registry.gc(delete=True, grace_s=0, trash_window_s=0).deleted_objects == 4  # two packs, two maps
        scratch.commit(write_folder(parent, {"try.bin": ("file", noise("third", 500))}), message="begun anew", capture=False)
        with (
            patch.object(repack, "WORTH_SHARE", 0),
            patch.object(repack_writing, "BIG_FILE_BYTES", 16 * 1024),
            patch.object(repack_writing, "INLINE_BYTES", 400),
        ):
            assert model.repack().remapped == 3
        served = write_folder(parent, {path: first[path] for path in ("weights.bin", "config.json")})
        registry.model("serving").commit(served, message="only the weights", capture=False)
        with patch.object(refs, "MAX_INLINE_TABLE_BYTES", 0):
            model.tag("prod", "candidate", reason="beats the first one")
        registry.model("serving").tag("trusted", "digits@prod", reason="checked by hand")
        make_teamwork(registry, world, parent)
    return registry


def make_teamwork(registry: Registry, world: Settings, parent: Path) -> None:
    """What people do with versions once there are some: a fork and a merge of it, notes, rules and a promotion by them, releases."""
    origin, serving = registry.model("digits"), registry.model("serving")
    eve = open_registry(Path(registry.url), replace(world, author="eve@example.org"))
    origin.fork("digits-eu", "main", reason="for other handwriting")
    fork = registry.model("digits-eu")
    fork.commit(
        write_folder(parent, forked()),
        message="trained on",
        labels={"region": "eu"},
        inputs=["base=digits@v2", Input("pen", uri="s3://data/pen-strokes", digest=f"blake3:{blake3(b'pen').hexdigest()}")],
        capture=False,
    )
    fork.merge("digits@experiment", message="with what the experiment found")
    fork.note("main", "sevens with a bar", labels={"region": None, "reviewed": True}, metrics={"accuracy": 0.97, "drift": 0.02})
    eve.model("digits-eu").note("main~1", "not merged yet")
    rule = TagRule(("*@example.org",), 1, ("eve@*",), "metrics.accuracy > 0.9 and tag = trusted", (), ("trusted",))
    registry.protect("prod", rule, model="serving", reason="an outage is enough")
    registry.protect("env/*", TagRule(checks=("safe", "signed", "card")))
    eve.model("serving").approve("main", "prod", "too old", refuse=True)
    eve.model("serving").approve("trusted", "prod", "looks right")
    serving.promote("trusted", "prod", reason="approved")
    registry.release("handwriting", {"digits": "prod", "serving": "main"}, reason="the first two")
    eve.release("handwriting", {"digits-eu": "main", "serving": "prod"}, drop=["digits"], reason="from now on of the fork")


def forked() -> Files:
    """The second version, as the fork goes on from it."""
    return {
        **versions()[1],
        "config.json": ("file", b'{"layers": 3, "region": "eu"}\n'),
        "README.md": ("file", b"# Digits, EU\n"),
    }


def merged() -> Files:
    """The fork's version with what the third one changed of the second."""
    _, second, third = versions()
    changed = {path: item for path, item in third.items() if second.get(path) != item}
    return {path: item for path, item in forked().items() if path in third or path not in second} | changed


def describe(registry: Registry, root: Path) -> dict[str, object]:
    """What is expected, as read right after writing; the test compares files with what they were written from as well."""
    objects = {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}
    return {
        "objects": {key: blake3(path.read_bytes()).hexdigest() for key, path in objects.items()},
        **describe_contents(registry),
    }


def describe_contents(registry: Registry) -> dict[str, object]:
    """What the registry says, whatever its objects are called."""
    return {
        "registry": registry.id,
        "models": {name: describe_model(registry.model(name)) for name in registry.model_names()},
        "releases": {
            info.name: [
                [one.entry, one.time_ms, one.who, one.why, {model: [row.commit.hex, row.at, row.number] for model, row in one.versions.items()}]
                for one in registry.release_history(info.name)
            ]
            for info in registry.releases()
        },
        "rules": {model: {tag: asdict(rule) for tag, rule in rules.items()} for model, rules in registry.rules().items()},
    }  # fmt: skip


def describe_model(model: Model) -> dict[str, object]:
    tags = {"digits": ("candidate", "prod", "v0.1"), "digits-eu": (), "scratch": (), "serving": ("prod", "trusted")}[model.name]
    return {
        "branches": {info.name: [info.commit.hex, info.moved] for info in model.branches()},
        "tags": {info.name: [info.commit.hex, info.moved] for info in model.tags()},
        "history": {
            name: [
                [move.n, move.commit and move.commit.hex, move.previous and move.previous.hex, move.time_ms, move.who, move.why]
                for move in model.history(RefKind.TAG, name)
            ]
            for name in tags
        },
        "log": [
            {
                "commit": record.id.hex,
                "number": record.number,
                "at": record.at,
                "parents": [parent.hex for parent in record.commit.parents],
                "author": record.commit.author,
                "time_ms": record.commit.time_ms,
                "message": record.commit.message,
                "params": {name: repr(value) for name, value in sorted(record.commit.params.items())},
                "metrics": {name: repr(value) for name, value in sorted(record.commit.metrics.items())},
                **{
                    field: {name: repr(value) for name, value in sorted(getattr(record.commit, field).items())}
                    for field in ("labels", "framework", "packages", "environment", "code")
                },
                "schema": record.commit.schema and asdict(record.commit.schema),
                "inputs": [
                    [item.name, item.uri, item.digest, item.model, item.commit and item.commit.hex] for item in record.commit.inputs
                ],
                "branches": list(record.branches),
                "tags": list(record.tags),
                "tree": record.commit.tree.hex,
                "files": {
                    file.path: [file.mode.value, file.size_bytes, file.id.hex, file.on_load.label if file.on_load else None]
                    for file in model.files(f"{record.commit.log}@{record.id.hex}")
                },
            }
            for branch in sorted(info.name for info in model.branches())
            for record in model.walk(branch)
        ],
        "notes": [
            [note.n, note.commit.hex, note.time_ms, note.who, note.text, dict(note.labels), dict(note.metrics), note.tag, note.approved]
            for note in model.notes()
        ],
    }  # fmt: skip


def main() -> None:
    if GOLDEN.exists() or EXPECTED.exists():
        raise SystemExit(f"{GOLDEN} is there: golden registries are never edited; a new format gets one of its own")
    registry = make(GOLDEN)
    text_of = json.dumps(describe(registry, GOLDEN), ensure_ascii=False, indent=1, sort_keys=True)
    EXPECTED.write_text(f"{text_of}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
