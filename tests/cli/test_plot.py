"""`reg diff --values --plot`: how far each layer moved, as numbers and as a picture."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from tests.cli.shell import Shell

SVG = "{http://www.w3.org/2000/svg}"


def two_versions(bound: Shell) -> None:
    rng = np.random.default_rng(1)
    for step in range(2):
        tensors = {}
        parts = []
        position = 0
        for number in (0, 1, 10):
            values = (np.random.default_rng(number).standard_normal(4096) + step * number * 0.1).astype(np.float32)
            tensors[f"layer.{number}.<w>"] = {
                "dtype": "F32",
                "shape": [4096],
                "data_offsets": [position, position + values.nbytes],
            }
            parts.append(values.tobytes())
            position += values.nbytes
        header = json.dumps(tensors).encode()
        bound.write("out/model.safetensors", b"".join((len(header).to_bytes(8, "little"), header, *parts)))
        bound.write("out/noise", rng.bytes(10))
        bound.reg("commit", "out")


def test_a_diff_with_values_draws_the_movement_of_every_layer(bound: Shell):
    two_versions(bound)
    found = bound.reg("diff", "main~1", "main", "--values", "--plot", "moved.svg")
    assert "layer.10.<w>" in found.stdout
    drawing = ET.parse(Path("moved.svg")).getroot()  # noqa: S314 - written just now
    texts = [element.text for element in drawing.iter(f"{SVG}text")]
    assert texts[:2] == ["main~1 to main", "L2 norm of the change, by layer"]
    bars = [float(element.get("width", "0")) for element in drawing.iter(f"{SVG}rect")][1:]
    assert [text for text in texts if text and text.startswith("layer.")] == ["layer.1", "layer.10"]
    assert bars[1] == max(bars)
    assert bars[0] / bars[1] == pytest.approx(0.1, abs=0.01)


def test_without_values_the_bars_are_bytes(bound: Shell):
    two_versions(bound)
    bound.reg("diff", "main~1", "main", "--plot", "moved.svg")
    assert "bytes in changed chunks, by layer" in Path("moved.svg").read_text(encoding="utf-8")


def test_a_plot_that_cannot_be_written_is_named(bound: Shell):
    two_versions(bound)
    found = bound.reg("diff", "main~1", "main", "--plot", "nowhere/moved.svg", code=None)
    assert found.exit_code not in {0, 1}
    assert "nowhere/moved.svg" in found.stderr
    assert "Traceback" not in found.stderr


def test_the_figures_are_in_the_json(bound: Shell):
    two_versions(bound)
    widest, other = bound.reg("diff", "main~1", "main", "--values", "--json").json["tensors"]
    assert (widest["name"], other["name"]) == ("layer.10.<w>", "layer.1.<w>")
    assert widest["l2"] == pytest.approx(64, rel=1e-4)  # 4,096 values, each moved by 1
    assert other["max_abs"] == pytest.approx(0.1, rel=1e-4)
    assert other["changed_fraction"] == 1.0
