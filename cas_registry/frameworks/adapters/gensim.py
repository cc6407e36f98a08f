"""Word vectors of gensim as word2vec's own format, which is data; its other models as gensim saves them, which is a pickle beside arrays."""

from __future__ import annotations

import importlib
from itertools import pairwise
from pathlib import Path
from typing import Any

from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.frameworks.hyperparameters import flat_params
from cas_registry.model.manifest import SavedObject

_VECTORS = "vectors.bin"
_COUNTS = "vocabulary.txt"
_NATIVE = "model.gensim"
_PARAMS = (
    "vector_size",
    "window",
    "min_count",
    "epochs",
    "sg",
    "hs",
    "negative",
    "alpha",
    "num_topics",
    "passes",
    "random_state",
    "dm",
)


def _matches(obj: object) -> bool:
    return is_a(obj, "gensim.utils:SaveLoad")


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    del options
    params = flat_params({name: getattr(obj, name) for name in _PARAMS if getattr(obj, name, None) is not None})
    if _is_plain(obj):
        obj.save_word2vec_format(folder / _VECTORS, fvocab=folder / _COUNTS, binary=True)
        return Saved("word2vec", params={**params, "vectors": len(obj)})
    obj.save(str(folder / _NATIVE))
    return Saved("gensim", params=params)


def _is_plain(obj: Any) -> bool:
    """Whether the format of word2vec holds all of it: vectors in single precision, words without white space, nothing further for each word than a count."""
    if type(obj).__name__ != "KeyedVectors" or not is_a(obj, "gensim.models.keyedvectors:KeyedVectors"):
        return False
    words = obj.index_to_key
    return (
        str(obj.vectors.dtype) == "float32"
        and set(obj.expandos) <= {"count", "sample_int"}
        and "count" in obj.expandos
        and _are_falling(obj.expandos["count"])
        and len(words) == len(obj.vectors)
        and all(isinstance(word, str) and word and not any(char.isspace() for char in word) for word in words)
    )


def _are_falling(counts: Any) -> bool:
    """Whether words stand in the order in which the format writes them: the most frequent first."""
    return all(one >= other for one, other in pairwise(counts))


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    del options
    if stored.format == "word2vec":
        from gensim.models import KeyedVectors

        return KeyedVectors.load_word2vec_format(str(folder / _VECTORS), fvocab=str(folder / _COUNTS), binary=True)
    module, _, name = stored.kind.rpartition(".")
    if module.startswith("gensim."):  # loaders differ by class; that code runs was allowed
        return getattr(importlib.import_module(module), name).load(str(folder / _NATIVE))
    from gensim.utils import SaveLoad

    return SaveLoad.load(str(folder / _NATIVE))


ADAPTER = Adapter(
    name="gensim",
    modules=("gensim",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"gensim": "gensim"},
    formats=("word2vec",),
    pickle_formats=("gensim",),
)
