"""Which form a chunk of a tensor is stored in: what a sample forecasts, what pays, and never anything that does not come back."""

import numpy as np
import pytest

from cas_registry import codecs
from cas_registry.codecs import Base, decode_chunk, encode_chunk
from cas_registry.model.placement import Codec
from cas_registry.model.tensors import ElementType

COUNT = 262_144
Values = np.ndarray[tuple[int], np.dtype[np.float32]]


def weights(seed: int = 1) -> Values:
    return (np.random.default_rng(seed).standard_normal(COUNT) * 0.05).astype(np.float32)


def trained(values: Values, size: float = 1e-5) -> Values:
    return values + (np.random.default_rng(2).standard_normal(values.size) * size).astype(np.float32)


def choose(values: Values, under: Values, *, pays_bytes: int | None = None) -> tuple[Codec, int]:
    """The codec and the stored length of `values` over a base, after reading them back."""
    data, below = values.tobytes(), under.tobytes()
    stored_bytes = len(encode_chunk(below, ElementType.F32)[1])
    base = Base(below, ElementType.F32, stored_bytes, stored_bytes if pays_bytes is None else pays_bytes)
    codec, stored = encode_chunk(data, ElementType.F32, base)
    assert decode_chunk(codec, stored, len(data), ElementType.F32, base if codec is Codec.DELTA else None) == data
    return codec, len(stored)


def test_what_resembles_its_base_is_a_delta_and_what_does_not_is_none() -> None:
    assert choose(trained(weights()), weights())[0] is Codec.DELTA
    assert choose(weights(), weights(7))[0] is Codec.PLANES


def test_a_delta_that_a_sample_shows_to_be_hopeless_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    from cas_registry.codecs import delta

    made: list[int] = []
    encode = delta.encode

    def note(*arguments: object) -> bytes:
        made.append(len(arguments[0]))  # type: ignore[arg-type]
        return encode(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(delta, "encode", note)
    assert choose(weights(), weights(7))[0] is Codec.PLANES
    assert made == [4 * COUNT // codecs.SAMPLE_SHARE]


def test_a_delta_that_costs_more_than_it_is_worth_gives_way() -> None:
    values = trained(weights())
    _, size = choose(values, weights())
    assert choose(values, weights(), pays_bytes=size)[0] is Codec.DELTA
    assert choose(values, weights(), pays_bytes=size - 1)[0] is Codec.PLANES
    assert choose(values, weights(), pays_bytes=0)[0] is Codec.PLANES


def test_a_misleading_sample_never_costs_more_than_what_pays() -> None:
    """Differences everywhere but in the stretches that are looked at."""
    stretch, length = COUNT // codecs.SAMPLE_STRETCHES, COUNT // (codecs.SAMPLE_STRETCHES * codecs.SAMPLE_SHARE)
    seen = np.arange(COUNT) % stretch < length
    under, values = np.random.default_rng(5).integers(0, 2**32, COUNT, np.uint32).view(np.float32), weights()
    under[seen] = values[seen]
    codec, size = choose(values, under)
    assert codec is Codec.PLANES
    assert size <= len(encode_chunk(values.tobytes(), ElementType.F32)[1])


@pytest.mark.parametrize("count", [1, 100, 32_768, COUNT - 1])
def test_a_base_that_ends_early_is_tried_without_a_sample(count: int) -> None:
    values = trained(weights())
    codec, _ = choose(values, weights()[:count])
    assert codec is (Codec.DELTA if count > COUNT // 2 else Codec.PLANES)


def test_a_small_chunk_is_tried_both_ways() -> None:
    values = weights()[:1000]
    assert choose(trained(values), values)[0] is Codec.DELTA
    assert choose(values, weights(7)[:1000])[0] is Codec.PLANES
