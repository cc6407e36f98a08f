"""What differs between the tensors of two versions: from maps alone, and with `values` from the chunks that differ."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from cas_registry.errors import UnsupportedFormatError
from cas_registry.model.ids import ChunkId
from cas_registry.operations.progress import Progress
from cas_registry.operations.tensors import StoredTensor, dtype_of, read_steps, stored_tensors
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class TensorChange(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    RENAMED = "renamed"
    CHANGED = "changed"
    RETYPED = "retyped"
    RESHAPED = "reshaped"


@dataclass(frozen=True, slots=True)
class Movement:
    """How far the values moved, in double precision. `cosine` is None where either side is all zeros.

    Elements that are not finite on either side count as changed where their bits differ, and stay out of the other figures.
    """

    l2: float
    max_abs: float
    cosine: float | None
    changed_fraction: float


@dataclass(frozen=True, slots=True)
class TensorDelta:
    """One tensor that differs. `moved_bytes` are those of its chunks that the old one does not have."""

    change: TensorChange
    path: str
    name: str
    layer: str
    old_name: str | None
    old_dtype: str | None
    dtype: str | None
    old_shape: tuple[int, ...] | None
    shape: tuple[int, ...] | None
    size_bytes: int
    moved_bytes: int
    movement: Movement | None = None


@dataclass(frozen=True, slots=True)
class LayerDelta:
    """The tensors of one layer together: `l2` is the norm over all of them, None without values."""

    layer: str
    tensors: int
    moved_bytes: int
    l2: float | None


@dataclass(frozen=True, slots=True)
class TensorDiff:
    """The tensors that differ and the layers that they are of, the widest movers first."""

    tensors: tuple[TensorDelta, ...]
    layers: tuple[LayerDelta, ...]
    unchanged: int
    unchanged_bytes: int


def diff_tensors(stores: Stores, old: Version, new: Version, *, values: bool = False, progress: Progress) -> TensorDiff:
    """Compare the tensors of two versions by file and name."""
    before = {(found.path, found.tensor.name): found for found in stored_tensors(stores, old)}
    after = {(found.path, found.tensor.name): found for found in stored_tensors(stores, new)}
    pairs = _pairs(before, after)
    deltas: list[TensorDelta] = []
    unchanged = unchanged_bytes = 0
    measured: list[tuple[int, StoredTensor, StoredTensor]] = []
    for left, right in pairs:
        delta = _compare(stores, left, right)
        if delta is None:
            assert right is not None  # noqa: S101 - unchanged means there on both sides
            unchanged += 1
            unchanged_bytes += right.tensor.size_bytes
            continue
        if left and right and left.tensor.shape == right.tensor.shape and delta.change is not TensorChange.RENAMED:
            measured.append((len(deltas), left, right))
        deltas.append(delta)
    if values:
        for done, (number, left, right) in enumerate(measured):
            progress.update("compare", done, len(measured))
            deltas[number] = replace(deltas[number], movement=_movement(stores, left, right))
    deltas.sort(key=lambda delta: (-_width(delta), delta.path, delta.name))
    return TensorDiff(tuple(deltas), tuple(_layers(deltas)), unchanged, unchanged_bytes)


def _pairs(
    before: Mapping[tuple[str, str], StoredTensor], after: Mapping[tuple[str, str], StoredTensor]
) -> Iterator[tuple[StoredTensor | None, StoredTensor | None]]:
    """Old and new of the same file and name; then of the same name in other files; then of the same bytes."""
    gone = {key: found for key, found in before.items() if key not in after}
    fresh = {key: found for key, found in after.items() if key not in before}
    yield from ((before[key], after[key]) for key in after if key in before)
    for same in (_name, _content):
        candidates: dict[object, list[tuple[str, str]]] = defaultdict(list)
        for key, found in gone.items():
            candidates[same(found)].append(key)
        for key, found in list(fresh.items()):
            keys = candidates.get(same(found))
            if keys:
                yield gone.pop(keys.pop(0)), fresh.pop(key)
    yield from ((found, None) for found in gone.values())
    yield from ((None, found) for found in fresh.values())


def _name(found: StoredTensor) -> object:
    return found.tensor.name


def _content(found: StoredTensor) -> object:
    chunks, skip = found.covering()
    return (found.tensor.dtype, found.tensor.shape, skip, tuple(item.placement.chunk for item in chunks))


def _compare(stores: Stores, left: StoredTensor | None, right: StoredTensor | None) -> TensorDelta | None:
    shown = right or left
    assert shown is not None  # noqa: S101 - a pair has at least one side
    moved = _moved(stores, left, right)
    if left is None:
        change = TensorChange.ADDED
    elif right is None:
        change = TensorChange.REMOVED
    elif left.tensor.shape != right.tensor.shape:
        change = TensorChange.RESHAPED
    elif left.tensor.dtype != right.tensor.dtype:
        change = TensorChange.RETYPED
    elif moved:
        change = TensorChange.CHANGED
    elif left.tensor.name != right.tensor.name:
        change = TensorChange.RENAMED
    else:
        return None
    name = shown.tensor.name
    return TensorDelta(
        change=change,
        path=shown.path,
        name=name,
        layer=layer_of(name),
        old_name=left.tensor.name if left and right and left.tensor.name != name else None,
        old_dtype=left.tensor.dtype if left else None,
        dtype=right.tensor.dtype if right else None,
        old_shape=left.tensor.shape if left else None,
        shape=right.tensor.shape if right else None,
        size_bytes=shown.tensor.size_bytes,
        moved_bytes=moved,
    )


def _moved(stores: Stores, left: StoredTensor | None, right: StoredTensor | None) -> int:
    """Bytes of the new tensor in chunks that the old one does not have."""
    if right is None:
        return 0
    if left is None:
        return right.tensor.size_bytes
    old, old_skip = left.covering()
    new, skip = right.covering()
    have: set[ChunkId] = {item.placement.chunk for item in old}
    if (_is_alone(left) and _is_alone(right)) or [item.placement.chunk for item in new] == [
        item.placement.chunk for item in old
    ]:
        moved = sum(item.placement.raw_bytes for item in new if item.placement.chunk not in have)
        if moved == 0 and (skip != old_skip or left.tensor.size_bytes != right.tensor.size_bytes):
            return right.tensor.size_bytes
        return min(moved, right.tensor.size_bytes)
    # not cut along the tensor (a small one, or a file cut by content): only its bytes can tell
    same = left.tensor.size_bytes == right.tensor.size_bytes and all(
        a == b for a, b in zip(_rejoined(stores, left), _rejoined(stores, right), strict=True)
    )
    return 0 if same else right.tensor.size_bytes


def _is_alone(found: StoredTensor) -> bool:
    """Whether its chunks hold nothing else."""
    chunks, skip = found.covering()
    return skip == 0 and sum(item.placement.raw_bytes for item in chunks) == found.tensor.size_bytes


def _rejoined(stores: Stores, found: StoredTensor, size: int = 4 * 1024 * 1024) -> Iterator[bytes]:
    """The tensor's bytes in steps of one size, whatever its cuts."""
    held = b""
    for data in read_steps(stores, found):
        held += data
        while len(held) >= size:
            yield held[:size]
            held = held[size:]
    if held:
        yield held


def _movement(stores: Stores, left: StoredTensor, right: StoredTensor) -> Movement | None:
    """None for elements that are no numbers, or are laid out in different orders."""
    import numpy as np

    try:
        old_type, new_type = dtype_of(left.tensor), dtype_of(right.tensor)
    except UnsupportedFormatError:
        return None
    if left.tensor.strides != right.tensor.strides:
        return None
    squares = biggest = dot = old_squares = new_squares = 0.0
    changed = count = 0
    old_steps = _rejoined(stores, left, 1024 * 1024 * old_type.itemsize)
    new_steps = _rejoined(stores, right, 1024 * 1024 * new_type.itemsize)
    for old_data, new_data in zip(old_steps, new_steps, strict=True):
        a, b = np.frombuffer(old_data, old_type), np.frombuffer(new_data, new_type)
        x, y = _as_double(a), _as_double(b)
        count += x.size
        if old_type == new_type:
            bits = f"u{old_type.itemsize}" if old_type.itemsize in (1, 2, 4, 8) else None
            changed += int(np.count_nonzero(a.view(bits) != b.view(bits) if bits else a != b))
        else:
            changed += int(np.count_nonzero(x != y))
        finite = np.isfinite(x) & np.isfinite(y)
        x, y = np.where(finite, x, 0), np.where(finite, y, 0)
        difference = np.abs(y - x)
        squares += float(np.sum(difference**2))
        biggest = max(biggest, float(difference.max(initial=0)))
        dot += float(np.sum((np.conj(x) * y).real))
        old_squares += float(np.sum(np.abs(x) ** 2))
        new_squares += float(np.sum(np.abs(y) ** 2))
    norm = math.sqrt(old_squares) * math.sqrt(new_squares)
    return Movement(math.sqrt(squares), biggest, dot / norm if norm else None, changed / count if count else 0.0)


def _as_double(values: npt.NDArray[np.generic]) -> npt.NDArray[np.number]:
    import numpy as np

    return values.astype(np.complex128 if values.dtype.kind == "c" else np.float64)


def layer_of(name: str) -> str:
    """The part of a tensor's name up to its first number (`encoder.layer.3`), or without one, up to the last dot."""
    parts = name.split(".")
    for number, part in enumerate(parts[:-1]):
        if part.isdecimal():
            return ".".join(parts[: number + 1])
    return ".".join(parts[:-1]) or name


def _width(delta: TensorDelta) -> float:
    return delta.movement.l2 if delta.movement else float(delta.moved_bytes)


def _layers(deltas: Iterable[TensorDelta]) -> Sequence[LayerDelta]:
    groups: dict[str, list[TensorDelta]] = defaultdict(list)
    for delta in deltas:
        groups[delta.layer].append(delta)
    found = [
        LayerDelta(
            layer,
            len(members),
            sum(member.moved_bytes for member in members),
            math.sqrt(sum(member.movement.l2**2 for member in members if member.movement))
            if any(member.movement for member in members)
            else None,
        )
        for layer, members in groups.items()
    ]
    return sorted(found, key=lambda layer: (-(layer.l2 if layer.l2 is not None else layer.moved_bytes), layer.layer))
