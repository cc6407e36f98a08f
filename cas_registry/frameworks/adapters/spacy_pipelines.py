"""Pipelines of spaCy, as it writes them to a folder: configuration, vocabulary and weights in JSON and MessagePack.

A component whose model is PyTorch's (a shim of thinc) keeps that as a pickle within; such a pipeline counts as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cas_registry.errors import InvalidInputError, UnsafeFileError
from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.frameworks.hyperparameters import flat_params
from cas_registry.model.manifest import SavedObject

_CONFIG = "config.cfg"


def _matches(obj: object) -> bool:
    return is_a(obj, "spacy.language:Language")


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    shims = _with_shims(obj)
    if shims and not options.allow_pickle:
        raise InvalidInputError(
            f"{', '.join(shims)}: the models of these components are pickles within; save(..., allow_pickle=True) writes them"
        )
    obj.to_disk(folder)
    params = {
        "lang": obj.lang,
        "pipeline": ", ".join(obj.pipe_names),
        "name": obj.meta.get("name"),
        "version": obj.meta.get("version"),
    }
    return Saved("spacy-with-pickle" if shims else "spacy", params=flat_params(params))


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    del options
    from spacy import util

    config = util.load_config(folder / _CONFIG)
    nlp = util.load_model_from_config(config)  # built, and not yet filled
    if stored.format == "spacy" and (shims := _with_shims(nlp)):  # the manifest's word for it is not enough
        raise UnsafeFileError(
            f"the models of {', '.join(shims)} are pickles within, and were not saved as such", paths=list(stored.paths)
        )
    return nlp.from_disk(folder)


def _with_shims(nlp: Any) -> list[str]:
    """The components whose models hold a piece of another framework."""
    models: dict[str, Any] = {name: getattr(component, "model", None) for name, component in nlp.pipeline}
    return [
        name for name, model in models.items() if is_a(model, "thinc.model:Model") and any(node.shims for node in model.walk())
    ]


def _recognizes(paths: Sequence[str]) -> SavedObject | None:
    if not {_CONFIG, "meta.json", "tokenizer"}.issubset(paths):
        return None
    return SavedObject("spacy", "spacy.language.Language", "spacy", tuple(paths))


ADAPTER = Adapter(
    name="spacy",
    modules=("spacy",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"spacy": "spacy", "thinc": "thinc"},
    formats=("spacy",),
    pickle_formats=("spacy-with-pickle",),
    recognizes=_recognizes,
)
