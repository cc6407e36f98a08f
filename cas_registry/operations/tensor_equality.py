"""Whether two stored tensors are the same: by their maps, and by their bytes where maps cannot tell."""

import blake3

from cas_registry.operations.tensors import StoredTensor, read_steps
from cas_registry.store.stores import Stores


def same_by_maps(left: StoredTensor, right: StoredTensor) -> bool | None:
    """Whether type, shape and bytes are the same; None where only the bytes can tell: of small tensors, which share chunks with others, and
    of those that were cut differently."""
    one, two = left.tensor, right.tensor
    if (one.dtype, one.shape, one.strides, one.size_bytes) != (two.dtype, two.shape, two.strides, two.size_bytes):
        return False
    chunks, skip = left.covering()
    others, other_skip = right.covering()
    if skip == other_skip and [item.placement.chunk for item in chunks] == [item.placement.chunk for item in others]:
        return True
    cuts = [item.placement.raw_bytes for item in chunks]
    is_cut_alike = cuts == [item.placement.raw_bytes for item in others]
    return False if is_cut_alike and skip == other_skip == 0 and sum(cuts) == one.size_bytes else None


def same_tensor(stores: Stores, left: StoredTensor, right: StoredTensor) -> bool:
    """Whether type, shape and bytes are the same. Reads the bytes of both where maps cannot tell."""
    told = same_by_maps(left, right)
    return _digest(stores, left) == _digest(stores, right) if told is None else told


def _digest(stores: Stores, found: StoredTensor) -> bytes:
    hasher = blake3.blake3()
    for data in read_steps(stores, found):
        hasher.update(data)
    return hasher.digest()
