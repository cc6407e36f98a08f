"""What Keras 3 saves (https://keras.io/api/saving/): a zip archive in which `model.weights.h5` is an HDF5 file, not compressed."""

from dataclasses import replace

from cas_registry.formats import hdf5
from cas_registry.formats.layout import index_of
from cas_registry.formats.source import Window
from cas_registry.formats.zip_archive import Archive
from cas_registry.model.tensors import TensorIndex

WEIGHTS = "model.weights.h5"


def read(window: Window, archive: Archive) -> TensorIndex | None:
    """The datasets within; None where they are in no known form."""
    start = archive.data_offset(WEIGHTS)
    weights = window.within(start, archive.members[WEIGHTS].size_bytes)
    if weights.read_up_to(0, len(hdf5.SIGNATURE)) != hdf5.SIGNATURE:
        return None
    index = hdf5.read(weights)
    if index is None:
        return None
    tensors = [replace(tensor, offset=start + tensor.offset) for tensor in index.tensors]
    return index_of("keras", tensors, window.size_bytes)
