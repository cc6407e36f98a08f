"""Transformers: models, tokenizers, processors, configurations and pipelines by `save_pretrained`, weights as safetensors.

A class is taken from transformers itself by its name, any other has to be trusted. Code that lies beside weights (`trust_remote_code`) is never run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cas_registry.errors import FormatError, InvalidInputError
from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.frameworks.hyperparameters import flat_params
from cas_registry.frameworks.trusted import full_name, trusted_class
from cas_registry.model.manifest import SavedObject

_MODEL = "transformers.modeling_utils:PreTrainedModel"
_PIPELINE = "transformers.pipelines.base:Pipeline"
_CONFIGURATIONS = ("transformers.configuration_utils:PretrainedConfig", "transformers.configuration_utils:PreTrainedConfig")
_OTHERS = (
    "transformers.tokenization_utils_base:PreTrainedTokenizerBase",
    "transformers.processing_utils:ProcessorMixin",
    "transformers.feature_extraction_utils:FeatureExtractionMixin",
    "transformers.image_processing_base:ImageProcessingMixin",
    "transformers.generation.configuration_utils:GenerationConfig",
)
_AUTO = "transformers.AutoModel"  # of a folder without manifest: the configuration says which


def _matches(obj: object) -> bool:
    return is_a(obj, _MODEL, _PIPELINE, *_CONFIGURATIONS, *_OTHERS)


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    del options
    is_model, is_pipeline = is_a(obj, _MODEL), is_a(obj, _PIPELINE)
    kind = full_name(type(obj))
    trust = () if is_pipeline or _own(kind) is not None else (kind,)
    obj.save_pretrained(folder)
    model = obj.model if is_pipeline else obj if is_model else None
    params: dict[str, Any] = {}
    if model is not None:
        params = {**flat_params(model.config.to_diff_dict()), "parameters": sum(item.numel() for item in model.parameters())}
    elif is_a(obj, *_CONFIGURATIONS):
        params = flat_params(obj.to_diff_dict())
    if model is not None:
        refuse_pickles(folder)
    libraries = {"torch": "torch", "safetensors": "safetensors"} if model is not None else {}
    details = {"class": kind, "task": _task(obj)} if is_pipeline else {"class": kind}
    return Saved("safetensors" if model is not None else "json", details, params, trust=trust, libraries=libraries)


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    import transformers

    refuse_pickles(folder)
    kind, task = str(stored.details.get("class", stored.kind)), stored.details.get("task")
    told: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    if stored.format == "safetensors":
        told["use_safetensors"] = True
        if int(transformers.__version__.partition(".")[0]) < 5:  # noqa: PLR2004 - from then on it is the default
            told["torch_dtype"] = "auto"
    if isinstance(task, str):
        return transformers.pipeline(task, model=str(folder), trust_remote_code=False, model_kwargs={"use_safetensors": True})
    if kind == _AUTO:
        return _auto(folder).from_pretrained(folder, **told)
    found = _own(kind)
    if found is None:
        found = trusted_class(kind, options.trust, instead="")
    return found.from_pretrained(folder, **told)


def _task(pipeline: Any) -> str:
    """What the pipeline is for, by the name that makes one of its class."""
    from transformers.pipelines import SUPPORTED_TASKS

    tasks = [name for name, told in SUPPORTED_TASKS.items() if told["impl"] in (type(pipeline), full_name(type(pipeline)))]
    if not tasks:
        raise InvalidInputError(
            f"a {type(pipeline).__name__} is no pipeline of transformers' own: save its model and its tokenizer, each by name"
        )
    return pipeline.task if pipeline.task in tasks else str(tasks[0])


def _own(kind: str) -> Any:
    """The class of transformers by its full name; None for one from elsewhere."""
    import transformers

    found = getattr(transformers, kind.rpartition(".")[2], None) if kind.startswith("transformers.") else None
    return found if isinstance(found, type) and full_name(found) == kind and hasattr(found, "from_pretrained") else None


def _auto(folder: Path) -> Any:
    """The class that the configuration names first, if transformers has it."""
    import transformers

    try:
        names = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("architectures") or ["AutoModel"]
    except (ValueError, OSError, AttributeError) as error:
        raise FormatError(f"config.json cannot be read: {error}") from error
    found = getattr(transformers, str(names[0]), None)
    is_model = isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)
    return found if is_model else transformers.AutoModel


def refuse_pickles(folder: Path) -> None:
    """InvalidInputError where weights lie in a folder as pickles, for a reader might take them."""
    found = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix in {".bin", ".pt", ".pth", ".pkl", ".ckpt"}
    )
    if found:
        raise InvalidInputError(
            f"{', '.join(found)}: weights as pickles beside those as safetensors; save them as safetensors alone", paths=found
        )


def _recognizes(paths: Sequence[str]) -> SavedObject | None:
    if "config.json" not in paths or not {"model.safetensors", "model.safetensors.index.json"}.intersection(paths):
        return None
    return SavedObject(
        "transformers", _AUTO, "safetensors", tuple(path for path in paths if "/" not in path and not path.endswith(".bin"))
    )


ADAPTER = Adapter(
    name="transformers",
    modules=("transformers",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"transformers": "transformers"},
    formats=("safetensors", "json"),
    recognizes=_recognizes,
)
