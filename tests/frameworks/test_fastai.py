"""Learners of fastai."""

from pathlib import Path

import numpy as np
import pytest

import cas_registry as reg
from cas_registry.errors import InvalidInputError
from tests.frameworks.filling import Into
from tests.frameworks.round_trip import Case, check

pytestmark = pytest.mark.filterwarnings("default")
FEATURES = np.linspace(-1, 1, 64 * 4, dtype=np.float32).reshape(64, 4)


def _learner(seed: int, *, epochs: int = 1):
    import fastai.callback.progress  # noqa: F401 - gives a learner its no_bar
    import torch
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner

    from tests.frameworks.fastai_parts import Rows, loss

    torch.manual_seed(seed)
    rows = Rows(torch.tensor(FEATURES), torch.tensor(FEATURES.sum(1, keepdims=True)))
    loaders = DataLoaders.from_dsets(rows, rows, bs=16, device="cpu", num_workers=0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 128), torch.nn.ReLU(), torch.nn.Linear(128, 1))
    learner = Learner(loaders, net, loss_func=loss)
    with learner.no_bar(), learner.no_logging():
        learner.fit(epochs, 0.01)
    return learner


def _predict(learner):
    import torch

    with torch.no_grad():
        return learner.model.eval()(torch.tensor(FEATURES)).numpy()


CASES = (
    Case("fastai learner (weights), other seed", ("fastai", "safetensors"), _learner, _predict, "fastai", "safetensors", load=Into(lambda: _learner(9))),
    Case(
        "fastai learner (export), other seed", ("fastai", "safetensors"), _learner, _predict, "fastai", "export", needs_pickle=True, same_bytes=False,
        save={"options": {"export": True}, "allow_pickle": True},
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_an_export_is_a_pickle_and_weights_need_a_learner(tmp_path: Path) -> None:
    pytest.importorskip("fastai")
    model = reg.init(tmp_path / "registry").model("m")
    learner = _learner(0)
    with pytest.raises(InvalidInputError, match="allow_pickle"):
        model.save(learner, options={"export": True})
    model.save(learner)
    with pytest.raises(InvalidInputError, match="into"):
        model.load()
    loaded = model.load(options={"into": _learner(3)})
    assert loaded.opt.state_dict()["hypers"][0]["lr"] == learner.opt.state_dict()["hypers"][0]["lr"]
