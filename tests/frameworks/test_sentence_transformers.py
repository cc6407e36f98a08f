"""Embedders of Sentence Transformers."""

import json
import tempfile
from pathlib import Path

import pytest

import cas_registry as reg
from cas_registry.errors import UnsafeFileError
from tests.frameworks.round_trip import Case, check

pytestmark = pytest.mark.filterwarnings("default")
NEEDS = ("sentence_transformers", "transformers", "torch", "safetensors")


def _embedder(seed: int):
    import torch
    from sentence_transformers import SentenceTransformer, models

    from tests.frameworks.tiny_bert import body, tokenizer

    with tempfile.TemporaryDirectory() as scratch:
        tokenizer(Path(scratch)).save_pretrained(scratch)
        body().save_pretrained(scratch)
        words = models.Transformer(scratch, max_seq_length=32)
    torch.manual_seed(seed)
    return SentenceTransformer(modules=[words, models.Pooling(64), models.Dense(64, 32)], device="cpu")


def _embed(model):
    from tests.frameworks.tiny_bert import TEXTS

    return model.encode(TEXTS)


CASES = (Case("Sentence Transformers, other head", NEEDS, _embedder, _embed, "sentence-transformers", "safetensors"),)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_modules_of_elsewhere_have_to_be_trusted(tmp_path: Path) -> None:
    for name in NEEDS:
        pytest.importorskip(name)
    model = reg.init(tmp_path / "registry").model("m")
    model.save(_embedder(0))
    assert model.show("main").commit.params["dimensions"] == 32
    model.checkout("main", tmp_path / "out")
    path = tmp_path / "out" / "modules.json"
    modules = json.loads(path.read_text())
    path.write_text(json.dumps([*modules, {"idx": 3, "name": "3", "path": "3", "type": "subprocess.Popen"}]))
    model.commit(tmp_path / "out")
    with pytest.raises(UnsafeFileError, match=r"subprocess\.Popen"):
        model.load()


def test_folder_of_elsewhere_is_recognized(tmp_path: Path) -> None:
    for name in NEEDS:
        pytest.importorskip(name)
    model = reg.init(tmp_path / "registry").model("m")
    embedder = _embedder(0)
    embedder.save_pretrained(str(tmp_path / "there"))
    model.commit(tmp_path / "there")
    assert (_embed(model.load()) == _embed(embedder)).all()
