"""Models, tokenizers, configurations and pipelines of Transformers."""

import json
from pathlib import Path

import pytest

import cas_registry as reg
from cas_registry.errors import InvalidInputError, UnsafeFileError
from tests.frameworks.round_trip import Case, check

pytestmark = pytest.mark.filterwarnings("default")
NEEDS = ("transformers", "torch", "safetensors")


def _classifier(seed: int):
    from tests.frameworks.tiny_bert import classifier

    return classifier(seed)


def _logits(model):
    from tests.frameworks.tiny_bert import logits

    return logits(model)


def _generator(seed: int):
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    return GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=32, n_layer=2, n_head=2, n_positions=32)).to(torch.bfloat16).eval()


def _generate(model):
    import torch

    with torch.no_grad():
        return [
            model(torch.arange(10)[None]).logits.float().numpy(),
            str(model.dtype),
            model.lm_head.weight is model.transformer.wte.weight,
        ]


CASES = (
    Case("Transformers model, head trained", NEEDS, _classifier, _logits, "transformers", "safetensors"),
    Case("Transformers generator in bfloat16, other seed", NEEDS, _generator, _generate, "transformers", "safetensors"),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


@pytest.fixture
def model(tmp_path: Path):
    for name in NEEDS:
        pytest.importorskip(name)
    return reg.init(tmp_path / "registry").model("bert")


def test_model_and_tokenizer_in_one_commit(model, tmp_path: Path) -> None:
    from tests.frameworks.tiny_bert import TEXTS, classifier, logits, tokenizer

    net, words = classifier(0), tokenizer(tmp_path / "words")
    model.save(model=net, tokenizer=words)
    assert model.show("main").commit.params["model.hidden_size"] == 64
    assert (logits(model.load(name="model")) == logits(net)).all()
    loaded = model.load(name="tokenizer")
    assert type(loaded) is type(words)
    assert loaded(TEXTS, padding=True)["input_ids"] == words(TEXTS, padding=True)["input_ids"]


def test_configurations_and_pipelines(model, tmp_path: Path) -> None:
    from transformers import TextClassificationPipeline

    from tests.frameworks.tiny_bert import TEXTS, classifier, config, tokenizer

    model.save(config())
    assert model.load().to_dict() == config().to_dict()
    pipeline = TextClassificationPipeline(model=classifier(0), tokenizer=tokenizer(tmp_path / "words"))
    model.save(pipeline)
    assert model.load()(TEXTS) == pipeline(TEXTS)


def test_folder_of_elsewhere_is_recognized(model, tmp_path: Path) -> None:
    from tests.frameworks.tiny_bert import classifier, logits

    net = classifier(1)
    net.save_pretrained(tmp_path / "there")
    model.commit(tmp_path / "there")
    loaded = model.load()
    assert type(loaded) is type(net)
    assert (logits(loaded) == logits(net)).all()


def test_class_of_ones_own_has_to_be_trusted(model) -> None:
    from tests.frameworks.own_bert import OwnBert
    from tests.frameworks.tiny_bert import config, logits

    net = OwnBert(config()).eval()
    model.save(net)
    name = "tests.frameworks.own_bert.OwnBert"
    assert model.manifest().objects["model"].trust == (name,)
    with pytest.raises(UnsafeFileError, match="OwnBert"):
        model.load()
    loaded = model.load(trust=[name])
    assert (logits(loaded) == logits(net)).all()


def test_pickles_beside_are_refused_and_remote_code_is_not_run(model, tmp_path: Path) -> None:
    import torch

    from tests.frameworks.tiny_bert import classifier

    net = classifier(0)
    model.save(net)
    model.checkout("main", tmp_path / "out")
    place = tmp_path / "out"
    manifest = json.loads((place / "cas-model.json").read_text())
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(
        json.dumps({**config, "auto_map": {"AutoModel": "own.Model", "AutoConfig": "own.Config"}})
    )
    (place / "own.py").write_text("raise SystemExit('code that was not asked for')")
    manifest["objects"]["model"]["files"] += ["own.py"]
    (place / "cas-model.json").write_text(json.dumps(manifest))
    model.commit(place)
    assert model.load() is not None
    (place / "model.safetensors").unlink()
    torch.save(net.state_dict(), place / "pytorch_model.bin")
    manifest["objects"]["model"]["files"] = ["config.json", "pytorch_model.bin"]
    (place / "cas-model.json").write_text(json.dumps(manifest))
    model.commit(place)
    with pytest.raises(InvalidInputError, match=r"pytorch_model\.bin"):
        model.load()
