"""T5b: the exhaustive model of the collection protocol is safe, and every rule of it is needed."""

import dataclasses

import pytest

from tests.reliability.collection_model import Weakening, alive, explore
from tests.reliability.matrix import Row
from tests.reliability.profile import NIGHTLY

ROW = "T5b"
SIZES = [(2, 1), (1, 2), *([(2, 2)] if NIGHTLY else [])]
WEAKENINGS = [field.name for field in dataclasses.fields(Weakening)]


@pytest.mark.parametrize(("committers", "collectors"), SIZES)
def test_no_state_of_the_protocol_dangles(matrix: Row, committers: int, collectors: int) -> None:
    outcome = explore(committers=committers, collectors=collectors)
    assert outcome.dangling is None
    assert outcome.states > 40_000
    matrix.count(outcome.states)


@pytest.mark.parametrize("rule", WEAKENINGS)
def test_without_one_of_its_rules_a_version_loses_its_pack(matrix: Row, rule: str) -> None:
    outcome = explore(committers=2, collectors=1, weakening=Weakening(**{rule: True}))
    assert outcome.dangling is not None
    assert any(not alive(log) <= outcome.dangling.packs for log in outcome.dangling.logs)
    matrix.count(outcome.states)
