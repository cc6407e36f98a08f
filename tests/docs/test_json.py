"""docs/json.md shows the fields that the verbs print."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cas_registry.cli import reg
from tests.support.ssh_keys import make_key, needs_ssh_keygen

DOCUMENT = Path(__file__).parents[2] / "docs" / "json.md"
STORY: list[tuple[str, list[str]]] = [
    ("init", ["init", "../registry", "--model", "fraud"]),
    ("commit --plan", ["commit", "out", "--plan"]),
    ("commit", ["commit", "out", "-m", "first", "--param", "lr=0.001", "--metric", "auc=0.91", "--input", "train=changed"]),
    ("tag NAME REV", ["tag", "prod", "main", "-m", "works"]),
    ("", ["commit", "changed", "-m", "deeper", "--param", "lr=0.001", "--metric", "auc=0.93"]),
    ("checkout --dry-run", ["checkout", "prod", "serve", "--dry-run"]),
    ("checkout", ["checkout", "prod", "serve"]),
    ("export", ["export", "prod", "layout", "--as", "oci"]),
    ("resolve", ["resolve", "prod"]),
    ("deploy", ["deploy", "prod", "served"]),
    ("watch", ["watch", "main", "--once", "--folder", "served"]),
    ("log", ["log"]),
    ("show", ["show", "prod"]),
    ("card", ["card", "prod"]),
    ("inputs --check", ["inputs", "prod", "--check"]),
    ("ls", ["ls", "prod"]),
    ("diff", ["diff", "prod", "main"]),
    ("search", ["search", "tag = prod"]),
    ("whence", ["whence", "serve/config.json"]),
    ("compare", ["compare", "prod", "main"]),
    ("lineage", ["lineage", "main"]),
    ("blame", ["blame", "main", "--tensors"]),
    ("bisect run", ["bisect", "run", "prod", "main", "true"]),
    ("", ["commit", "out", "-M", "other", "-m", "1"]),
    ("", ["commit", "changed", "-M", "other", "-m", "2"]),
    ("", ["commit", "out", "-M", "other", "-m", "3"]),
    ("bisect start", ["bisect", "start", "other@v1", "other@v3"]),
    ("sign", ["sign", "prod", "--key", "key"]),
    ("verify", ["verify", "prod", "--allowed-signers", "allowed_signers"]),
    ("branch NAME REV", ["branch", "exp", "main"]),
    ("branch", ["branch"]),
    ("tag", ["tag"]),
    ("tag --history", ["tag", "--history", "prod"]),
    ("note -m", ["note", "main", "-m", "slow on CPU", "--label", "owner=risk", "--metric", "ms=12.5"]),
    ("approve", ["approve", "main", "prod", "-m", "passed the review"]),
    ("note", ["note", "main"]),
    ("", ["policy", "protect", "prod", "--approvals", "1"]),
    ("promote --dry-run", ["promote", "main", "prod", "--dry-run"]),
    ("policy stages", ["policy", "stages"]),
    ("", ["policy", "unprotect", "prod"]),
    ("models", ["models"]),
    ("stats", ["stats"]),
    ("du", ["du", "main"]),
    ("du --models", ["du", "--models"]),
    ("du --families", ["du", "--families"]),
    ("repack", ["repack", "--dry-run"]),
    ("fsck", ["fsck", "--read-data"]),
    ("fsck --repair", ["fsck", "--repair"]),
    ("doctor", ["doctor"]),
    ("frameworks", ["frameworks"]),
    ("status", ["status", "out", "--rev", "main"]),
    ("policy", ["policy", "keep", "--last", "20", "--best", "metrics.auc", "5"]),
    ("retire", ["retire", "prod", "--force", "-m", "the wrong split"]),
    ("gc", ["gc", "--delete", "--policy", "--grace", "0"]),
    ("gc --undo", ["gc", "--undo", "1"]),
    ("lock", ["lock", "fraud@main"]),
    ("verify DIR", ["verify", "changed", "--lock", "reg.lock"]),
    ("fork", ["fork", "fraud", "fraud-eu"]),
    ("", ["commit", "out", "-M", "fraud-eu"]),
    ("", ["commit", "third", "-M", "fraud"]),
    ("merge", ["merge", "fraud-eu@main", "-M", "fraud", "--take", "theirs"]),
    ("", ["release", "prod", "fraud@main~1"]),
    ("release NAME MODEL@REV", ["release", "prod", "fraud@main", "-m", "November"]),
    ("release", ["release", "prod"]),
    ("release --history", ["release", "prod", "--history"]),
    ("releases", ["releases"]),
    ("import", ["import", "mlflow", str(Path(__file__).parents[1] / "operations" / "importing" / "data" / "mlflow")]),
]


def _documented() -> dict[str, object]:
    blocks = re.findall(r"<!-- fields: (.*?) -->\n```json\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    return {verb: json.loads(body) for verb, body in blocks}


def _names(value: object, prefix: str = "") -> set[str]:
    """The fields of an answer, of lists those of the first element; params, metrics and counts by area have free names."""
    if isinstance(value, list):
        return _names(value[0], f"{prefix}[]") if value else set()
    if not isinstance(value, dict) or prefix.rpartition(".")[2] in {
        "params",
        "metrics",
        "labels",
        "framework",
        "packages",
        "environment",
        "code",
        "metadata",
        "objects",
        "bytes",
        "versions",
        "keep",
        "rules",
    }:
        return set()
    return set.union(*({f"{prefix}.{name}"} | _names(found, f"{prefix}.{name}") for name, found in value.items()), set())


@needs_ssh_keygen
def test_every_answer_has_the_documented_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "work"
    for name, layers in (("out", 2), ("changed", 3), ("third", 4)):
        (work / name).mkdir(parents=True)
        (work / name / "config.json").write_text(json.dumps({"layers": layers}))
        (work / name / "MLmodel").write_text(
            """signature: {inputs: '[{"name": "x", "type": "double"}]', outputs: '[{"type": "double"}]'}"""
        )
        (work / name / "README.md").write_text("---\nlicense: mit\n---\n# Fraud\n")
        (work / name / "model.bin").write_bytes(os.urandom(100_000))
        np.save(work / name / "model.npy", np.arange(512, dtype=np.float32) * layers)
    monkeypatch.chdir(work)
    monkeypatch.setenv("REG_CACHE", str(tmp_path / "cache"))
    (work / "allowed_signers").write_text(make_key(work, "key").allowed())
    documented = _documented()
    assert set(documented) == {verb for verb, _ in STORY if verb}
    for verb, words in STORY:
        result = CliRunner().invoke(reg, [*words, "--json"], prog_name="reg")
        assert result.exit_code in {0, 1}, (words, result.output)
        if verb:
            assert _names(json.loads(result.stdout)) == _names(documented[verb]), verb
