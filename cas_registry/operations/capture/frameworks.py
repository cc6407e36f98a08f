"""The frameworks that are loaded in the process that made the model."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from cas_registry.model.canonical import Scalar
from cas_registry.operations.capture.packages import normal_name

_FRAMEWORKS = {  # the module that is imported -> the distribution that it is known by
    "annoy": "annoy",
    "catboost": "catboost",
    "causalml": "causalml",
    "diffusers": "diffusers",
    "fastai": "fastai",
    "flax": "flax",
    "gensim": "gensim",
    "jax": "jax",
    "keras": "keras",
    "lightgbm": "lightgbm",
    "lightning": "lightning",
    "mxnet": "mxnet",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "paddle": "paddlepaddle",
    "peft": "peft",
    "prophet": "prophet",
    "pyspark": "pyspark",
    "pytorch_lightning": "pytorch-lightning",
    "sentence_transformers": "sentence-transformers",
    "shap": "shap",
    "sklearn": "scikit-learn",
    "skorch": "skorch",
    "spacy": "spacy",
    "statsmodels": "statsmodels",
    "tensorflow": "tensorflow",
    "timm": "timm",
    "torch": "torch",
    "transformers": "transformers",
    "xgboost": "xgboost",
}


def loaded_frameworks(modules: Mapping[str, ModuleType], packages: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The version of each framework among the loaded modules: its own word for it, else that of the installed distribution."""
    found: dict[str, Scalar] = {}
    for module, distribution in _FRAMEWORKS.items():
        loaded = modules.get(module)
        if loaded is None:
            continue
        own = vars(loaded).get("__version__")  # not getattr, which makes lazy modules load
        version = str(own) if isinstance(own, str) else packages.get(normal_name(distribution))
        if version is not None:
            found[distribution] = version
    return found
