"""Diffusers: pipelines, their models and schedulers by `save_pretrained`, weights as safetensors. Classes are those of diffusers and transformers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cas_registry.errors import FormatError, UnsafeFileError
from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.frameworks.adapters.transformers_models import refuse_pickles
from cas_registry.frameworks.hyperparameters import flat_params
from cas_registry.frameworks.trusted import full_name, trusted_class
from cas_registry.model.manifest import SavedObject

_INDEX = "model_index.json"
_LIBRARIES = ("diffusers", "transformers")
_PAIR = 2  # [library, class], as the index has it


def _matches(obj: object) -> bool:
    return is_a(
        obj,
        "diffusers.pipelines.pipeline_utils:DiffusionPipeline",
        "diffusers.models.modeling_utils:ModelMixin",
        "diffusers.schedulers.scheduling_utils:SchedulerMixin",
    )


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    del options
    kind = full_name(type(obj))
    obj.save_pretrained(folder)
    refuse_pickles(folder)
    told = {name: value for name, value in dict(obj.config).items() if not name.startswith("_")}
    params = flat_params({name: value[1] if _is_pair(value) else value for name, value in told.items()})  # of a part its class
    has_weights = any(path.suffix == ".safetensors" for path in folder.rglob("*"))
    return Saved(
        "safetensors" if has_weights else "json",
        {"class": kind},
        params,
        trust=(*(() if _own(kind) else (kind,)), *_foreign(folder)),
    )


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    refuse_pickles(folder)
    foreign = [name for name in _foreign(folder) if name not in options.trust]
    if foreign:
        raise UnsafeFileError(
            f"{_INDEX} names {', '.join(foreign)}. If you trust them, load with trust={foreign}", types=foreign
        )
    kind = str(stored.details.get("class", stored.kind))
    found = _own(kind)
    if found is None:
        found = trusted_class(kind, options.trust, instead="")
    told: dict[str, Any] = {"local_files_only": True}
    if stored.format == "safetensors":
        told["use_safetensors"] = True
    loaded = found.from_pretrained(folder, **told)
    for part in (loaded, *getattr(loaded, "components", {}).values()):
        if is_a(part, "torch.nn:Module"):
            for (
                weight
            ) in part.parameters():  # mapped from files that will be gone, and some sums come out otherwise on such memory
                weight.data = weight.data.clone()
    return loaded


def _own(kind: str) -> Any:
    import diffusers

    found = getattr(diffusers, kind.rpartition(".")[2], None) if kind.startswith("diffusers.") else None
    return found if isinstance(found, type) and hasattr(found, "from_pretrained") else None


def _foreign(folder: Path) -> tuple[str, ...]:
    """What the index of a pipeline takes from elsewhere, code beside the weights included."""
    path = folder / _INDEX
    if not path.exists():
        return ()
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        parts = {name: value for name, value in index.items() if isinstance(value, list)}
    except (ValueError, AttributeError) as error:
        raise FormatError(f"{_INDEX} is no index of a pipeline: {error}", path=_INDEX) from error
    foreign = [
        ".".join(map(str, value))
        for value in parts.values()
        if (_is_pair(value) and value[0] is not None and value[0] not in _LIBRARIES)
        or (not _is_pair(value) and not _is_plain(value))
    ]
    if isinstance(index.get("_class_name"), list):
        foreign.append(".".join(map(str, index["_class_name"])))
    return tuple(sorted(foreign))


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) == _PAIR
        and all(item is None or isinstance(item, str) for item in value)
    )


def _is_plain(value: list[Any]) -> bool:
    return all(isinstance(item, (int, float)) for item in value)


def _recognizes(paths: Sequence[str]) -> SavedObject | None:
    if _INDEX not in paths:
        return None
    files = tuple(path for path in paths if not path.endswith((".bin", ".ckpt", ".onnx", ".msgpack")))
    return SavedObject("diffusers", "diffusers.DiffusionPipeline", "safetensors", files)


ADAPTER = Adapter(
    name="diffusers",
    modules=("diffusers",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"diffusers": "diffusers", "torch": "torch", "safetensors": "safetensors"},
    formats=("safetensors", "json"),
    recognizes=_recognizes,
)
