"""Every codec both ways on one piece of a tensor, and the choice among them. A new codec is one line in CODECS."""

from collections.abc import Callable
from typing import Any

import pytest

from cas_registry.codecs import Base, decode_chunk, delta, encode_chunk, planes, zstd
from cas_registry.model.registry_format import DEFAULT_PIECE_ELEMENTS
from cas_registry.model.tensors import ElementType

TYPES = [ElementType.F32, ElementType.BF16]
CODECS = {
    "zstd": (lambda tensor: zstd.encode(tensor.data), lambda tensor, stored: zstd.decode(stored, len(tensor.data))),
    "planes": (
        lambda tensor: planes.encode(tensor.data, tensor.element.width),
        lambda tensor, stored: planes.decode(stored, len(tensor.data), tensor.element.width),
    ),
    "delta": (
        lambda tensor: delta.encode(tensor.data, tensor.element, tensor.before, tensor.element),
        lambda tensor, stored: delta.decode(stored, len(tensor.data), tensor.element, tensor.before, tensor.element),
    ),
}


@pytest.mark.parametrize("element", TYPES, ids=lambda element: element.name)
@pytest.mark.parametrize("codec", CODECS)
def test_encode(speed: Callable[..., Any], weights: Callable[..., Any], codec: str, element: ElementType) -> None:
    tensor = weights(DEFAULT_PIECE_ELEMENTS, element)
    encode, decode = CODECS[codec]
    assert decode(tensor, speed(len(tensor.data), encode, tensor)) == tensor.data


@pytest.mark.parametrize("element", TYPES, ids=lambda element: element.name)
@pytest.mark.parametrize("codec", CODECS)
def test_decode(speed: Callable[..., Any], weights: Callable[..., Any], codec: str, element: ElementType) -> None:
    tensor = weights(DEFAULT_PIECE_ELEMENTS, element)
    encode, decode = CODECS[codec]
    assert speed(len(tensor.data), decode, tensor, encode(tensor)) == tensor.data


@pytest.mark.parametrize("element", TYPES, ids=lambda element: element.name)
@pytest.mark.parametrize("against", ["nothing", "before"])
def test_choose_encode_and_compare(
    speed: Callable[..., Any], weights: Callable[..., Any], against: str, element: ElementType
) -> None:
    tensor = weights(DEFAULT_PIECE_ELEMENTS, element)
    base = Base(tensor.before, element, stored_bytes=len(tensor.before)) if against == "before" else None
    codec, stored = speed(len(tensor.data), encode_chunk, tensor.data, element, base)
    assert decode_chunk(codec, stored, len(tensor.data), element, base) == tensor.data
