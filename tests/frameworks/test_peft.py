"""Adapters of PEFT, and their base."""

from pathlib import Path

import pytest

import cas_registry as reg
from cas_registry.errors import InvalidInputError, RegistryError
from tests.frameworks.filling import Into
from tests.frameworks.round_trip import Case, check

pytestmark = pytest.mark.filterwarnings("default")
NEEDS = ("peft", "transformers", "torch", "safetensors")


def _base():
    from tests.frameworks.tiny_bert import classifier

    return classifier(0)


def _adapter(seed: int):
    import torch
    from peft import LoraConfig, TaskType, get_peft_model

    base = _base()
    torch.manual_seed(seed)
    adapter = get_peft_model(base, LoraConfig(TaskType.SEQ_CLS, r=8, target_modules={"query", "value", "key"}))
    for name, weight in adapter.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    return adapter.eval()


def _logits(model):
    from tests.frameworks.tiny_bert import logits

    return logits(model)


CASES = (Case("PEFT LoRA, other seed", NEEDS, _adapter, _logits, "peft", "safetensors", load=Into(_base)),)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_adapter_names_its_base_which_stays_while_it_lives(tmp_path: Path) -> None:
    for name in NEEDS:
        pytest.importorskip(name)
    registry = reg.init(tmp_path / "registry")
    base = registry.model("bert")
    report = base.save(_base(), tags=["prod"])
    model = registry.model("bert-lora")
    adapter = _adapter(1)
    small = model.save(adapter, inputs={"base": "bert@prod"})
    assert small.raw_bytes < report.raw_bytes / 4
    commit = model.show("main").commit
    assert (commit.inputs[0].model, commit.inputs[0].commit) == ("bert", report.commit)
    assert commit.params["r"] == 8
    with pytest.raises(InvalidInputError, match="base"):
        model.load()
    named = commit.inputs[0]
    loaded = model.load(options={"into": registry.model(named.model).load(named.commit.hex)})
    assert (_logits(loaded) == _logits(adapter)).all()
    base.save(_adapter(2).merge_and_unload(), tags=["prod"])
    with pytest.raises(RegistryError, match="bert-lora"):
        base.retire(report.commit.hex)


def test_several_adapters_come_back(tmp_path: Path) -> None:
    for name in NEEDS:
        pytest.importorskip(name)
    from peft import LoraConfig, TaskType

    model = reg.init(tmp_path / "registry").model("m")
    adapter = _adapter(1)
    adapter.add_adapter("other", LoraConfig(TaskType.SEQ_CLS, r=4, target_modules=["query"]))
    model.save(adapter)
    loaded = model.load(options={"into": _base()})
    assert set(loaded.peft_config) == {"default", "other"}
    assert (_logits(loaded) == _logits(adapter)).all()
