"""Adapters of PEFT (LoRA and its like): their own weights as safetensors. The base is another version, which is given when they are loaded.

Name it when saving, as in `save(adapter, inputs={"base": "bert@prod"})`: it is kept by id, and cannot be retired while the adapter lives.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cas_registry.errors import InvalidInputError
from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.frameworks.adapters.transformers_models import refuse_pickles
from cas_registry.frameworks.hyperparameters import flat_params
from cas_registry.model.manifest import SavedObject

_CONFIG = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"
_CARD = "README.md"  # a form to fill in
_DEFAULT = "default"


def _matches(obj: object) -> bool:
    return is_a(obj, "peft:PeftModel")


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    del options
    obj.save_pretrained(folder)
    for card in folder.rglob(_CARD):
        card.unlink()
    for path in folder.rglob(_CONFIG):
        config = {
            name: sorted(value, key=str) if name in _SETS and isinstance(value, list) else value
            for name, value in _read(path).items()
        }
        path.write_text(json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    refuse_pickles(folder)
    active = obj.active_adapter
    told = {name: value for name, value in obj.peft_config[active].to_dict().items() if name != "auto_mapping"}
    told = {
        name: sorted(value, key=str) if isinstance(value, set) else getattr(value, "value", value)
        for name, value in told.items()
    }
    return Saved("safetensors", {"adapter": active}, flat_params(told))


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    from peft import PeftModel

    refuse_pickles(folder)
    base = options.more.get("into")
    if base is None:
        raise InvalidInputError(
            'an adapter needs its base: load that (reg inputs names its version), then load(..., options={"into": base})'
        )
    folders = {path.parent.relative_to(folder).as_posix(): path.parent for path in sorted(folder.rglob(_CONFIG))}
    named = {_DEFAULT if name == "." else name: place for name, place in folders.items()}
    active = str(stored.details.get("adapter", _DEFAULT))
    if active not in named:
        raise InvalidInputError(f"the version has no adapter {active!r}; there are {', '.join(named) or 'none'}")
    model = PeftModel.from_pretrained(
        base, named[active], adapter_name=active, is_trainable=bool(options.more.get("is_trainable", False))
    )
    for name, place in named.items():
        if name != active:
            model.load_adapter(place, adapter_name=name)
    return model


def _recognizes(paths: Sequence[str]) -> SavedObject | None:
    if not {_CONFIG, _WEIGHTS}.issubset(paths):
        return None
    return SavedObject("peft", "peft.PeftModel", "safetensors", (_CONFIG, _WEIGHTS))


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


_SETS = ("target_modules", "modules_to_save", "exclude_modules")  # which PEFT writes in no order

ADAPTER = Adapter(
    name="peft",
    modules=("peft",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"peft": "peft", "transformers": "transformers", "torch": "torch", "safetensors": "safetensors"},
    formats=("safetensors",),
    load_options=("into", "is_trainable"),
    recognizes=_recognizes,
)
