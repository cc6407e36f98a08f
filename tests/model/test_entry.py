"""Log entries, ref tables and the catalogue's rows."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given

from cas_registry.errors import FormatError, InvalidInputError, LimitError
from cas_registry.model import entry as entry_module
from cas_registry.model.canonical import seal
from cas_registry.model.entry import (
    CATALOGUE,
    MAX_ENTRY_BYTES,
    MAX_ENTRY_NUMBER,
    MAX_WHO_BYTES,
    MAX_WHY_BYTES,
    Entry,
    ModelRow,
    Operation,
    Ref,
    RefKind,
    RefTable,
    decode_entry,
    decode_ref_table,
    encode_entry,
    encode_ref_table,
)
from cas_registry.model.ids import EntryId, RefTableId
from tests.support import strategies as make

FIRST, SECOND = make.example_version(b"first", 1), make.example_version(b"second", 2)
PLAIN = Entry("a" * 32, "fraud", 1, None, "b" * 32, Operation.SET, 0, "ada", "why", refs=RefTable({"main": Ref(FIRST, 1)}))
CATALOGUE_ENTRY = dataclasses.replace(PLAIN, log=CATALOGUE, refs=None, models={})


def _changed(entry: Entry, **fields: Any) -> bytes:
    """The entry's bytes with these fields of the body replaced, sealed."""
    body = {**json.loads(encode_entry(entry)[65:]), **fields}
    return seal(json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode(), EntryId)


@given(entry=make.entries())
def test_an_entry_round_trips_with_its_id(entry: Entry) -> None:
    data = encode_entry(entry)
    identity, decoded = decode_entry(data)
    assert decoded == entry
    assert identity == EntryId.of(data[65:])
    assert encode_entry(decoded) == data


@given(table=make.ref_tables())
def test_a_ref_table_round_trips(table: RefTable) -> None:
    data = encode_ref_table(table)
    assert decode_ref_table(data) == table
    assert encode_ref_table(decode_ref_table(data)) == data


def test_the_order_in_which_refs_were_made_does_not_change_the_bytes() -> None:
    one, two = Ref(FIRST, 1), Ref(SECOND, 2)
    assert encode_ref_table(RefTable({"a": one, "b": two})) == encode_ref_table(RefTable({"b": two, "a": one}))


def test_the_spelling_of_a_ref_table() -> None:
    table = RefTable({"main": Ref(SECOND, 4)}, {"old": Ref(None, 3)})
    row = f'[4,"{SECOND.commit.hex}",2,2,"{SECOND.tree.hex}","{SECOND.map.hex}"]'
    assert encode_ref_table(table).decode() == (
        f'{{"kind":"refs","table":{{"branches":{{"main":{row}}},"tags":{{"old":[3]}}}},"v":1}}'
    )


def test_a_tag_is_found_before_a_branch_of_the_same_name() -> None:
    table = RefTable({"x": Ref(FIRST, 1)}, {"x": Ref(SECOND, 2)})
    assert table.find("x") == (RefKind.TAG, Ref(SECOND, 2))
    assert table.of(RefKind.BRANCH)["x"].commit == FIRST.commit


def test_a_deleted_ref_keeps_its_row_and_is_not_found() -> None:
    table = RefTable({"main": Ref(FIRST, 1)}).with_ref(RefKind.BRANCH, "main", Ref(None, 2))
    assert table.find("main") is None
    assert table.branches["main"] == Ref(None, 2)
    assert table.branches["main"].commit is None
    assert decode_ref_table(encode_ref_table(table)) == table


def test_a_deleted_tag_uncovers_the_branch_below_it() -> None:
    table = RefTable({"x": Ref(FIRST, 1)}, {"x": Ref(None, 3)})
    assert table.find("x") == (RefKind.BRANCH, Ref(FIRST, 1))
    assert table.find("y") is None


def test_with_ref_sets_one_row_and_leaves_the_table_it_came_from() -> None:
    table = RefTable({"main": Ref(FIRST, 1)}, {"r1": Ref(FIRST, 1)})
    tagged = table.with_ref(RefKind.TAG, "r2", Ref(SECOND, 2))
    moved = table.with_ref(RefKind.BRANCH, "main", Ref(SECOND, 2))
    assert tagged == RefTable(table.branches, {"r1": Ref(FIRST, 1), "r2": Ref(SECOND, 2)})
    assert moved == RefTable({"main": Ref(SECOND, 2)}, table.tags)
    assert table == RefTable({"main": Ref(FIRST, 1)}, {"r1": Ref(FIRST, 1)})


def test_the_first_entry_is_number_one_and_the_only_one_without_a_predecessor() -> None:
    decode_entry(encode_entry(dataclasses.replace(PLAIN, n=2, prev=EntryId.of(b""))))
    for n, prev in ((0, None), (2, None), (1, EntryId.of(b"").hex), (MAX_ENTRY_NUMBER, None), (-1, None)):
        with pytest.raises(FormatError):
            decode_entry(_changed(PLAIN, n=n, prev=prev))


def test_entry_numbers_have_ten_digits() -> None:
    last = dataclasses.replace(PLAIN, n=9_999_999_999, prev=EntryId.of(b""))
    assert decode_entry(encode_entry(last))[1] == last
    with pytest.raises(FormatError):
        decode_entry(_changed(last, n=10**10))


def test_the_catalogue_has_models_and_every_other_log_has_refs() -> None:
    assert decode_entry(encode_entry(CATALOGUE_ENTRY))[1] == CATALOGUE_ENTRY
    refs = {"branches": {}, "tags": {}}
    for entry, changes in (
        (PLAIN, {"refs": None}),
        (PLAIN, {"models": {}}),
        (PLAIN, {"refs": None, "models": {}}),
        (CATALOGUE_ENTRY, {"models": None}),
        (CATALOGUE_ENTRY, {"refs": refs}),
        (CATALOGUE_ENTRY, {"refs": refs, "models": None}),
    ):
        with pytest.raises(FormatError, match="catalogue"):
            decode_entry(_changed(entry, **changes))


@pytest.mark.parametrize("log", ["../x", "a/b", "HEAD", "Catalogue", "CON", "", "-x", None, 1, True, ["fraud"], "x" * 256])
def test_an_entry_of_a_log_with_a_hostile_name_is_refused(log: Any) -> None:
    with pytest.raises(FormatError):
        decode_entry(_changed(PLAIN, log=log))


@pytest.mark.parametrize("name", ["../../x", "-rf", "a@{1}", "refs//x", "CON", "a" * 256, "0" * 64, "", "a\x00", "e\u0301"])
def test_a_ref_with_a_hostile_name_is_refused(name: str) -> None:
    for kind in ("branches", "tags"):
        table = {"branches": {}, "tags": {}, kind: {name: [1]}}
        with pytest.raises(FormatError, match="hostile"):
            decode_entry(_changed(PLAIN, refs=table))
        data = json.dumps({"kind": "refs", "table": table, "v": 1}, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        with pytest.raises(FormatError, match="hostile"):
            decode_ref_table(data.encode())


@pytest.mark.parametrize("name", ["catalogue", "HEAD", "a/b", "..", ""])
def test_a_model_with_a_hostile_name_is_refused(name: str) -> None:
    with pytest.raises(FormatError, match="hostile"):
        decode_entry(_changed(CATALOGUE_ENTRY, models={name: ["live", 1]}))


@pytest.mark.parametrize(
    "row",
    [
        None,
        [],
        ["live"],
        ["live", 1, 1],
        ["dead", 1],
        [True, 1],
        [[], 1],
        [{}, 1],
        ["live", True],
        ["live", -1],
        ["live", 10**10],
        {"live": 1},
    ],
)
def test_a_model_row_of_another_shape_is_refused(row: Any) -> None:
    with pytest.raises(FormatError):
        decode_entry(_changed(CATALOGUE_ENTRY, models={"fraud": row}))


H = "0" * 64


@pytest.mark.parametrize(
    "row",
    [None, [], [None], [True], [-1], [10**10], ["1"], "abc", {"moved": 1}, [1, None], [1, H, 1, 1, H], [1, H, 1, 1, H, H, 1]]
    + [[1, H, number, 1, H, H] for number in (None, True, -1, 10**10, "1")]
    + [[1, H, 1, number, H, H] for number in (None, True, -1, 10**10, "1")]
    + [[1, wrong, 1, 1, H, H] for wrong in (None, 1, "", "A" * 64, [H])]
    + [[1, H, 1, 1, wrong, H] for wrong in (None, 1, "", "A" * 64, [H])]
    + [[1, H, 1, 1, H, wrong] for wrong in (None, 1, "", "A" * 64, [H])],
    ids=lambda row: repr(row).replace(H, "H")[:40],
)
def test_a_ref_row_of_another_shape_is_refused(row: Any) -> None:
    with pytest.raises(FormatError):
        decode_entry(_changed(PLAIN, refs={"branches": {"main": row}, "tags": {}}))


@pytest.mark.parametrize("op", ["SET", "delete", "", None, 0, True, ["set"], {"set": 1}])
def test_an_unknown_operation_is_refused(op: Any) -> None:
    with pytest.raises(FormatError, match="operation"):
        decode_entry(_changed(PLAIN, op=op))


@pytest.mark.parametrize("field", ["registry", "nonce"])
@pytest.mark.parametrize(
    "value", ["a" * 31, "a" * 33, "A" * 32, "g" + "a" * 31, "a" * 16 + " " + "a" * 15, "", None, 0, ["a" * 32]]
)
def test_registry_and_nonce_are_32_lower_case_hex_digits(field: str, value: Any) -> None:
    with pytest.raises(FormatError, match=field):
        decode_entry(_changed(PLAIN, **{field: value}))


@pytest.mark.parametrize("stats", [{}, {"files": 1}, {"files": 1, "raw": 1, "new": 1, "stored": True}, [], 0, "x"])
def test_stats_of_another_shape_are_refused(stats: Any) -> None:
    with pytest.raises(FormatError):
        decode_entry(_changed(PLAIN, stats=stats))


@pytest.mark.parametrize("field", ["who", "why"])
def test_texts_end_at_their_limit_in_bytes(field: str) -> None:
    limit = {"who": MAX_WHO_BYTES, "why": MAX_WHY_BYTES}[field]
    longest = dataclasses.replace(PLAIN, **{field: "é" * (limit // 2)})
    assert decode_entry(encode_entry(longest))[1] == longest
    with pytest.raises(LimitError, match=field):
        encode_entry(dataclasses.replace(PLAIN, **{field: "é" * (limit // 2) + "x"}))
    with pytest.raises(FormatError, match=field):
        decode_entry(_changed(PLAIN, **{field: "é" * (limit // 2) + "x"}))


def test_an_entry_over_the_limit_is_neither_written_nor_read() -> None:
    models = {f"model-{number:05}-{'x' * 200}": ModelRow(1) for number in range(5_000)}
    with pytest.raises(LimitError, match="limit"):
        encode_entry(dataclasses.replace(CATALOGUE_ENTRY, models=models))
    with pytest.raises(FormatError, match="limit"):
        decode_entry(seal(b" " * (MAX_ENTRY_BYTES + 1), EntryId))


def test_an_entry_that_introduces_a_commit_names_its_tree_and_its_map() -> None:
    whole = {"commit": FIRST.commit, "tree": FIRST.tree, "map": FIRST.map}
    entry = dataclasses.replace(PLAIN, **whole)
    assert decode_entry(encode_entry(entry))[1] == entry
    for name, identity in whole.items():
        with pytest.raises(FormatError, match="tree and its map"):
            decode_entry(_changed(entry, **{name: None}))
        with pytest.raises(InvalidInputError):
            encode_entry(dataclasses.replace(PLAIN, **{name: identity}))


UNREADABLE: dict[str, dict[str, Any]] = {
    "number zero": {"n": 0},
    "no predecessor": {"n": 2},
    "a number of eleven digits": {"n": 10**10, "prev": EntryId.of(b"")},
    "a short nonce": {"nonce": "abc"},
    "a hostile log": {"log": "../x"},
    "refs in the catalogue": {"log": CATALOGUE},
    "neither refs nor models": {"refs": None},
    "a negative time": {"time_ms": -1},
    "a time with a fraction": {"time_ms": 0.5},
    "a hostile ref": {"refs": RefTable({"-rf": Ref(FIRST, 1)})},
    "a surrogate": {"why": "\ud800"},
}


@pytest.mark.parametrize("changes", UNREADABLE.values(), ids=UNREADABLE)
def test_an_entry_that_could_not_be_read_again_is_not_written(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        encode_entry(dataclasses.replace(PLAIN, **changes))


def test_more_refs_than_a_reader_accepts_are_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_module, "MAX_REFS", 3)
    ref = Ref(FIRST, 1)
    table = RefTable({"a": ref, "b": ref}, {"c": ref})
    data = encode_ref_table(table)
    assert decode_ref_table(data) == table
    with pytest.raises(LimitError, match="more than 3"):
        encode_ref_table(table.with_ref(RefKind.TAG, "d", ref))
    with pytest.raises(FormatError, match="more than 3"):
        decode_ref_table(data.replace(b'"tags":{', b'"tags":{"0":[1],'))


def test_twenty_thousand_refs_whose_names_begin_alike_are_read() -> None:
    table = RefTable({"release-" + "0" * (number % 200) + str(number): Ref(FIRST, 1) for number in range(20_000)})
    assert decode_ref_table(encode_ref_table(table)) == table


def test_the_id_of_a_spilled_table_stands_in_the_place_of_the_table() -> None:
    spilled = dataclasses.replace(PLAIN, refs=RefTableId.of(encode_ref_table(RefTable())))
    assert decode_entry(encode_entry(spilled))[1] == spilled
    for wrong in ("", "x", "A" * 64, PLAIN.nonce):
        with pytest.raises(FormatError):
            decode_entry(_changed(spilled, refs=wrong))


def test_an_entry_names_the_seal_of_the_one_before() -> None:
    identity, _ = decode_entry(encode_entry(PLAIN))
    following = dataclasses.replace(PLAIN, n=2, prev=identity)
    assert decode_entry(encode_entry(following))[1].prev == identity
    assert encode_entry(PLAIN)[:64].decode() == identity.hex
