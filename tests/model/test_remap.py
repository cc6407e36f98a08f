"""Remap tables: one spelling, and nothing hostile gets through."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.errors import FormatError, LimitError, RegistryError, UnsupportedFormatError
from cas_registry.model import remap
from cas_registry.model.entry import MAX_ENTRY_NUMBER
from cas_registry.model.ids import MapName
from cas_registry.model.remap import RemapTable, decode_remap_table, encode_remap_table

NAMES = st.binary(min_size=32, max_size=32).map(MapName)
TABLES = st.dictionaries(st.integers(1, MAX_ENTRY_NUMBER), st.none() | NAMES, min_size=1, max_size=20).map(RemapTable)


@given(TABLES)
def test_what_is_encoded_decodes_to_the_same(table: RemapTable) -> None:
    data = encode_remap_table(table)
    assert decode_remap_table(data) == table
    assert encode_remap_table(decode_remap_table(data)) == data


@given(TABLES, st.integers(0, 10**6), NAMES)
def test_a_version_that_was_not_repacked_keeps_its_map(table: RemapTable, at: int, introduced: MapName) -> None:
    assert table.of(at, introduced) == table.maps.get(at, introduced)


NAME = "ab" * 32
HOSTILE = {
    "no rows": [],
    "rows that are no list": {"1": NAME},
    "entry 0": [[0, NAME]],
    "a negative entry": [[-1, NAME]],
    "an entry beyond all": [[MAX_ENTRY_NUMBER + 1, NAME]],
    "an entry that is no number": [["1", NAME]],
    "an entry that is a truth": [[True, NAME]],
    "an entry twice": [[1, NAME], [1, NAME]],
    "rows out of order": [[2, NAME], [1, NAME]],
    "a bad id": [[1, "xy" * 32]],
    "an id in upper case": [[1, "AB" * 32]],
    "a short row": [[1]],
    "a long row": [[1, NAME, NAME]],
    "a row that is no list": [1],
}


@pytest.mark.parametrize("rows", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_tables_are_refused(rows: object) -> None:
    with pytest.raises(FormatError):
        decode_remap_table(_encoded(maps=rows))


@pytest.mark.parametrize("change", [{"v": 0}, {"kind": "refs"}, {"more": 1}])
def test_other_kinds_and_fields_are_refused(change: dict[str, object]) -> None:
    decode_remap_table(_encoded(maps=[[1, NAME]]))
    with pytest.raises(FormatError):
        decode_remap_table(_encoded(maps=[[1, NAME]], **change))
    with pytest.raises(UnsupportedFormatError, match="upgrade"):
        decode_remap_table(_encoded(maps=[[1, NAME]], v=2))


@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(RegistryError):
        decode_remap_table(data)


def test_too_many_rows_are_refused_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode_remap_table(RemapTable({at: MapName(bytes(32)) for at in range(1, 5)}))
    monkeypatch.setattr(remap, "MAX_REMAPPED", 3)
    with pytest.raises(FormatError, match="more than 3"):
        decode_remap_table(data)
    with pytest.raises(LimitError, match="more than 3"):
        encode_remap_table(RemapTable({at: MapName(bytes(32)) for at in range(1, 5)}))


def _encoded(**fields: object) -> bytes:
    return json.dumps({"v": 1, "kind": "remap", **fields}, sort_keys=True, separators=(",", ":")).encode()
