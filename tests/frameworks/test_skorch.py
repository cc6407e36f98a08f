"""Nets of skorch."""

from pathlib import Path

import numpy as np
import pytest

import cas_registry as reg
from cas_registry.errors import InvalidInputError
from tests.frameworks.filling import Into
from tests.frameworks.round_trip import Case, check

pytestmark = pytest.mark.filterwarnings("default")
FEATURES = np.linspace(-1, 1, 64 * 4, dtype=np.float32).reshape(64, 4)
LABELS = (FEATURES[:, 0] > 0).astype(np.int64)


def _fresh():
    import torch
    from skorch import NeuralNetClassifier

    module = torch.nn.Sequential(torch.nn.Linear(4, 128), torch.nn.ReLU(), torch.nn.Linear(128, 2))
    return NeuralNetClassifier(module, criterion=torch.nn.CrossEntropyLoss, max_epochs=2, lr=0.1, verbose=0)


def _trained(seed: int):
    import torch

    torch.manual_seed(seed)
    return _fresh().fit(FEATURES, LABELS)


CASES = (
    Case(
        "skorch classifier, other seed", ("skorch", "safetensors"), _trained, lambda net: [net.predict_proba(FEATURES), net.predict(FEATURES)],
        "skorch", "safetensors", load=Into(_fresh),
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_history_comes_along_and_a_net_is_needed(tmp_path: Path) -> None:
    pytest.importorskip("skorch")
    model = reg.init(tmp_path / "registry").model("m")
    net = _trained(0)
    model.save(net)
    assert model.show("main").commit.params["lr"] == 0.1
    assert model.load(options={"into": _fresh()}).history[:, "train_loss"] == net.history[:, "train_loss"]
    with pytest.raises(InvalidInputError, match="into"):
        model.load()
    with pytest.raises(InvalidInputError, match="fit or initialize"):
        model.save(_fresh())
