"""What a version was made from, as a commit holds it."""

import pytest
from hypothesis import given

from cas_registry.errors import FormatError
from cas_registry.model.inputs import Input, decode_input, input_value
from tests.support import strategies as make


@given(item=make.inputs())
def test_an_input_round_trips(item: Input) -> None:
    assert decode_input(input_value(item)) == item
    assert item.is_version == (item.uri is None)


WRONG = {
    "nothing": {},
    "nowhere": {"uri": None},
    "both": {"model": "m", "commit": "ab" * 32},
    "a model without a commit": {"uri": None, "model": "m"},
    "a digest of a version": {"uri": None, "model": "m", "commit": "ab" * 32, "digest": "blake3:00"},
    "no name": {"name": ""},
    "a name that is a number": {"name": 7},
    "a hostile model": {"uri": None, "model": "../m", "commit": "ab" * 32},
    "a short commit": {"uri": None, "model": "m", "commit": "ab"},
    "a URI that is no text": {"uri": 7},
    "an unknown field": {"more": 1},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG)
def test_what_is_no_input_is_refused(changes: dict[str, object]) -> None:
    value = {"name": "train", "uri": "s3://data", "digest": None, "model": None, "commit": None, **changes}
    if not changes:
        value = {}
    with pytest.raises(FormatError):
        decode_input(value)
