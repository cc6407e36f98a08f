"""Tar archives: the headers' own sums tell them from anything else."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.formats.tar import is_header, members
from tests.formats.files import Source


def archive(files: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("name", ["a", "long/" * 15 + "name"])
def test_every_member_is_found(form: int, name: str) -> None:
    data = archive({name: b"first", "b": bytes(2000)}, form)
    assert is_header(data[:512])
    found = [data[start : start + size] for start, size in members(Source(data))]
    assert b"first" in found
    assert bytes(2000) in found


@given(st.binary(min_size=512, max_size=512))
def test_random_blocks_are_no_headers(block: bytes) -> None:
    assert not is_header(block)


@given(st.binary(max_size=600), st.integers(0, 511))
def test_a_damaged_archive_never_raises_and_ends(noise: bytes, at: int) -> None:
    data = archive({"a": b"x", "b": b"y"})
    assert len(list(members(Source(data[:at] + noise + data[at + len(noise) :])))) <= 3
