"""Modules of Lightning, and what a trainer knows."""

from pathlib import Path

import pytest

import cas_registry as reg
from cas_registry.errors import InvalidInputError, UnsafeFileError
from tests.frameworks.round_trip import Case, check

pytestmark = pytest.mark.filterwarnings("default")


def _trained(seed: int, folder: Path | None = None, *, epochs: int = 1, checkpoint: Path | None = None):
    import lightning.pytorch as pl

    from tests.frameworks.lightning_nets import Regressor, batches

    pl.seed_everything(seed, verbose=False)
    module = Regressor(width=64, lr=0.05)
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(module, batches(), ckpt_path=checkpoint, **({"weights_only": False} if checkpoint else {}))
    return module, trainer


def _predict(module):
    import torch

    from tests.frameworks.lightning_nets import INPUTS

    with torch.no_grad():
        return module.eval()(INPUTS).numpy()


CASES = (
    Case(
        "Lightning module", ("lightning", "torch", "safetensors"), lambda seed: _trained(seed)[0], _predict, "lightning", "safetensors",
        load={"trust": ["tests.frameworks.lightning_nets.Regressor"]},
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_training_goes_on_from_the_parts_of_a_checkpoint(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    model = reg.init(tmp_path / "registry").model("net")
    module, trainer = _trained(0)
    report = model.save(module, options={"trainer": trainer})
    commit = model.show("main").commit
    assert (commit.params["width"], commit.params["epoch"], commit.params["lr"]) == (64, 1, 0.05)
    assert not any(file.on_load.runs_code for file in model.files("main"))
    assert report.created
    loaded = model.load(trust=["tests.frameworks.lightning_nets.Regressor"], options={"checkpoint": tmp_path / "resume.ckpt"})
    assert (_predict(loaded) == _predict(module)).all()
    resumed, again = _trained(1, epochs=3, checkpoint=tmp_path / "resume.ckpt")
    whole, _ = _trained(0, epochs=3)
    assert again.current_epoch == 3
    assert (_predict(resumed) == _predict(whole)).all()
    model.save(module, branch="bare")
    with pytest.raises(InvalidInputError, match="no trainer"):
        model.load("bare", options={"into": module, "checkpoint": tmp_path / "x.ckpt"})
    with pytest.raises(UnsafeFileError, match="into"):
        model.load()
