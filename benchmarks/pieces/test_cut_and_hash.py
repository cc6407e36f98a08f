"""Cutting by content, cutting by tensors, hashing."""

import io
from collections.abc import Callable
from typing import Any

import pytest

from cas_registry.chunking import cut, segments
from cas_registry.model.ids import ChunkId
from cas_registry.model.registry_format import DEFAULT_CHUNK_BYTES, chunking_around
from cas_registry.model.tensors import ElementType, Tensor

ELEMENTS = 8 * 1024 * 1024


def test_cut_by_content(speed: Callable[..., Any], weights: Callable[..., Any]) -> None:
    data = weights(ELEMENTS, ElementType.F32).data
    assert speed(len(data), _cut, data, segments(len(data))) == len(data)


def test_cut_by_tensors(speed: Callable[..., Any], weights: Callable[..., Any]) -> None:
    data = weights(ELEMENTS, ElementType.F32).data
    plan = segments(len(data), [Tensor("weight", "F32", (ELEMENTS,), 0, len(data))])
    assert speed(len(data), _cut, data, plan) == len(data)


@pytest.mark.parametrize("size_bytes", [64 * 1024, 1024 * 1024, 16 * 1024 * 1024])
def test_hash(speed: Callable[..., Any], weights: Callable[..., Any], size_bytes: int) -> None:
    speed(size_bytes, ChunkId.of, weights(size_bytes // 4, ElementType.F32).data)


def _cut(data: bytes, plan: Any) -> int:
    pieces = cut(io.BytesIO(data).read, plan, chunking_around(DEFAULT_CHUNK_BYTES))
    return sum(len(piece.data) for batch in pieces for piece in batch)
