"""The tests are tested: each planted bug is noticed by one of them."""

import pytest

from tests.reliability.matrix import Row
from tests.reliability.mutants import MUTANTS, Mutant, try_mutant

ROW = "bugs"


def test_there_are_sixteen() -> None:
    assert [mutant.number for mutant in MUTANTS] == list(range(1, 17))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_a_planted_bug_is_noticed(matrix: Row, mutant: Mutant) -> None:
    verdict = try_mutant(mutant)
    assert verdict.killer is not None, f"nobody notices: {mutant.name}"
    matrix.count()
    matrix.say(f"{mutant.number:02d}", f"{mutant.name}: `{verdict.killer}`")
