"""Commits: every field comes back, and nothing is written that could not be read."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given

from cas_registry.errors import FormatError, InvalidInputError, LimitError
from cas_registry.model import canonical
from cas_registry.model.commit import (
    MAX_COMMIT_BYTES,
    MAX_PARENTS,
    MAX_TEXT_BYTES,
    MAX_WHO_BYTES,
    Commit,
    decode_commit,
    encode_commit,
)
from cas_registry.model.ids import CommitId, TreeId
from cas_registry.model.inputs import MAX_INPUTS, MAX_URI_BYTES, Input
from cas_registry.model.schema import MAX_COLUMNS, Column, Schema
from tests.support import strategies as make

BASE = Input("base", uri="hf://bert")
PLAIN = Commit(TreeId.of(b"tree"), (), "ada", 0, "message", "fraud", 1)


@given(commit=make.commits())
def test_a_commit_round_trips(commit: Commit) -> None:
    data = encode_commit(commit)
    assert decode_commit(data) == commit
    assert encode_commit(decode_commit(data)) == data


def test_the_spelling_of_a_commit() -> None:
    commit = dataclasses.replace(PLAIN, parents=(CommitId.of(b"p"),), params={"lr": 0.5, "n": 1}, inputs=(BASE,))
    assert encode_commit(commit).decode() == (
        '{"author":"ada","code":{},"environment":{},"framework":{},'
        '"inputs":[{"commit":null,"digest":null,"model":null,"name":"base","uri":"hf://bert"}],'
        '"kind":"commit","labels":{},"log":"fraud","message":"message","metrics":{},"packages":{},'
        f'"params":{{"lr":{{"float":"0.5"}},"n":1}},"parents":["{CommitId.of(b"p").hex}"],"position":1,"schema":null,"time":0,'
        f'"tree":"{TreeId.of(b"tree").hex}","v":1}}'
    )


def test_every_field_decides_the_id() -> None:
    changed = {
        "tree": TreeId.of(b"other"),
        "parents": (CommitId.of(b"p"),),
        "author": "eve",
        "time_ms": 1,
        "message": "",
        "log": "other",
        "position": 2,
        "params": {"a": 1},
        "metrics": {"a": 1},
        "labels": {"a": 1},
        "framework": {"a": 1},
        "packages": {"a": 1},
        "environment": {"a": 1},
        "code": {"a": 1},
        "inputs": (BASE,),
        "schema": Schema(),
    }
    assert changed.keys() == {field.name for field in dataclasses.fields(Commit)}
    ids = {CommitId.of(encode_commit(dataclasses.replace(PLAIN, **{name: value}))) for name, value in changed.items()}
    assert len(ids | {CommitId.of(encode_commit(PLAIN))}) == len(changed) + 1


@pytest.mark.parametrize("field", ["message", "author"])
def test_texts_end_at_their_limit_in_bytes(field: str) -> None:
    limit = {"message": MAX_TEXT_BYTES, "author": MAX_WHO_BYTES}[field]
    longest = dataclasses.replace(PLAIN, **{field: "é" * (limit // 2)})
    data = encode_commit(longest)
    assert decode_commit(data) == longest
    with pytest.raises(LimitError, match=field):
        encode_commit(dataclasses.replace(PLAIN, **{field: "é" * (limit // 2) + "x"}))
    with pytest.raises(FormatError, match=field):
        decode_commit(data.replace("é".encode(), "éx".encode(), 1))


def test_a_commit_over_the_limit_is_neither_written_nor_read() -> None:
    with pytest.raises(LimitError, match="params, metrics, labels, environment and inputs"):
        encode_commit(dataclasses.replace(PLAIN, params={"p" + str(number): "x" * 1_000 for number in range(1_100)}))
    with pytest.raises(FormatError, match="limit"):
        decode_commit(b" " * (MAX_COMMIT_BYTES + 1))


UNREADABLE: dict[str, dict[str, Any]] = {
    "too many parents": {"parents": tuple(CommitId.of(bytes([n])) for n in range(MAX_PARENTS + 1))},
    "too many inputs": {"inputs": (Input("a", uri=""),) * (MAX_INPUTS + 1)},
    "an input without a name": {"inputs": (Input("", uri="x"),)},
    "an input over the limit": {"inputs": (Input("a", uri="a" * (MAX_URI_BYTES + 1)),)},
    "an input that is nowhere": {"inputs": (Input("a"),)},
    "an input in two places": {"inputs": (Input("a", uri="x", model="m", commit=CommitId.of(b"c")),)},
    "an input of a model without a commit": {"inputs": (Input("a", model="m"),)},
    "an input of a hostile model": {"inputs": (Input("a", model="../x", commit=CommitId.of(b"c")),)},
    "a column with a negative size": {"schema": Schema((Column("a", "double", (-1,)),))},
    "too many columns": {"schema": Schema((Column("a", ""),) * (MAX_COLUMNS + 1))},
    "a time before 1970": {"time_ms": -1},
    "a time with a fraction": {"time_ms": 1.5},
    "a time beyond 63 bits": {"time_ms": 2**63},
    "a negative position": {"position": -1},
    "a hostile log": {"log": "../x"},
    "the catalogue's log": {"log": "catalogue"},
    "a surrogate in the message": {"message": "\ud800"},
    "a surrogate in a param": {"params": {"a": "\ud800"}},
    "a list as a param": {"params": {"a": [1]}},
}


@pytest.mark.parametrize("changes", UNREADABLE.values(), ids=UNREADABLE)
def test_a_commit_that_could_not_be_read_again_is_not_written(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        encode_commit(dataclasses.replace(PLAIN, **changes))


def test_as_many_parents_and_inputs_as_allowed_round_trip() -> None:
    parents = tuple(CommitId.of(bytes([number])) for number in range(MAX_PARENTS))
    commit = dataclasses.replace(PLAIN, parents=parents, inputs=(Input("a", uri=""),) * MAX_INPUTS)
    assert decode_commit(encode_commit(commit)) == commit


def test_a_tree_id_is_needed_where_a_commit_names_a_tree() -> None:
    data = encode_commit(PLAIN)
    for wrong in (b"null", b'""', b'"' + b"A" * 64 + b'"', b"[]", b"0"):
        with pytest.raises(FormatError):
            decode_commit(data.replace(b'"' + PLAIN.tree.hex.encode() + b'"', wrong))


def test_an_escape_sequence_in_a_message_is_stored_as_text() -> None:
    commit = dataclasses.replace(PLAIN, message="\x1b[31mred<script>alert(1)</script>", author="\x1b]0;t\x07")
    data = encode_commit(commit)
    assert b"\x1b" not in data
    assert decode_commit(data) == commit


def test_another_kind_with_the_same_fields_is_no_commit() -> None:
    body = canonical.decode(encode_commit(PLAIN), kind="commit")
    with pytest.raises(FormatError, match="expected a commit"):
        decode_commit(canonical.encode({**body, "kind": "tree"}))
