"""Ids: one type per kind, plain BLAKE3 for content, key-derived for metadata."""

import copy
import dataclasses
import itertools
import pickle

import blake3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.errors import FormatError
from cas_registry.model.ids import (
    ChunkId,
    CommitId,
    EntryId,
    FileId,
    FormatId,
    MapName,
    ObjectId,
    PackName,
    RefTableId,
    TreeId,
)

CONTENT = (FileId, ChunkId, PackName, MapName)
METADATA = (TreeId, CommitId, RefTableId, EntryId, FormatId)
KINDS = CONTENT + METADATA
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.mark.parametrize("kind", CONTENT)
@given(data=st.binary())
def test_content_is_named_by_its_plain_blake3(kind: type[ObjectId], data: bytes) -> None:
    assert kind.of(data).digest == blake3.blake3(data).digest()


def test_a_file_id_is_what_b3sum_prints() -> None:
    assert FileId.of(b"").hex == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    assert FileId.of(b"abc").hex == "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"


@pytest.mark.parametrize("kind", METADATA)
def test_metadata_is_named_in_a_context_of_its_kind(kind: type[ObjectId]) -> None:
    context = f"cas_registry v1 {kind.kind}"
    assert kind.of(b"x").digest == blake3.blake3(b"x", derive_key_context=context).digest()


def test_no_two_metadata_kinds_share_a_context_nor_any_two_kinds_a_name() -> None:
    assert len({kind.of(b"x").digest for kind in METADATA} | {FileId.of(b"x").digest}) == len(METADATA) + 1
    assert len({kind.kind for kind in KINDS}) == len(KINDS)


def test_ids_of_different_kinds_never_equal_each_other() -> None:
    digest = bytes(range(32))
    for left, right in itertools.permutations((*KINDS, ObjectId), 2):
        assert left(digest) != right(digest)
        assert {left(digest): 1}.get(right(digest)) is None
    assert len({kind(digest) for kind in KINDS}) == len(KINDS)


@every_kind
def test_ids_of_one_kind_are_equal_by_digest_and_ordered_by_it(kind: type[ObjectId]) -> None:
    low, high = kind(bytes(32)), kind(b"\x01" + bytes(31))
    assert low == kind(bytes(32))
    assert hash(low) == hash(kind(bytes(32)))
    assert low != high
    assert sorted([high, low]) == [low, high]


def test_ids_of_different_kinds_cannot_be_ordered_nor_compared_with_text() -> None:
    with pytest.raises(TypeError):
        sorted([FileId(bytes(32)), TreeId(bytes(32))])
    assert FileId(bytes(32)) != "0" * 64
    assert FileId(bytes(32)) != bytes(32)


@every_kind
@given(digest=st.binary(min_size=32, max_size=32))
def test_hex_digits_round_trip(kind: type[ObjectId], digest: bytes) -> None:
    identity = kind(digest)
    assert kind.parse(identity.hex) == identity
    assert str(identity) == identity.hex == digest.hex()
    assert identity.hex.startswith(identity.short)
    assert len(identity.short) == 12


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0" * 63,
        "0" * 65,
        "A" * 64,
        "g" * 64,
        "0" * 63 + "F",
        " " + "0" * 63,
        "0" * 64 + "\n",
        "0x" + "0" * 62,
        "٠" * 64,
        "０" * 64,
        "\ud800" * 64,
        b"0" * 64,
        None,
        0,
        True,
        ["0" * 64],
        {"0" * 64: 1},
        FileId(bytes(32)),
    ],
)
def test_anything_but_64_lower_case_hex_digits_is_refused(text: object) -> None:
    with pytest.raises(FormatError, match="not a commit id"):
        CommitId.parse(text)


@every_kind
def test_bytes_like_data_of_any_type_has_one_id(kind: type[ObjectId]) -> None:
    assert kind.of(b"data") == kind.of(bytearray(b"data")) == kind.of(memoryview(b"data"))


@every_kind
def test_ids_are_values(kind: type[ObjectId]) -> None:
    identity = kind.of(b"x")
    assert pickle.loads(pickle.dumps(identity)) == identity
    assert type(pickle.loads(pickle.dumps(identity))) is kind
    assert copy.deepcopy(identity) == identity
    assert repr(identity) == f"{kind.__name__}({identity.short})"
    with pytest.raises(dataclasses.FrozenInstanceError):
        identity.digest = bytes(32)
