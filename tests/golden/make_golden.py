"""Writes the golden registry of format 1 and what is expected of it. Run once; what it wrote is checked in and never edited.

    python -m tests.golden.make_golden

Author, times and contents are fixed; the registry's id, nonces, and so the names of packs and maps fall as they fall. Some of the
writer's choices are made smaller, so that a few hundred KiB have maps of their own, references and a ref table stored apart.
"""

import json
import tempfile
from itertools import count
from pathlib import Path
from unittest.mock import patch

from blake3 import blake3

from cas_registry.model.entry import RefKind
from cas_registry.model.inputs import Input
from cas_registry.model.keep import Best, Keep
from cas_registry.operations import placing, repack, repack_writing
from cas_registry.registry import Model, Registry, init_registry
from cas_registry.settings import Settings
from cas_registry.store import refs
from tests.golden.by_the_book import Files

HERE = Path(__file__).parent
GOLDEN, EXPECTED = HERE / "format-1", HERE / "format-1.json"
NOON_NS = 1_764_590_400_000_000_000  # 2025-12-01T12:00:00Z
MINUTE_NS = 60 * 10**9


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
    world = Settings(author="ada@example.org", cache_folder=None, clock_ns=lambda: next(ticks))
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
            framework={"name": "plain", "version": "1"},
            inputs=[Input("train", uri="s3://data/2025-11", digest="sha256:00ff"), Input("rows", uri="file:rows.csv")],
        )  # fmt: skip
        model.tag("prod", "main", reason="the first one")
        model.tag("v0.1", "main")
        model.commit(write_folder(parent, second), message="second", metrics={"accuracy": 0.93}, tags=["candidate"])
        model.branch("experiment", "main")
        model.commit(write_folder(parent, third), branch="experiment", message="third", metrics={"accuracy": 0.95})
        model.delete_tag("v0.1", reason="a mistake")
        scratch = registry.model("scratch")
        scratch.commit(write_folder(parent, {"try.bin": ("file", noise("try", 5000))}), message="a try")
        scratch.commit(write_folder(parent, {"try.bin": ("file", noise("again", 5000))}), message="another")
        scratch.retire("main~1", reason="worse")
        registry.retire("scratch", reason="not needed")
        registry.set_policy(Keep(last=20, days=90, best=(Best("accuracy", 5), Best("loss", 3, smallest=True))))
        assert registry.gc(delete=True, grace_s=0, trash_window_s=0).deleted_objects == 4  # two packs, two maps
        scratch.commit(write_folder(parent, {"try.bin": ("file", noise("third", 500))}), message="begun anew")
        with (
            patch.object(repack, "WORTH_SHARE", 0),
            patch.object(repack_writing, "BIG_FILE_BYTES", 16 * 1024),
            patch.object(repack_writing, "INLINE_BYTES", 400),
        ):
            assert model.repack().remapped == 3
        served = write_folder(parent, {path: first[path] for path in ("weights.bin", "config.json")})
        registry.model("serving").commit(served, message="only the weights")
        with patch.object(refs, "MAX_INLINE_TABLE_BYTES", 0):
            model.tag("prod", "candidate", reason="beats the first one")
        registry.model("serving").tag("trusted", "digits@prod", reason="checked by hand")
    return registry


def describe(registry: Registry, root: Path) -> dict[str, object]:
    """What is expected, as read right after writing; the test compares files with what they were written from as well."""
    objects = {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}
    return {
        "registry": registry.id,
        "objects": {key: blake3(path.read_bytes()).hexdigest() for key, path in objects.items()},
        "models": {name: describe_model(registry.model(name)) for name in registry.model_names()},
    }


def describe_model(model: Model) -> dict[str, object]:
    tags = {"digits": ("candidate", "prod", "v0.1"), "scratch": (), "serving": ("trusted",)}[model.name]
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
                "framework": {name: repr(value) for name, value in sorted(record.commit.framework.items())},
                "inputs": [
                    [item.name, item.uri, item.digest, item.model, item.commit and item.commit.hex] for item in record.commit.inputs
                ],
                "branches": list(record.branches),
                "tags": list(record.tags),
                "tree": record.commit.tree.hex,
                "files": {
                    file.path: [file.mode.value, file.size_bytes, file.id.hex, file.on_load.label if file.on_load else None]
                    for file in model.files(record.id.hex)
                },
            }
            for branch in sorted(info.name for info in model.branches())
            for record in model.walk(branch)
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
