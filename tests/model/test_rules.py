"""Rules of tags, as the catalogue holds them."""

import pytest
from hypothesis import given

from cas_registry.errors import FormatError, InvalidInputError
from cas_registry.model.rules import (
    MAX_APPROVALS,
    MAX_PATTERNS,
    MAX_RULES,
    TagRule,
    TagRules,
    check_rules,
    decode_rules,
    rules_value,
)
from tests.support import strategies as make


@given(rules=make.tag_rules())
def test_rules_round_trip(rules: TagRules) -> None:
    assert decode_rules(rules_value(rules)) == rules
    assert check_rules(rules) is rules


WRONG = {
    "too many approvals": TagRule(approvals=MAX_APPROVALS + 1),
    "fewer than none": TagRule(approvals=-1),
    "too many patterns": TagRule(who=("a",) * (MAX_PATTERNS + 1)),
    "after a hostile tag": TagRule(after=("../x",)),
    "after a number": TagRule(after=("v7",)),
    "a condition beyond the limit": TagRule(when="x" * 5000),
}


@pytest.mark.parametrize("rule", WRONG.values(), ids=WRONG)
def test_a_rule_that_could_not_be_read_again_is_refused(rule: TagRule) -> None:
    with pytest.raises(InvalidInputError, match="not a rule"):
        check_rules({"prod": rule})


@pytest.mark.parametrize("tag", ["../prod", "", "v7", "a b/", "a~b"])
def test_a_rule_of_a_hostile_tag_is_refused(tag: str) -> None:
    with pytest.raises(InvalidInputError):
        check_rules({tag: TagRule()})


def test_no_rules_and_too_many_are_refused() -> None:
    for rules in ({}, {f"t{number}": TagRule() for number in range(MAX_RULES + 1)}):
        with pytest.raises(FormatError):
            decode_rules(rules_value(rules))


@pytest.mark.parametrize("row", [[], {}, {"who": []}])
def test_what_is_no_rule_is_refused(row: object) -> None:
    with pytest.raises(FormatError):
        decode_rules({"prod": row})  # type: ignore[dict-item]
