"""`reg demo`: that its model is real, its safetensors file genuine, and its verification one that can fail."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from cas_registry.cli import demo, demo_model
from tests.cli.shell import Shell


@pytest.fixture
def small(monkeypatch):
    """Little training: the story is the same."""
    monkeypatch.setattr(demo, "_STEPS", 3)
    monkeypatch.setattr(demo, "_HEAD_STEPS", 2)


def read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read by the format's own words: https://github.com/huggingface/safetensors#format"""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__")
    assert length % 8 == 0
    body = data[8 + length :]
    tensors = {}
    end = 0
    for name, row in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        start, stop = row["data_offsets"]
        assert (row["dtype"], start) == ("F32", end), "tensors follow each other without holes"
        tensors[name] = np.frombuffer(body[start:stop], "<f4").reshape(row["shape"])
        end = stop
    assert end == len(body)
    return tensors, metadata


def test_the_model_learns():
    random = np.random.default_rng(1)
    text = demo_model.read_sources()
    model = demo_model.CharacterModel.fresh(random)
    assert 1_000_000 < sum(tensor.size for tensor in model.tensors.values()) < 3_000_000
    before = {name: tensor.copy() for name, tensor in model.tensors.items()}
    first = model.train(text, random, steps=1)
    later = model.train(text, random, steps=25)
    assert first > 4
    assert later < first - 1, "it predicts the next character better than by guessing"
    assert all(not np.array_equal(before[name], tensor) for name, tensor in model.tensors.items())
    assert {tensor.dtype for tensor in model.tensors.values()} == {np.dtype("float32")}


def test_tuning_the_head_leaves_the_rest_as_it_is():
    random = np.random.default_rng(1)
    model = demo_model.CharacterModel.fresh(random)
    before = {name: tensor.copy() for name, tensor in model.tensors.items()}
    model.train(demo_model.read_sources(), random, steps=2, only="head")
    moved = {name for name, tensor in model.tensors.items() if not np.array_equal(before[name], tensor)}
    assert moved == {"head.weight", "head.bias"}


def test_gradients_are_those_of_finite_differences():
    random = np.random.default_rng(3)
    model = demo_model.CharacterModel.fresh(random)
    windows = random.integers(0, 96, (8, demo_model.CONTEXT)).astype(np.uint8)
    targets = random.integers(0, 96, 8).astype(np.uint8)
    _, gradients = model._gradients(windows, targets, head_only=False)
    for name, gradient in gradients.items():
        direction = (gradient / np.linalg.norm(gradient)).astype(np.float32)
        tensor = model.tensors[name]
        losses = []
        for step in (1e-2, -2e-2):
            tensor += np.float32(step) * direction
            losses.append(model._gradients(windows, targets, head_only=True)[0])
        tensor += np.float32(1e-2) * direction
        slope = (losses[0] - losses[1]) / 2e-2
        assert slope == pytest.approx(float(np.linalg.norm(gradient)), rel=0.05), name


def test_safetensors_files_are_read_back_by_the_formats_own_rules(tmp_path):
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b.bias": np.array([1.5], dtype=np.float32)}
    demo_model.write_safetensors(tmp_path / "m.safetensors", tensors, {"format": "np"})
    found, metadata = read_safetensors(tmp_path / "m.safetensors")
    assert metadata == {"format": "np"}
    assert found.keys() == tensors.keys()
    assert all(np.array_equal(found[name], tensors[name]) for name in tensors)


def test_it_tells_the_whole_story_and_leaves_nothing(shell: Shell, small, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("REG_REGISTRY", "/elsewhere")
    monkeypatch.setenv("REG_MODEL", "elsewhere")
    shown = shell.reg("demo").stdout
    verbs = [line.split()[2] for line in shown.splitlines() if line.startswith("$ reg ")]
    assert verbs == [
        "init", "commit", "commit", "diff", "tag", "commit", "log", "tag", "ls", "checkout", "checkout", "checkout", "fsck",
    ]  # fmt: skip
    assert [f"v{number}: 3 files equal byte for byte" in shown for number in (1, 2, 3)] == [True] * 3
    assert "Everything is there and whole" in shown
    assert "prod@{1}" in shown
    assert not list(tmp_path.glob("reg-demo-*"))
    assert (os.environ["REG_REGISTRY"], Path.cwd()) == ("/elsewhere", shell.folder)


def test_later_versions_cost_what_is_new_in_them(shell: Shell, small):
    found = shell.reg("demo", "--json").json
    first, second, third = found["versions"]
    assert first["new_bytes"] == first["raw_bytes"] > 6_000_000
    assert 0 < second["new_bytes"] < first["raw_bytes"] / 8, "the head alone is 6 % of the model"
    assert third["new_bytes"] < 200, "a line of configuration"
    assert found["stored_bytes"] < first["raw_bytes"] * 1.2
    assert [version["verified"] for version in found["versions"]] == [True] * 3
    assert found["folder"] is None


def test_kept_it_can_be_looked_around_in(shell: Shell, small, monkeypatch):
    assert "Look around: cd" in shell.reg("demo", "--keep", "tour").stdout
    tensors, _ = read_safetensors(shell.folder / "tour/model/model.safetensors")
    assert tensors["head.weight"].shape == (1024, 96)
    monkeypatch.chdir(shell.folder / "tour")
    assert len(shell.reg("log", "-q").lines) == 3
    shell.reg("status", "model")
    assert "not an empty folder" in shell.reg("demo", "--keep", ".", code=2).stderr


def test_a_byte_that_differs_ends_it_with_5(shell: Shell, small, monkeypatch):
    real = demo._digests

    def spoil(folder: Path) -> dict[str, str]:
        if folder.name == "serve":
            with (folder / "model.safetensors").open("r+b") as file:
                file.seek(1_000_000)
                file.write(b"?")
        return real(folder)

    monkeypatch.setattr(demo, "_digests", spoil)
    error = shell.reg("demo", "-q", code=5).stderr
    assert error == "error: v1 came out other than it went in: model.safetensors\n"


def test_quiet_it_says_nothing(shell: Shell, small):
    found = shell.reg("demo", "-q")
    assert (found.stdout, found.stderr) == ("", "")
