"""The Python of docs/versions.md runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

import cas_registry as reg
from cas_registry.operations.capture import git
from cas_registry.operations.yaml_text import MAX_DEPTH, MAX_NODES
from tests.support.folders import File, write_folder

DOCUMENT = (Path(__file__).parents[2] / "docs" / "versions.md").read_text(encoding="utf-8")


def test_the_example_runs(tmp_path: Path, monkeypatch) -> None:
    work = write_folder(
        tmp_path / "work",
        {
            "out/model.bin": File(b"weights"),
            "out/README.md": File(b"---\nlicense: mit\n---\n"),
            "params.yaml": File(b"train: {lr: 1e-4}\n"),
            "data/train.csv": File(b"1,2\n"),
        },
    )
    reg.init(tmp_path / "registry").model("fraud")
    monkeypatch.setenv("REG_CAPTURE", "1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
    (code,) = re.findall(r"<!-- versions -->\n```python\n(.*?)```", DOCUMENT, re.DOTALL)
    code = code.replace('"eval": "s3://data/eval', '"eval": "gopher://data/eval')  # nobody is asked from a test
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=work, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, checks, license_ = done.stdout.splitlines()
    assert first.startswith("0.0001 3.")
    assert (checks, license_) == ("[('train', 'same'), ('eval', 'unchecked')]", "mit")
    assert reg.open(tmp_path / "registry").model("fraud").card("main").metadata == {"license": "apache-2.0"}


def test_the_limits_are_those_of_the_code() -> None:
    assert f"cut at {git.MAX_DIFF_BYTES // 1024} KiB" in DOCUMENT
    assert f"{MAX_DEPTH} deep, {MAX_NODES:,} values" in DOCUMENT


def test_every_name_that_is_captured_is_explained() -> None:
    from cas_registry.operations.capture.machine import find_machine

    for name in (*find_machine(), "python", "implementation"):
        assert f".{name}`" in DOCUMENT or f"environment.{name}`" in DOCUMENT, name
