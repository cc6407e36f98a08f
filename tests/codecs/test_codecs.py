"""Stored forms of chunks: what goes in comes out, and the form chosen is one that every reader accepts."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import blake3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry import codecs
from cas_registry.codecs import decode_chunk, encode_chunk, zstd
from cas_registry.errors import FormatError, IntegrityError
from cas_registry.model.placement import MAX_EXPANSION, Codec, check_placement
from cas_registry.model.registry_format import MAX_CHUNK_BYTES


def _noise(length: int) -> bytes:
    return blake3.blake3(b"noise").digest(length=length)


SAMPLES = {
    "one byte": b"x",
    "text": b"the same words again and again " * 100,
    "noise": _noise(65_536),
    "half noise": _noise(32_768) + bytes(32_768),
    "short noise": _noise(10),
    "zeros": bytes(262_144),
    "short zeros": bytes(700),
    "few zeros": bytes(64),
    "a chunk of the largest size": _noise(8 * 1024 * 1024) + bytes(8 * 1024 * 1024),
    "zeros of the largest size": bytes(MAX_CHUNK_BYTES),
}


@pytest.mark.parametrize("data", SAMPLES.values(), ids=SAMPLES)
def test_a_chunk_comes_back_from_its_stored_form_and_the_form_keeps_the_limits(data: bytes) -> None:
    codec, stored = encode_chunk(data)
    assert decode_chunk(codec, stored, len(data)) == data
    assert check_placement(0, len(stored), len(data), codec, 0)[0] is codec
    assert len(stored) <= len(data)


@given(data=st.binary(min_size=1, max_size=2_000) | st.binary(min_size=1, max_size=20).map(lambda data: data * 300))
def test_any_chunk_comes_back_whatever_buffer_it_is_given_in(data: bytes) -> None:
    codec, stored = encode_chunk(data)
    assert decode_chunk(codec, stored, len(data)) == data
    assert check_placement(0, len(stored), len(data), codec, 0)[0] is codec
    view_codec, view_stored = encode_chunk(memoryview(b"-" + data + b"-")[1:-1])
    assert (view_codec, bytes(view_stored)) == (codec, bytes(stored))
    assert decode_chunk(codec, memoryview(b"-" + bytes(stored) + b"-")[1:-1], len(data)) == data


def test_what_zstd_makes_smaller_is_compressed() -> None:
    codec, stored = encode_chunk(SAMPLES["text"])
    assert codec is Codec.ZSTD
    assert len(stored) < len(SAMPLES["text"]) / 10


@pytest.mark.parametrize("name", ["noise", "short noise", "one byte"])
def test_what_cannot_be_compressed_stays_as_it_is(name: str) -> None:
    codec, stored = encode_chunk(SAMPLES[name])
    assert codec is Codec.RAW
    assert stored is SAMPLES[name]


def test_a_gain_of_less_than_three_percent_is_not_worth_a_codec() -> None:
    gained = {}
    for zeros in range(500, 3_500, 250):
        data = _noise(65_536 - zeros) + bytes(zeros)
        gained[1 - len(zstd.encode(data)) / len(data)] = encode_chunk(data)[0]
    assert set(gained.values()) == {Codec.RAW, Codec.ZSTD}
    assert all((codec is Codec.ZSTD) == (gain >= 0.03) for gain, codec in gained.items())


def test_constant_chunks_never_expand_more_than_a_reader_accepts() -> None:
    forms = set()
    for length in (1, 100, 1_000, 10_000, 13_000, 100_000, 262_144, MAX_CHUNK_BYTES):
        for byte in (b"\x00", b"\xff"):
            data = byte * length
            codec, stored = encode_chunk(data)
            assert len(data) <= len(stored) * MAX_EXPANSION
            assert check_placement(0, len(stored), length, codec, 0)[0] is codec
            forms.add(codec)
    assert forms == {Codec.RAW, Codec.ZSTD, Codec.PLANES}


@pytest.mark.parametrize("codec", [Codec.RAW, Codec.ZSTD])
@pytest.mark.parametrize("change", [-3, -1, 1, 1_000, 10**6])
def test_another_length_than_announced_is_refused(codec: Codec, change: int) -> None:
    data = SAMPLES["text"]
    stored = data if codec is Codec.RAW else zstd.encode(data)
    with pytest.raises(FormatError):
        decode_chunk(codec, stored, len(data) + change)


def test_a_compressor_that_corrupts_is_found_before_anything_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    def corrupt(data: bytes, _: int = zstd.LEVEL) -> bytes:
        return zstd.encode(bytes(data[:-1]) + b"?")

    class Corrupting:
        LEVEL = zstd.LEVEL
        encode = staticmethod(corrupt)
        decode = staticmethod(zstd.decode)

    monkeypatch.setattr(codecs, "zstd", Corrupting)
    with pytest.raises(IntegrityError, match="does not decode to its source"):
        encode_chunk(SAMPLES["text"])


def test_threads_encode_and_decode_at_once() -> None:
    gate = threading.Barrier(8)

    def work(seed: int) -> int:
        rng = random.Random(seed)
        gate.wait(timeout=30)
        for _ in range(60):
            data = rng.randbytes(rng.randrange(1, 40)) * rng.randrange(1, 3_000)
            codec, stored = encode_chunk(data)
            assert decode_chunk(codec, stored, len(data)) == data
        return seed

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == list(range(8))
