"""Containers of tensors: what lies where in a file of weights, read from its header alone. See `read_index`.

A container is told by its content, never by its name, and nothing of a file is ever run: pickles are read as data. A parser loads
when the content asks for it.
"""

import struct

from cas_registry.errors import RegistryError
from cas_registry.formats.source import ByteSource, MalformedError, Window
from cas_registry.model.tensors import TensorIndex

__all__ = ["ByteSource", "read_index"]

_SIGNATURE_BYTES = 16
_HDF5 = b"\x89HDF\r\n\x1a\n"
_HDF5_STARTS = (0, *(512 << power for power in range(7)))  # as far as the first read of a file reaches


def read_index(source: ByteSource) -> TensorIndex | None:
    """Where the tensors of this file lie, or None for a file of no known container, or one that breaks its container's rules.

    Never raises for content, whatever it is; errors of `source.read` pass through. Headers are read up to `MAX_HEADER_BYTES`, and
    tensors counted up to `MAX_TENSORS`. Every tensor returned lies within the file, and its size follows from its type and shape
    where its type is known; only views of one PyTorch storage share bytes. What an index says of other files (`external`) is checked
    by whoever has them.
    """
    try:
        window = Window(source)
        return _parse(window, window.read_up_to(0, _SIGNATURE_BYTES))
    except RegistryError:  # of the source: some are ValueErrors or KeyErrors too
        raise
    except (MalformedError, ValueError, ArithmeticError, LookupError, TypeError, RecursionError, struct.error):
        return None


def _parse(window: Window, signature: bytes) -> TensorIndex | None:
    if signature.startswith(b"PK\x03\x04"):
        from cas_registry.formats import zip_archive  # noqa: PLC0415

        return zip_archive.read(window)
    if signature.startswith(b"\x93NUMPY"):
        from cas_registry.formats import npy  # noqa: PLC0415

        return npy.read(window)
    if signature[4:9] == b"\0\0\0\0{":
        from cas_registry.formats import safetensors  # noqa: PLC0415

        return safetensors.read(window)
    if signature.startswith(b"GGUF"):
        from cas_registry.formats import gguf  # noqa: PLC0415

        return gguf.read(window)
    if signature.startswith(b"\x08"):  # the tag of a ModelProto's version
        from cas_registry.formats import onnx  # noqa: PLC0415

        return onnx.read(window)
    return _parse_hdf5(window)


def _parse_hdf5(window: Window) -> TensorIndex | None:
    """HDF5 begins with the file, or behind a block for the user of 512 bytes, or twice as many, and so on."""
    starts = (start for start in _HDF5_STARTS if start < window.size_bytes)
    start = next((start for start in starts if window.read_up_to(start, len(_HDF5)) == _HDF5), None)
    if start is None:
        return None
    from cas_registry.formats import hdf5  # noqa: PLC0415

    return hdf5.read(window, start)
