"""examples/reader.py reads every version of the golden registry, and of a fresh one of tensors, as cas_registry does; and no damage gets past it."""

import ast
import random
import runpy
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cas_registry.codecs import delta
from cas_registry.errors import NotFoundError
from cas_registry.model.tensors import ElementType
from cas_registry.registry import Registry, open_registry
from tests.golden import by_the_book
from tests.golden.make_golden import GOLDEN, safetensors
from tests.support.folders import File, Folder, make_bytes, read_folder, write_folder
from tests.support.simulated import make_registry, make_world

EXAMPLE = Path(__file__).parents[2] / "examples" / "reader.py"
FLOATS = (ElementType.F16, ElementType.BF16, ElementType.F32)


def _read(registry: Path, model: str, ref: str, target: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(EXAMPLE), str(registry), model, ref, str(target)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def _open(root: Path) -> Registry:
    return open_registry(root, make_world())


def _names(root: Path) -> Iterator[tuple[str, str]]:
    """Every branch and tag of every model."""
    registry = _open(root)
    for name in registry.model_names():
        model = registry.model(name)
        yield from ((name, info.name) for info in (*model.branches(), *model.tags()))


def _compare(root: Path, model: str, ref: str, folder: Path) -> Folder:
    """The version by both readers, which must agree."""
    done = _read(root, model, ref, folder / "theirs")
    assert done.returncode == 0, done.stderr
    _open(root).model(model).checkout(ref, folder / "ours", remember=False)
    found = read_folder(folder / "theirs")
    assert found == read_folder(folder / "ours")
    return found


def test_it_stands_alone() -> None:
    tree = ast.parse(EXAMPLE.read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in imports if isinstance(node, ast.ImportFrom)}
    foreign = {name.partition(".")[0] for name in names} - sys.stdlib_module_names
    assert foreign == {"blake3", "numpy", "zstandard"}


@pytest.mark.parametrize(("model", "ref"), list(_names(GOLDEN)))
def test_every_branch_and_tag_of_the_golden_registry(model: str, ref: str, tmp_path: Path) -> None:
    assert _compare(GOLDEN, model, ref, tmp_path)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_version_by_its_number_though_it_was_encoded_anew(number: int, tmp_path: Path) -> None:
    _compare(GOLDEN, "digits", f"v{number}", tmp_path)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    for model, ref, said in (("digits", "v0.1", "candidate"), ("digits", "v9", "v3"), ("none", "main", "none"), ("scratch", "v1", "retired")):  # fmt: skip
        done = _read(GOLDEN, model, ref, tmp_path / "out")
        assert done.returncode == 1
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    with pytest.raises(NotFoundError, match="retired"):
        _open(GOLDEN).model("scratch").resolve("v1")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of tensors: of four element types, the second a step further, one of them in half precision."""
    folder = tmp_path_factory.mktemp("trained")
    start = [0x3C000000 + random.Random(number).randrange(1 << 21) for number in range(4_000)]
    moved = [bits + number % 29 for number, bits in enumerate(start)]
    halves = [bits >> 16 for bits in moved]
    counts = b"".join(struct.pack("<q", number * number) for number in range(3_000))
    first: Folder = {
        "model.safetensors": File(safetensors("layer", "F32", start, 4)),
        "more/steps.safetensors": File(safetensors("steps", "I64", [int.from_bytes(counts[at : at + 8], "little") for at in range(0, 24_000, 8)], 8)),
        "noise.bin": File(make_bytes(1, 300_000)),
        "log.txt": File(b"".join(b"step %d: loss 0.%d\n" % (step, step % 7) for step in range(500))),
        "run.sh": File(b"#!/bin/sh\n", executable=True),
        "nothing": File(b""),
        "empty": None,
    }  # fmt: skip
    second: Folder = {
        **first,
        "model.safetensors": File(safetensors("layer", "F32", moved, 4)),
        "half.safetensors": File(safetensors("layer", "BF16", halves, 2)),
    }
    from cas_registry.backends.local import LocalBackend

    (folder / "registry").mkdir()
    model = make_registry(LocalBackend(folder / "registry")).model("m")
    model.commit(write_folder(folder / "work", first), tags=["first"])
    model.commit(write_folder(folder / "work", second), tags=["second"])
    return folder / "registry"


@pytest.mark.parametrize("ref", ["first", "second", "main", "v1", "v2"])
def test_a_fresh_registry_of_tensors(ref: str, trained: Path, tmp_path: Path) -> None:
    assert len(_compare(trained, "m", ref, tmp_path)) >= 7


def test_that_registry_has_planes_and_deltas(trained: Path) -> None:
    rows = [row for path in (trained / "packs").iterdir() for row in by_the_book.read_pack(path.read_bytes())[0]]
    assert {row[4] for row in rows} == {0, 1, 2, 3}


@pytest.mark.parametrize("target", FLOATS, ids=lambda element: element.name)
@pytest.mark.parametrize("source", FLOATS, ids=lambda element: element.name)
def test_deltas_between_all_float_types(source: ElementType, target: ElementType) -> None:
    """Any bit pattern, numbers or not, with bases longer and shorter than what they predict, and bytes after the last element."""
    undo_delta = runpy.run_path(str(EXAMPLE))["undo_delta"]
    for seed, (base_elements, elements) in enumerate([(5_000, 5_000), (5_000, 300), (300, 5_000), (0, 100)]):
        base = make_bytes(seed, base_elements * source.width + seed % source.width)
        raw = make_bytes(seed + 50, elements * target.width + seed % target.width)
        stored = delta.encode(raw, target, base, source)
        assert undo_delta(stored, len(raw), target, base, source) == raw


@pytest.mark.parametrize("area", ["format", "refs/m", "commits", "trees", "maps", "packs"])
def test_damage_is_told_and_never_taken_for_the_version(area: str, trained: Path, tmp_path: Path) -> None:
    root = shutil.copytree(trained, tmp_path / "damaged")
    places = [root / area] if area == "format" else [path for path in (root / area).iterdir() if path.name != "HEAD"]
    for path in places:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    if area == "trees":  # those that the root map brings along are as good
        assert _read(root, "m", "second", tmp_path / "out").returncode == 0
        assert read_folder(tmp_path / "out") == read_folder(_checked_out(trained, tmp_path / "whole"))
        return
    done = _read(root, "m", "second", tmp_path / "out")
    assert done.returncode == 1
    assert "damaged" in done.stderr
    assert "Traceback" not in done.stderr


def _checked_out(root: Path, folder: Path) -> Path:
    _open(root).model("m").checkout("second", folder, remember=False)
    return folder


def test_a_folder_that_is_there_already_is_left_alone(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert _read(trained, "m", "main", tmp_path / "out").returncode == 1
    assert list((tmp_path / "out").iterdir()) == []
