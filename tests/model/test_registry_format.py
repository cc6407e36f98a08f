"""The `format` object: what it may say, and what a newer version may have said."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings

from cas_registry.chunking.fastcdc import ContentDefinedChunker
from cas_registry.errors import FormatError, InvalidInputError, UnsupportedFormatError
from cas_registry.model.canonical import seal
from cas_registry.model.ids import FormatId
from cas_registry.model.registry_format import (
    DEFAULT_CHUNK_BYTES,
    DEFAULT_PACK_BYTES,
    MAX_CHUNK_BYTES,
    MAX_FORMAT_BYTES,
    MAX_PACK_BYTES,
    ChunkingParameters,
    RegistryFormat,
    chunking_around,
    decode_format,
    encode_format,
    format_body,
)
from tests.support import strategies as make

PLAIN = RegistryFormat("a" * 32, 0, chunking_around(DEFAULT_CHUNK_BYTES))


def _changed(**fields: Any) -> bytes:
    body = {**json.loads(format_body(PLAIN)), **fields}
    return seal(json.dumps(body, sort_keys=True, separators=(",", ":")).encode(), FormatId)


def _chunking(**fields: Any) -> dict[str, Any]:
    return {**json.loads(format_body(PLAIN))["chunking"], **fields}


@given(value=make.formats())
def test_a_format_round_trips(value: RegistryFormat) -> None:
    data = encode_format(value)
    assert decode_format(data) == value
    assert encode_format(decode_format(data)) == data
    assert data == seal(format_body(value), FormatId)


def test_the_spelling_of_a_format() -> None:
    assert format_body(PLAIN).decode() == (
        '{"chunking":{"algorithm":"fastcdc-2020","avg":65536,"elements":262144,"max":262144,"min":16384},"created":0,"encryption":"none",'
        f'"format":1,"kind":"format","pack_bytes":33554432,"registry":"{"a" * 32}","v":1,"writers":"shared"}}'
    )


def test_defaults_are_64_kib_chunks_in_32_mib_packs() -> None:
    assert chunking_around(DEFAULT_CHUNK_BYTES) == ChunkingParameters(16 * 1024, 64 * 1024, 256 * 1024)
    assert DEFAULT_PACK_BYTES == 32 * 1024 * 1024
    assert not PLAIN.single_writer


@settings(max_examples=30)
@given(parameters=make.chunking_parameters())
def test_every_accepted_chunking_can_be_cut_with(parameters: ChunkingParameters) -> None:
    decoded = decode_format(encode_format(dataclasses.replace(PLAIN, chunking=parameters))).chunking
    data = bytes(3 * parameters.max_bytes // 2) if parameters.max_bytes < 1024 * 1024 else bytes(2048)
    assert sum(len(piece) for pieces in ContentDefinedChunker(decoded).cut([data]) for piece in pieces) == len(data)


@pytest.mark.parametrize(
    "parameters",
    [(64, 256, 1024), (1024, 1024, 1024), (2**20, 2**22, 2**24), (2**20, 2**20, 2**20), (64, 2**22, 2**24), (256, 256, 2**24)],
)
def test_the_extremes_of_chunking_can_be_cut_with(parameters: tuple[int, int, int]) -> None:
    chunking = ChunkingParameters(*parameters)
    assert decode_format(encode_format(dataclasses.replace(PLAIN, chunking=chunking))).chunking == chunking
    assert [len(piece) for pieces in ContentDefinedChunker(chunking).cut([b"x" * 100]) for piece in pieces] == [
        100
    ] or parameters[0] < 100


@pytest.mark.parametrize(
    "parameters",
    [
        (0, 0, 0),
        (0, 256, 1024),
        (63, 256, 1024),
        (64, 255, 1024),
        (64, 256, 1023),
        (512, 256, 1024),
        (64, 2048, 1024),
        (2**20 + 1, 2**22, 2**24),
        (64, 2**22 + 1, 2**24),
        (64, 256, 2**24 + 1),
        (-1, 256, 1024),
    ],
)
def test_chunking_that_cannot_be_cut_with_is_refused(parameters: tuple[int, int, int]) -> None:
    low, avg, high = parameters
    with pytest.raises(FormatError):
        decode_format(_changed(chunking=_chunking(min=low, avg=avg, max=high)))
    with pytest.raises(InvalidInputError):
        encode_format(dataclasses.replace(PLAIN, chunking=ChunkingParameters(*parameters)))


@pytest.mark.parametrize(
    "chunking",
    [None, [], "fastcdc-2020", {}, _chunking(seed=1), _chunking(min=True), _chunking(avg="65536"), _chunking(max=None)],
    ids=lambda value: repr(value)[:30],
)
def test_chunking_of_another_shape_is_refused(chunking: Any) -> None:
    with pytest.raises(FormatError):
        decode_format(_changed(chunking=chunking))


@pytest.mark.parametrize(
    "fields",
    [
        {"format": 2},
        {"format": True},
        {"format": "1"},
        {"format": None},
        {"format": [1]},
        {"encryption": "aes-256"},
        {"encryption": None},
        {"encryption": ["none"]},
        {"chunking": _chunking(algorithm="gear-2027")},
        {"chunking": _chunking(algorithm=["fastcdc-2020"])},
        {"v": 2},
    ],
    ids=repr,
)
def test_what_this_version_does_not_know_is_left_to_a_newer_one(fields: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedFormatError, match="upgrade"):
        decode_format(_changed(**fields))


@pytest.mark.parametrize(
    "fields",
    [{"registry": value} for value in ("A" * 32, "a" * 31, "a" * 33, "g" + "a" * 31, "a" * 31 + "g", "", None, 1, ["a" * 32])]
    + [{"writers": value} for value in ("both", "", None, True, ["shared"], {"shared": 1})]
    + [{"created": value} for value in (-1, True, "0", None)]
    + [{"pack_bytes": value} for value in (0, MAX_CHUNK_BYTES - 1, MAX_PACK_BYTES + 1, True, None, "33554432")],
    ids=lambda fields: repr(fields)[:40],
)
def test_other_values_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        decode_format(_changed(**fields))


def test_a_format_object_has_a_largest_size() -> None:
    with pytest.raises(FormatError, match="limit"):
        decode_format(seal(b" " * MAX_FORMAT_BYTES, FormatId))


@pytest.mark.parametrize(
    "changes", [{"registry": "x"}, {"created_ms": -1}, {"pack_bytes": 1}, {"pack_bytes": MAX_PACK_BYTES + 1}], ids=repr
)
def test_a_format_that_could_not_be_read_again_is_not_written(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        encode_format(dataclasses.replace(PLAIN, **changes))
