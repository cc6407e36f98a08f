"""Moving in: versions of models that people keep elsewhere, with their names, tags, states, times, params and metrics.

A source (`importing/foreign.py` has the protocol; a module each) tells which versions there are and lays out the files of one when it is asked;
`importing/engine.py` commits them. What a source holds was written by others: it is read as data and within bounds, nothing of it
is run or unpickled, no byte is written outside of a folder made for it, and what is wrong with one version is told of that version.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cas_registry.errors import InvalidInputError

if TYPE_CHECKING:
    from cas_registry.operations.importing.foreign import Source, SourceOptions

KINDS: Mapping[str, str] = {
    "modelstore": "modelstore",
    "mlflow": "mlflow",
    "dvc": "dvc",
    "git-lfs": "git_lfs",
    "huggingface": "hugging_face",
    "wandb": "wandb",
}  # how people call it -> the module here whose `open_source` reads it


def open_source(kind: str, place: str, options: SourceOptions) -> Source:
    """The source of that kind at a folder or URL. InvalidInputError for a kind nobody knows, NotFoundError where nothing of it is there."""
    if kind not in KINDS:
        raise InvalidInputError(f"nothing is imported from {kind!r}; choose one of {', '.join(KINDS)}")
    source: Source = importlib.import_module(f"{__name__}.{KINDS[kind]}").open_source(place, options)
    return source
