"""HDF5's heaps (format specification 4.0, parts III.E and III.G): objects of any size, named by an id or a number."""

import struct

from cas_registry.formats.hdf5_objects import UNDEFINED, File
from cas_registry.formats.source import MalformedError

MAX_OBJECT_BYTES = 64 << 10  # of a link or a short text
_HEADER = struct.Struct("<4sBHHBI" + "Q" * 12 + "HQQHHQH")
_DIRECT_OVERHEAD_BYTES = 13  # signature, version, address of the header; then the block's offset
_MAX_BITS = 64
_MAX_ROWS = 128
_MAX_WIDTH = 1024
_KIND_BITS = 0x30  # of an id's first byte; zero: managed, in a block of the heap

_COLLECTION = struct.Struct("<4sB3xQ")
_COLLECTED = struct.Struct("<HH4xQ")
_MAX_COLLECTION_BYTES = 1 << 20


class FractalHeap:
    """A heap of blocks that double in size, found by a table of them."""

    def __init__(self, file: File, address: int) -> None:
        (
            signature, version, _, filter_bytes, _, most, *_, self._width, self._first_bytes, self._direct_bytes, bits, _, self._root,
            self._rows,
        ) = _HEADER.unpack(file.read(address, _HEADER.size))  # fmt: skip
        if (signature, version) != (b"FRHP", 0) or filter_bytes or self._root == UNDEFINED:
            raise MalformedError("not a heap")
        if not 0 < self._first_bytes <= self._direct_bytes or not 0 < bits <= _MAX_BITS:
            raise MalformedError("not a heap")
        if self._rows > _MAX_ROWS or not 0 < self._width <= _MAX_WIDTH:
            raise MalformedError("not a heap")
        self._file = file
        self._offset_bytes = (bits + 7) // 8
        self._length_bytes = (min(self._direct_bytes, most).bit_length() + 7) // 8
        self._direct_rows = (self._direct_bytes // self._first_bytes).bit_length() + 1

    def object(self, heap_id: bytes) -> bytes:
        """The object of an id. Malformed for those that lie outside the heap's blocks, as links never do."""
        offset = int.from_bytes(heap_id[1 : 1 + self._offset_bytes], "little")
        length = int.from_bytes(heap_id[1 + self._offset_bytes :][: self._length_bytes], "little")
        if heap_id[0] & _KIND_BITS or length > MAX_OBJECT_BYTES:
            raise MalformedError("not an object of a heap's block")
        address, skipped, size_bytes = self._root, offset, self._first_bytes
        rows = self._rows
        while rows:
            self._file.step()
            number, skipped, size_bytes = self._entry(skipped, rows)
            table = address + _DIRECT_OVERHEAD_BYTES + self._offset_bytes
            address = int.from_bytes(self._file.read(table + 8 * number, 8), "little")
            rows = 0 if number < self._direct_rows * self._width else self._rows_of(size_bytes)
        if skipped + length > size_bytes:
            raise MalformedError("an object beyond its block")
        return self._file.read(address + skipped, length)

    def _entry(self, offset: int, rows: int) -> tuple[int, int, int]:
        """Of the block that holds an offset: its number in the table, the offset within it, its size."""
        size_bytes, start = self._first_bytes, 0
        for row in range(rows):
            if row > 1:
                size_bytes *= 2
            if offset < start + self._width * size_bytes:
                column, within = divmod(offset - start, size_bytes)
                return row * self._width + column, within, size_bytes
            start += self._width * size_bytes
        raise MalformedError("an object beyond its heap")

    def _rows_of(self, size_bytes: int) -> int:
        """Rows of the table that a block of blocks has."""
        rows: int = (size_bytes // (self._first_bytes * self._width)).bit_length()
        if not 0 < rows <= _MAX_ROWS:
            raise MalformedError("not a heap")
        return rows


def collected(file: File, address: int, wanted: int, *, max_bytes: int = MAX_OBJECT_BYTES) -> bytes:
    """The object of a number in the global heap's collection at an address: what texts of variable length lie in."""
    signature, version, size_bytes = _COLLECTION.unpack(file.read(address, _COLLECTION.size))
    if (signature, version) != (b"GCOL", 1) or size_bytes > _MAX_COLLECTION_BYTES + max_bytes:
        raise MalformedError("not a collection of objects")
    position = _COLLECTION.size
    while position + _COLLECTED.size <= size_bytes:
        file.step()
        number, _, length = _COLLECTED.unpack(file.read(address + position, _COLLECTED.size))
        position += _COLLECTED.size
        if number == wanted:
            if length > max_bytes:
                break
            return file.read(address + position, length)
        if number == 0:  # the rest is free
            break
        position += -(-length // 8) * 8
    raise MalformedError("no such object")
