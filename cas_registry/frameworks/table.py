"""The adapters, in the order in which they are asked whether an object is theirs, and how one is found by name.

Special ones stand before general ones: an LGBMClassifier is an estimator of scikit-learn, too.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from cas_registry.errors import InvalidInputError, UnsupportedFormatError
from cas_registry.frameworks.adapter import Adapter

GROUP = "cas_registry.frameworks"  # of entry points: adapters of others, which are asked before these
TABLE: dict[str, str] = {  # name -> module in `adapters/` that has its ADAPTER
    # Deep learning: what is built on torch or keras stands before those
    "lightning": "lightning",
    "peft": "peft_adapters",
    "sentence-transformers": "sentence_transformers_models",
    "transformers": "transformers_models",
    "diffusers": "diffusers_models",
    "fastai": "fastai_learners",
    "skorch": "skorch_nets",
    "keras": "keras_models",
    "tensorflow": "tensorflow_modules",
    "saved-model": "saved_model",
    "torchscript": "torchscript",
    "torch-export": "torch_export",
    "pytorch": "pytorch",
    "flax": "flax_models",
    "equinox": "equinox_modules",
    "mlx": "mlx_modules",
    "spacy": "spacy_pipelines",
    "onnx": "onnx_models",
    "tensors": "tensors",
    "orbax": "orbax_checkpoints",
    # Gradient boosting: estimators of scikit-learn, too
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "catboost": "catboost",
    # Estimators
    "scikit-learn": "scikit_learn",
    "statsmodels": "statsmodels",
    "prophet": "prophet",
    "gensim": "gensim",
    "annoy": "annoy",
    "shap": "shap",
    "arviz": "arviz",
    "spark": "spark_models",
    # Data and files: the most general last
    "pandas": "pandas_tables",
    "numpy": "numpy_arrays",
    "files": "files",
}


def adapters() -> Iterator[Adapter]:
    """All of them in their order: those of others by name, then the table's."""
    for found in sorted(entry_points(group=GROUP), key=lambda found: found.name):
        if found.name not in TABLE and (adapter := _try(found)) is not None:
            yield adapter
    for name in TABLE:
        yield _built_in(name)


def adapter_for(obj: object, *, preferred: str | None = None) -> Adapter:
    """The adapter whose object this is: the one called `preferred`, if it is one of its objects, else the first that says so. InvalidInputError lists what is
    known where there is none."""
    asked = adapters() if preferred is None else sorted(adapters(), key=lambda adapter: adapter.name != preferred)
    for adapter in asked:
        if adapter.is_asked() and adapter.matches(obj):
            return adapter
    kind = kind_of(obj)
    known = [adapter.name for adapter in adapters()]
    raise InvalidInputError(
        f"nobody knows how to save a {kind}; known are {', '.join(known)}. Write it to a folder and commit that, or add an adapter "
        f"(docs/frameworks.md)",
        type=kind,
        known=known,
    )


def adapter_named(name: str) -> Adapter:
    """The adapter that a manifest names. UnsupportedFormatError where it is not installed."""
    if name in TABLE:
        return _built_in(name)
    for found in entry_points(group=GROUP, name=name):
        return _load(found)
    raise UnsupportedFormatError(
        f"this was saved by the adapter {name[:80]!r}, which is not here: install the package that brings it, or upgrade cas_registry",
        adapter=name,
    )


def kind_of(obj: object) -> str:
    """The full name of an object's type."""
    kind = type(obj)
    return f"{kind.__module__}.{kind.__qualname__}"


def _built_in(name: str) -> Adapter:
    module: Any = importlib.import_module(f"cas_registry.frameworks.adapters.{TABLE[name]}")
    adapter: Adapter = module.ADAPTER
    return adapter


def _try(found: EntryPoint) -> Adapter | None:
    """An adapter of others; one that cannot be loaded does not keep the rest from working."""
    try:
        return _load(found)
    except Exception as error:  # noqa: BLE001 - the code of others raises what it likes
        warnings.warn(f"the adapter {found.name} ({found.value}) cannot be loaded: {error}", RuntimeWarning, stacklevel=2)
        return None


def _load(found: EntryPoint) -> Adapter:
    adapter = found.load()
    if not isinstance(adapter, Adapter) or adapter.name != found.name:
        raise InvalidInputError(f"{found.value} is not an Adapter called {found.name!r}")
    return adapter
