"""State dicts of PyTorch as safetensors: flat names, one tensor each. Where one tensor has several names, they are told beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cas_registry.errors import FormatError, InvalidInputError
from cas_registry.frameworks.adapter import is_a
from cas_registry.frameworks.trees import read_tree, tensor_identity, write_tree

WEIGHTS = "model.safetensors"
_SHARED = "model.shared.json"
_EXTRA = "model.extra"  # what modules keep in their state beside tensors (get_extra_state)


def write_state(state: Mapping[str, Any], folder: Path) -> None:
    """Write `model.safetensors` and, only where there is such a thing, the names that share a tensor, and what is no tensor.

    Raises InvalidInputError for tensors that safetensors has no place for (sparse, quantized, without data), and for state that is
    neither tensors nor plain values.
    """
    from safetensors.torch import save_file

    kept: dict[str, Any] = {}
    shared: dict[str, str] = {}
    extra: dict[str, Any] = {}
    first_names: dict[tuple[object, ...], str] = {}
    storages: set[int] = set()
    for name, value in state.items():
        if not is_a(value, "torch:Tensor"):
            extra[name] = value
            continue
        _check(name, value)
        identity = tensor_identity(value)
        if identity in first_names:
            shared[name] = first_names[identity]
            continue
        if identity is not None:
            first_names[identity] = name
        tensor = value.detach().contiguous()
        storage = tensor.untyped_storage().data_ptr()
        kept[name] = tensor.clone() if storage in storages else tensor  # a view of another one gets bytes of its own
        storages.add(storage)
    try:
        save_file(
            kept, folder / WEIGHTS, metadata={"format": "pt"}
        )  # as transformers marks them; more than one entry has no fixed order
    except (KeyError, ValueError, RuntimeError) as error:
        raise InvalidInputError(f"safetensors does not take these tensors: {str(error)[:500]}") from error
    if shared:
        (folder / _SHARED).write_text(json.dumps(shared, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    if extra:
        write_tree(extra, folder, _EXTRA)


def read_state(folder: Path) -> dict[str, Any]:
    """The state dict that was written; names that shared a tensor share it again. Raises FormatError."""
    from safetensors.torch import load_file

    state: dict[str, Any] = load_file(folder / WEIGHTS)
    if (folder / _SHARED).exists():
        try:
            shared = json.loads((folder / _SHARED).read_text(encoding="utf-8"))
            state |= {name: state[first] for name, first in shared.items()}
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            raise FormatError(f"{_SHARED} does not tell which tensors are shared: {error}", path=_SHARED) from error
    if (folder / f"{_EXTRA}.json").exists():
        state |= read_tree(folder, _EXTRA)
    return state


def fill_module(module: Any, state: Mapping[str, Any], *, what: str) -> None:
    """Put the state into a module. InvalidInputError where it is not that module's: names or shapes differ."""
    try:
        module.load_state_dict(state)
    except (RuntimeError, KeyError) as error:
        raise InvalidInputError(f"{what} does not fit into this {type(module).__name__}: {str(error)[:1000]}") from error


def _check(name: str, tensor: Any) -> None:
    if is_a(tensor, "torch.nn.parameter:UninitializedTensorMixin") or tensor.device.type == "meta":
        raise InvalidInputError(f"{name} has no data yet: run the module once, or load its weights", path=name)
    if str(tensor.layout) != "torch.strided" or tensor.is_quantized:
        raise InvalidInputError(f"{name} is a sparse or quantized tensor, which safetensors has no place for", path=name)
