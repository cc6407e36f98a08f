"""Retention policies as a log entry holds them."""

import pytest
from hypothesis import given

from cas_registry.errors import FormatError, InvalidInputError
from cas_registry.model.canonical import Json
from cas_registry.model.keep import Best, Keep, check_keep, decode_keep, keep_value
from tests.support import strategies as make

PLAIN: dict[str, Json] = {"last": 20, "days": None, "tagged": False, "best": [["auc", "max", 5]]}


@given(make.keeps())
def test_a_policy_round_trips(keep: Keep) -> None:
    assert decode_keep(keep_value(keep)) == keep


HOSTILE: dict[str, Json] = {
    "nothing": None,
    "a list": [],
    "a field too few": {name: PLAIN[name] for name in ("last", "days", "tagged")},
    "a field too many": {**PLAIN, "more": 1},
    "a count below zero": {**PLAIN, "last": -1},
    "a count that is a truth": {**PLAIN, "days": True},
    "a count beyond all": {**PLAIN, "days": 10**10},
    "tagged that is a number": {**PLAIN, "tagged": 1},
    "best that is no list": {**PLAIN, "best": {}},
    "best of two": {**PLAIN, "best": [["auc", 5]]},
    "best of another order": {**PLAIN, "best": [["auc", "mean", 5]]},
    "best without a name": {**PLAIN, "best": [[None, "max", 5]]},
    "too many rules": {**PLAIN, "best": [["auc", "max", 5]] * 17},
    "a name that is too long": {**PLAIN, "best": [["a" * 257, "max", 5]]},
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_policies_are_refused(value: Json) -> None:
    decode_keep(PLAIN)
    with pytest.raises(FormatError):
        decode_keep(value)


def test_a_policy_needs_a_rule() -> None:
    assert check_keep(Keep(best=(Best("auc", 1),))).best
    with pytest.raises(InvalidInputError, match="at least one rule"):
        check_keep(Keep())
    with pytest.raises(InvalidInputError, match="not a retention policy"):
        check_keep(Keep(last=-5))
