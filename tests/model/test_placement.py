"""Placements: the limits on every number that leads to a chunk."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.errors import FormatError, UnsupportedFormatError
from cas_registry.model.placement import MAX_EXPANSION, Codec, Placement, check_placement
from cas_registry.model.registry_format import MAX_CHUNK_BYTES, MAX_PACK_BYTES
from tests.support import strategies as make


@given(placement=make.placements())
def test_placements_within_the_limits_are_accepted(placement: Placement) -> None:
    checked = check_placement(
        placement.offset, placement.stored_bytes, placement.raw_bytes, int(placement.codec), placement.element
    )
    assert checked == (placement.codec, placement.element)


def test_the_last_numbers_within_the_limits_are_accepted() -> None:
    assert check_placement(MAX_PACK_BYTES - 1, 1, 1, 0, 0)[0] is Codec.RAW
    assert check_placement(0, MAX_CHUNK_BYTES, MAX_CHUNK_BYTES, 0, 0)[0] is Codec.RAW
    assert check_placement(0, 1, MAX_EXPANSION, 1, 0)[0] is Codec.ZSTD


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        ((0, 1, 0, 0), "chunk of 0 bytes"),
        ((0, 0, 1, 1), "outside its pack"),
        ((0, MAX_CHUNK_BYTES + 1, MAX_CHUNK_BYTES + 1, 0), "limit"),
        ((0, MAX_CHUNK_BYTES, MAX_CHUNK_BYTES + 1, 1), "limit"),
        ((0, 1_024, 10 * 1024**3, 1), "limit"),
        ((MAX_PACK_BYTES, 1, 1, 0), "outside its pack"),
        ((2**32 - 1, 2**32 - 1, 1, 1), "outside its pack"),
        ((0, 1, MAX_EXPANSION + 1, 1), "expands more than 1000 times"),
        ((0, 2, 1, 0), "raw chunk"),
        ((0, 1, 2, 0), "raw chunk"),
    ],
)
def test_numbers_beyond_the_limits_are_refused(numbers: tuple[int, int, int, int], reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        check_placement(*numbers, 0)


@pytest.mark.parametrize("codec", [4, 255])
def test_a_codec_of_a_newer_version_is_told_from_damage(codec: int) -> None:
    with pytest.raises(UnsupportedFormatError, match=f"codec {codec}.*upgrade"):
        check_placement(0, 1, 1, codec, 0)


@pytest.mark.parametrize("element", [22, 255])
def test_an_element_type_of_a_newer_version_is_told_from_damage(element: int) -> None:
    with pytest.raises(UnsupportedFormatError, match=f"element type {element}.*upgrade"):
        check_placement(0, 1, 1, 0, element)


@given(numbers=st.tuples(*[st.integers(0, 2**32 - 1)] * 3, st.integers(0, 255), st.integers(0, 255)))
def test_any_numbers_of_a_row_are_accepted_within_the_limits_or_refused(numbers: tuple[int, int, int, int, int]) -> None:
    offset, stored_bytes, raw_bytes, _, _ = numbers
    try:
        check_placement(*numbers)
    except (FormatError, UnsupportedFormatError):
        return
    assert offset + stored_bytes <= MAX_PACK_BYTES
    assert 1 <= raw_bytes <= min(MAX_CHUNK_BYTES, stored_bytes * MAX_EXPANSION)
