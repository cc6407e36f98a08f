"""Sentence Transformers: embedders, cross-encoders and sparse encoders by `save_pretrained`, weights as safetensors.

`modules.json` names the classes that a model is put together of; one from elsewhere than the package has to be trusted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cas_registry.errors import FormatError, UnsafeFileError
from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.frameworks.adapters.transformers_models import refuse_pickles
from cas_registry.frameworks.hyperparameters import flat_params
from cas_registry.model.manifest import SavedObject

_KINDS = ("SentenceTransformer", "CrossEncoder", "SparseEncoder")
_MODULES = "modules.json"
_OWN = "sentence_transformers."


def _matches(obj: object) -> bool:
    return is_a(obj, *(f"sentence_transformers:{kind}" for kind in _KINDS))


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    del options
    name = next(kind for kind in _KINDS if is_a(obj, f"sentence_transformers:{kind}"))
    obj.save_pretrained(str(folder), create_model_card=False)
    refuse_pickles(folder)
    params = {
        "parameters": sum(item.numel() for item in obj.parameters()),
        "max_seq_length": getattr(obj, "max_seq_length", None),
    }
    size = getattr(obj, "get_sentence_embedding_dimension", None) if name == _KINDS[0] else None
    if size is not None:
        params["dimensions"] = size()
    return Saved("safetensors", {"class": name}, flat_params(params), trust=_foreign(folder))


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    import sentence_transformers

    refuse_pickles(folder)
    foreign = [name for name in _foreign(folder) if name not in options.trust]
    if foreign:
        raise UnsafeFileError(
            f"{_MODULES} names {', '.join(foreign)}, whose modules would have to be imported. If you trust them, load with trust={foreign}",
            types=foreign,
        )
    name = stored.details.get("class")
    kind = getattr(sentence_transformers, name if name in _KINDS and isinstance(name, str) else _KINDS[0])
    return kind(str(folder), local_files_only=True, trust_remote_code=bool(_foreign(folder)))


def _foreign(folder: Path) -> tuple[str, ...]:
    """The classes that a model is to be put together of and that are not the package's own."""
    path = folder / _MODULES
    if not path.exists():
        return ()
    try:
        kinds = {str(module["type"]) for module in json.loads(path.read_text(encoding="utf-8"))}
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{_MODULES} does not list modules: {error}", path=_MODULES) from error
    return tuple(sorted(kind for kind in kinds if not kind.startswith(_OWN)))


def _recognizes(paths: Sequence[str]) -> SavedObject | None:
    if not {_MODULES, "config_sentence_transformers.json"}.issubset(paths):
        return None
    files = tuple(
        path for path in paths if not path.endswith((".bin", ".onnx")) and not path.startswith(("onnx/", "openvino/"))
    )
    return SavedObject("sentence-transformers", f"{_OWN}{_KINDS[0]}", "safetensors", files)


ADAPTER = Adapter(
    name="sentence-transformers",
    modules=("sentence_transformers",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={
        "sentence-transformers": "sentence_transformers", "transformers": "transformers", "torch": "torch", "safetensors": "safetensors",
    },
    formats=("safetensors",),
    recognizes=_recognizes,
)  # fmt: skip
