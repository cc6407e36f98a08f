"""Indexes of Annoy, as its own file, with what that does not tell: dimensions and metric."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cas_registry.errors import InvalidInputError
from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.model.manifest import SavedObject

_FILE = "index.ann"
_PAIRS = 20  # that are measured by each metric
_TOLERANCE = 1e-3  # Annoy computes in single precision
Vector = Sequence[float]


def _matches(obj: object) -> bool:
    return is_a(obj, "annoy:AnnoyIndex", "annoy.annoylib:Annoy")


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    metric = options.more.get("metric") or _find_metric(obj)
    if metric not in _METRICS:
        raise InvalidInputError(f"metric is {metric!r}; Annoy has {', '.join(_METRICS)}")
    obj.save(str(folder / _FILE))
    told = {"metric": metric, "dimensions": obj.f, "trees": obj.get_n_trees(), "items": obj.get_n_items()}
    return Saved("ann", {"metric": metric, "dimensions": obj.f}, told)


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    """The index, mapped from its file: on POSIX the bytes stay when the file's name goes."""
    del options
    from annoy import AnnoyIndex

    known: Any = stored.details
    index = AnnoyIndex(known["dimensions"], known["metric"])
    index.load(str(folder / _FILE))
    return index


def _find_metric(index: Any) -> str:
    """An index does not tell its metric; its distances do. InvalidInputError where they fit several."""
    count = index.get_n_items()
    pairs = [(0, other) for other in range(1, min(count, _PAIRS + 1))]
    vectors = {item: index.get_item_vector(item) for item in range(min(count, _PAIRS + 1))}
    fitting = [
        name
        for name, measure in _METRICS.items()
        if pairs
        and all(
            math.isclose(
                measure(vectors[one], vectors[other]), index.get_distance(one, other), rel_tol=_TOLERANCE, abs_tol=_TOLERANCE
            )
            for one, other in pairs
        )
    ]
    if len(fitting) != 1:
        raise InvalidInputError(
            f"the index does not tell its metric, and its distances fit {', '.join(fitting) or 'none that is known'}: "
            f"save(index, options={{'metric': …}})"
        )
    return fitting[0]


def _angular(one: Vector, other: Vector) -> float:
    dot, norms = sum(a * b for a, b in zip(one, other, strict=True)), math.hypot(*one) * math.hypot(*other)
    return math.sqrt(max(0.0, 2 - 2 * dot / norms)) if norms else math.sqrt(2)


_METRICS: dict[str, Callable[[Vector, Vector], float]] = {
    "angular": _angular,
    "euclidean": math.dist,
    "manhattan": lambda one, other: sum(abs(a - b) for a, b in zip(one, other, strict=True)),
    "hamming": lambda one, other: float(sum(a != b for a, b in zip(one, other, strict=True))),
    "dot": lambda one, other: sum(a * b for a, b in zip(one, other, strict=True)),
}
ADAPTER = Adapter(
    name="annoy",
    modules=("annoy",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"annoy": "annoy"},
    formats=("ann",),
    save_options=("metric",),
)
