"""npz: a zip archive of npy files, of which those that are not compressed are tensors."""

from cas_registry.formats.layout import index_of
from cas_registry.formats.npy import NamelessTypeError, read_array
from cas_registry.formats.source import Window
from cas_registry.formats.zip_archive import Archive
from cas_registry.model.tensors import Tensor, TensorIndex

_SUFFIX = ".npy"


def read(window: Window, archive: Archive) -> TensorIndex:
    """Arrays that have no element type here, pickled objects say, are left out."""
    tensors: list[Tensor] = []
    for name, member in archive.members.items():
        if not name.endswith(_SUFFIX):
            continue
        try:
            tensors.append(read_array(window, archive.data_offset(name), member.size_bytes, name.removesuffix(_SUFFIX)))
        except NamelessTypeError:
            continue
    return index_of("npz", tensors, window.size_bytes)
