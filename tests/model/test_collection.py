"""The records of collections: one spelling, sealed, and nothing hostile gets through."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given

from cas_registry.errors import FormatError, LimitError, UnsupportedFormatError
from cas_registry.model import collection
from cas_registry.model.canonical import seal
from cas_registry.model.collection import (
    Condemned,
    Done,
    Verdict,
    decode_condemned,
    decode_done,
    decode_verdict,
    encode_condemned,
    encode_done,
    encode_verdict,
)
from cas_registry.model.ids import CollectionId
from tests.support import strategies as make

(LIST, EMPTY) = make.example_condemned()


@given(make.condemned_lists())
def test_a_list_round_trips_as_either_kind_and_as_no_other(record: Condemned) -> None:
    for kind, other in (("condemned", "delete"), ("delete", "condemned")):
        data = encode_condemned(record, kind=kind)
        assert decode_condemned(data, kind=kind) == record
        with pytest.raises(FormatError):
            decode_condemned(data, kind=other)
    assert len(record) == len(record.maps) + len(record.packs)


@pytest.mark.parametrize("delete", [True, False])
def test_a_verdict_and_an_end_round_trip(delete: bool) -> None:
    verdict = Verdict("0" * 32, 3, delete, 5, "ada", "why")
    assert decode_verdict(encode_verdict(verdict)) == verdict
    done = Done("0" * 32, 3, 7, 8, 5, "ada")
    assert decode_done(encode_done(done)) == done


def _changed(**fields: Any) -> bytes:
    body = {**json.loads(encode_condemned(LIST, kind="condemned")[65:]), **fields}
    return seal(json.dumps(body, sort_keys=True, separators=(",", ":")).encode(), CollectionId)


NAME = "ab" * 32
HOSTILE = {
    "collection 0": {"epoch": 0},
    "a collection beyond all": {"epoch": 10**10},
    "names out of order": {"packs": [NAME, "aa" * 32]},
    "a name twice": {"packs": [NAME, NAME]},
    "a name in upper case": {"maps": [NAME.upper()]},
    "a name that is a number": {"maps": [1]},
    "names that are no list": {"maps": NAME},
    "bytes below zero": {"bytes": -1},
    "another registry": {"registry": "x"},
    "a field more": {"more": 1},
}


@pytest.mark.parametrize("fields", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_lists_are_refused(fields: dict[str, Any]) -> None:
    assert decode_condemned(_changed(), kind="condemned") == LIST
    with pytest.raises(FormatError):
        decode_condemned(_changed(**fields), kind="condemned")


def test_a_newer_list_says_so() -> None:
    with pytest.raises(UnsupportedFormatError):
        decode_condemned(_changed(v=2, more=1), kind="condemned")


def test_a_list_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode_condemned(LIST, kind="condemned")
    monkeypatch.setattr(collection, "MAX_LISTED", 3)
    with pytest.raises(LimitError):
        encode_condemned(LIST, kind="condemned")
    with pytest.raises(FormatError):
        decode_condemned(data, kind="condemned")
    assert encode_condemned(dataclasses.replace(LIST, packs=frozenset()), kind="delete")
