"""A folder of Transformers as MLflow's flavor has it: a pipeline made of a model and of what prepares its inputs.

MLflow looks for the latter in `components/NAME`, where copies of the small files are made; the model's own stay where they are. Nothing is loaded for it:
the task is that of the pipeline which was saved, or what the model's class is for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from cas_registry.errors import InvalidInputError

_MAX_JSON_BYTES = 16 * 1024 * 1024
_MAX_COMPONENT_BYTES = 64 * 1024 * 1024  # of all copies: the vocabulary of a large model takes some 20 MiB
_CLASS = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,200}")
_TASKS = {  # what a class's name ends in: the task, and the pipeline of it
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "ForMaskedLM": "fill-mask",
    "ForImageClassification": "image-classification",
    "Model": "feature-extraction",
}
_PIPELINES = {
    "text-classification": "TextClassificationPipeline",
    "token-classification": "TokenClassificationPipeline",
    "question-answering": "QuestionAnsweringPipeline",
    "text-generation": "TextGenerationPipeline",
    "fill-mask": "FillMaskPipeline",
    "image-classification": "ImageClassificationPipeline",
    "feature-extraction": "FeatureExtractionPipeline",
    "zero-shot-classification": "ZeroShotClassificationPipeline",
    "automatic-speech-recognition": "AutomaticSpeechRecognitionPipeline",
    "audio-classification": "AudioClassificationPipeline",
}
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")  # by the first of these it is told
_COMPONENT_SUFFIXES = (".json", ".txt", ".model", ".jinja", ".tiktoken")
_PREPROCESSOR = "preprocessor_config.json"
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
_WEIGHTS = ("model.safetensors", "generation_config.json")


def transformers_fields(
    own: frozenset[str], open_file: Callable[[str], BinaryIO], *, folder: str, task: str | None, tokenizer: str
) -> tuple[Mapping[str, Any], Mapping[str, bytes]]:
    """The entry of the flavor, and the copies that it needs, by path. `folder` has the model ("": the version's own), `tokenizer` what prepares inputs.

    InvalidInputError for a model that brings code, weights that are pickles, a task that nobody knows, and where there is nothing to prepare inputs with.
    """
    inside = {path.removeprefix(f"{folder}/") for path in own if path.startswith(f"{folder}/")} if folder else own
    if pickles := sorted(path for path in inside if "/" not in path and path.endswith(_PICKLES)):
        raise InvalidInputError(f"{', '.join(pickles)}: weights as pickles beside those as safetensors; export it as a folder")
    config = _read_json(_in(folder, "config.json"), own, open_file)
    names = config.get("architectures")
    kind = names[0] if isinstance(names, list) and names else None
    if not isinstance(kind, str) or not _CLASS.fullmatch(kind):
        raise InvalidInputError("config.json names no class of model (architectures); export it as a folder")
    if "auto_map" in config:
        raise InvalidInputError(
            f"{kind} brings code of its own (auto_map in config.json), which MLflow would run; export it as a folder"
        )
    wanted = task or next((found for end, found in _TASKS.items() if kind.endswith(end)), None)
    if wanted not in _PIPELINES:
        raise InvalidInputError(f"no task is known for a {task or kind}: save it as a pipeline, or export it as a folder")
    components, made = _components(own, open_file, tokenizer)
    if not components:
        raise InvalidInputError(
            "it has neither tokenizer nor image processor, without which MLflow makes no pipeline; export it as a folder"
        )
    return {
        "task": wanted,
        "instance_type": _PIPELINES[wanted],
        "pipeline_model_type": kind,
        "source_model_name": str(config.get("_name_or_path") or kind),
        "model_binary": folder or ".",
        "components": list(components),
        **{f"{name}_type": told for name, told in components.items()},
    }, made


def _components(
    own: frozenset[str], open_file: Callable[[str], BinaryIO], folder: str
) -> tuple[Mapping[str, str], Mapping[str, bytes]]:
    """What prepares inputs by its class, and the copies of its files: everything small and of text beside the model."""
    held = sorted(
        path
        for path in own
        if path.rpartition("/")[0] == folder
        and path.endswith(_COMPONENT_SUFFIXES)
        and not path.rpartition("/")[2].startswith(_WEIGHTS)
        and path.rpartition("/")[2] not in {"cas-model.json", "requirements.txt"}
    )
    components: dict[str, str] = {}
    if any(_in(folder, name) in own for name in _TOKENIZER):
        components["tokenizer"] = "AutoTokenizer"
    if _in(folder, _PREPROCESSOR) in own:
        told = _read_json(_in(folder, _PREPROCESSOR), own, open_file)
        if "image_processor_type" in told:
            components["image_processor"] = "AutoImageProcessor"
        elif "feature_extractor_type" in told:
            components["feature_extractor"] = "AutoFeatureExtractor"
    made: dict[str, bytes] = {}
    left = _MAX_COMPONENT_BYTES
    for path in held if components else ():
        with open_file(path) as file:
            data = file.read(left + 1)
        left -= len(data)
        if left < 0:
            raise InvalidInputError(
                f"the files of its tokenizer take more than {_MAX_COMPONENT_BYTES:,} bytes; export it as a folder"
            )
        made.update({f"components/{name}/{path.rpartition('/')[2]}": data for name in components})
    if "auto_map" in json.dumps([_parsed(data) for path, data in made.items() if path.endswith("_config.json")]):
        raise InvalidInputError(
            "its tokenizer brings code of its own (auto_map), which MLflow would run; export it as a folder"
        )
    return components, made


def _in(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _read_json(path: str, own: frozenset[str], open_file: Callable[[str], BinaryIO]) -> Mapping[str, Any]:
    if path not in own:
        raise InvalidInputError(f"it has no {path}; export it as a folder")
    with open_file(path) as file:
        data = file.read(_MAX_JSON_BYTES + 1)
    found = _parsed(data) if len(data) <= _MAX_JSON_BYTES else None
    if not isinstance(found, dict):
        raise InvalidInputError(f"{path} is no JSON object of at most {_MAX_JSON_BYTES:,} bytes; export it as a folder")
    return found


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
