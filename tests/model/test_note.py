"""Notes, as log entries hold them."""

import pytest
from hypothesis import given

from cas_registry.errors import FormatError
from cas_registry.model.note import Note, decode_note, note_value
from tests.support import strategies as make


@given(note=make.notes())
def test_a_note_round_trips(note: Note) -> None:
    decoded = decode_note(note_value(note))
    assert note_value(decoded) == note_value(note)  # a NaN is not equal to itself
    assert (decoded.commit, decoded.tag, decoded.approved) == (note.commit, note.tag, note.approved)


WRONG = {
    "an approval of no tag": {"approved": True},
    "a tag without a word": {"tag": "prod"},
    "an approval that is a number": {"tag": "prod", "approved": 1},
    "a hostile tag": {"tag": "../prod", "approved": True},
    "a short commit": {"commit": "ab"},
    "labels in a list": {"labels": []},
    "a list as a metric": {"metrics": {"auc": []}},
    "an unknown field": {"more": 1},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG)
def test_what_is_no_note_is_refused(changes: dict[str, object]) -> None:
    value = {"commit": "ab" * 32, "labels": {}, "metrics": {}, "tag": None, "approved": None}
    decode_note(value)
    with pytest.raises(FormatError):
        decode_note({**value, **changes})
