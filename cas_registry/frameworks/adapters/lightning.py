"""Modules of Lightning: weights as safetensors, hyper-parameters as JSON, and of a trainer its checkpoint without either.

`into` or a trusted class, as for PyTorch. With the option `checkpoint`, a path, loading writes a checkpoint for `Trainer.fit(ckpt_path=…)`, too.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from cas_registry.errors import InvalidInputError
from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.frameworks.hyperparameters import flat_params
from cas_registry.frameworks.state_dicts import fill_module, read_state, write_state
from cas_registry.frameworks.trees import read_tree, write_tree
from cas_registry.frameworks.trusted import full_name, trusted_class
from cas_registry.model.manifest import SavedObject

_HYPER_PARAMETERS = "hyper_parameters"
_TRAINING = "training"  # epoch, step, loops, optimizers, schedulers, callbacks
_GIVE = 'Give a module to fill, as in load(..., options={"into": Net()}). '


def _matches(obj: object) -> bool:
    return is_a(obj, "lightning.pytorch:LightningModule", "pytorch_lightning:LightningModule")


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    kind = full_name(type(obj))
    write_state(obj.state_dict(), folder)
    hyper_parameters = dict(obj.hparams)
    write_tree(hyper_parameters, folder, _HYPER_PARAMETERS)
    params = {**flat_params(hyper_parameters), "parameters": sum(item.numel() for item in obj.parameters())}
    trainer = options.more.get("trainer")
    if trainer is not None:
        write_tree(_training_state(trainer), folder, _TRAINING)
        params |= {"epoch": trainer.current_epoch, "global_step": trainer.global_step}
    return Saved("safetensors", {"class": kind}, params, trust=(kind,))


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    state, hyper_parameters = read_state(folder), read_tree(folder, _HYPER_PARAMETERS)
    kind = str(stored.details.get("class"))
    target = options.more.get("into")
    module = trusted_class(kind, options.trust, instead=_GIVE)(**hyper_parameters) if target is None else target
    fill_module(module, state, what=f"the state of a {kind}")
    checkpoint = options.more.get("checkpoint")
    if checkpoint is not None:
        if not (folder / f"{_TRAINING}.json").exists():
            raise InvalidInputError('no trainer was saved with this module: save(..., options={"trainer": trainer})')
        import torch

        torch.save({**read_tree(folder, _TRAINING), "state_dict": state, _HYPER_PARAMETERS: hyper_parameters}, checkpoint)
    return module.eval() if target is None else module


def _training_state(trainer: Any) -> dict[str, Any]:
    """What the trainer's own checkpoint has beside weights and hyper-parameters."""
    import torch

    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "last.ckpt")
        trainer.save_checkpoint(file)
        checkpoint: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=False)
    return {name: value for name, value in checkpoint.items() if name not in {"state_dict", _HYPER_PARAMETERS}}


ADAPTER = Adapter(
    name="lightning",
    modules=("lightning", "pytorch_lightning"),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"torch": "torch", "safetensors": "safetensors"},
    formats=("safetensors",),
    save_options=("trainer",),
    load_options=("into", "checkpoint"),
)
