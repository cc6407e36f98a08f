"""Indexes of Annoy."""

from pathlib import Path
from typing import Any

import pytest

import cas_registry as reg
from cas_registry.errors import InvalidInputError
from tests.frameworks.data import FEATURES
from tests.frameworks.round_trip import Case, check

METRICS = ("angular", "euclidean", "manhattan", "dot")


def _index(metric: Any, seed: int, items: int = len(FEATURES)) -> Any:
    from annoy import AnnoyIndex

    index = AnnoyIndex(8, metric)
    index.set_seed(seed)
    for number, row in enumerate(FEATURES[:items] + seed):
        index.add_item(number, row.tolist())
    index.build(5)
    return index


def _near(index: Any) -> Any:
    return [index.get_nns_by_item(3, 10, include_distances=True), index.get_item_vector(3), index.get_n_trees()]


CASES = tuple(
    Case(f"annoy AnnoyIndex, {metric}", ("annoy",), lambda seed, metric=metric: _index(metric, seed), _near, "annoy", "ann")
    for metric in METRICS
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_a_metric_that_cannot_be_told_is_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("annoy")
    model = reg.init(tmp_path / "registry", cache_folder=tmp_path / "cache").model("m")
    alone = _index("euclidean", 0, items=1)
    with pytest.raises(InvalidInputError, match=r"save\(index, options="):
        model.save(alone)
    model.save(alone, options={"metric": "euclidean"})
    assert model.load().get_item_vector(0) == alone.get_item_vector(0)
    with pytest.raises(InvalidInputError, match="Annoy has angular"):
        model.save(alone, options={"metric": "cosine"})
