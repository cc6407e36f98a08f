"""Modules of PyTorch: the state dict as safetensors, and an optimizer's state beside it. Neither is a pickle.

The class is not stored. Who loads gives a module to fill (`into`), or trusts the class by name; what it is made with is what `init` said when it was
saved.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cas_registry.errors import InvalidInputError
from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.frameworks.hyperparameters import flat_params
from cas_registry.frameworks.state_dicts import fill_module, read_state, write_state
from cas_registry.frameworks.trees import read_tree, write_tree
from cas_registry.frameworks.trusted import full_name, trusted_class
from cas_registry.model.manifest import SavedObject

_INIT = "init"
_OPTIMIZER = "optimizer"
_GIVE = 'Give a module to fill, as in load(..., options={"into": Net()}). '


def _matches(obj: object) -> bool:
    return is_a(obj, "torch.nn:Module")


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    module = _unwrapped(obj)
    kind = full_name(type(module))
    write_state(module.state_dict(), folder)
    init, optimizer = options.more.get("init"), options.more.get("optimizer")
    if init is not None:
        write_tree(dict(init), folder, _INIT)
    params = {**flat_params(init or {}), "parameters": sum(item.numel() for item in module.parameters())}
    if optimizer is not None:
        write_tree(optimizer.state_dict(), folder, _OPTIMIZER)
        params |= {"optimizer": type(optimizer).__name__, **flat_params(optimizer.defaults, prefix="optimizer.")}
    return Saved("safetensors", {"class": kind}, params, trust=(kind,))


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    state = read_state(folder)
    kind = str(stored.details.get("class"))
    target: Any = options.more.get("into")
    module = target
    if target is None:
        init = read_tree(folder, _INIT) if (folder / f"{_INIT}.json").exists() else {}
        module = trusted_class(kind, options.trust, instead=_GIVE)(**init)
    fill_module(_unwrapped(module), state, what=f"the state of a {kind}")
    optimizer = options.more.get("optimizer")
    if optimizer is not None:
        if not (folder / f"{_OPTIMIZER}.json").exists():
            raise InvalidInputError('no optimizer was saved with this module: save(..., options={"optimizer": optimizer})')
        optimizer.load_state_dict(read_tree(folder, _OPTIMIZER))
    return module.eval() if target is None else module  # as from_pretrained has it: for predicting


def _unwrapped(module: Any) -> Any:
    """The module that a compiled or a parallel one is a shell of: their names begin with another one's."""
    while True:
        if is_a(module, "torch._dynamo.eval_frame:OptimizedModule"):
            module = module._orig_mod  # noqa: SLF001 - torch has no other name for it
        elif is_a(module, "torch.nn:DataParallel", "torch.nn.parallel:DistributedDataParallel"):
            module = module.module
        else:
            return module


ADAPTER = Adapter(
    name="pytorch",
    modules=("torch",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"torch": "torch", "safetensors": "safetensors"},
    formats=("safetensors",),
    save_options=("init", "optimizer"),
    load_options=("into", "optimizer"),
)
