"""Reading forward through a window, field by field; what is skipped is not read."""

import struct

from cas_registry.formats.source import MalformedError, Window

_BLOCK_BYTES = 2048  # taken from the window's pages at once, so that a field costs no walk through them
_MAX_VARINT_BYTES = 10  # of a 64-bit number, seven bits each
_MAX_VARINT = (1 << 64) - 1
_MORE = 0x80  # the bit of a byte that says that another one follows
_U64 = struct.Struct("<Q")
_U32 = struct.Struct("<I")


class Cursor:
    """A position between `position` and `end`; whatever would go beyond is malformed."""

    def __init__(self, window: Window, position: int, end: int) -> None:
        if not 0 <= position <= end <= window.size_bytes:
            raise MalformedError("a part beyond its whole")
        self.position = position
        self.end = end
        self._window = window
        self._block = b""
        self._block_start = position

    def take(self, length: int) -> bytes:
        """The next `length` bytes."""
        start = self._within(length)
        self.position += length
        return self._block[start : start + length]

    def skip(self, length: int) -> None:
        if not 0 <= length <= self.end - self.position:
            raise MalformedError("a field beyond its whole")
        self.position += length

    def u32(self) -> int:
        start = self._within(4)
        self.position += 4
        return int(_U32.unpack_from(self._block, start)[0])

    def u64(self) -> int:
        start = self._within(8)
        self.position += 8
        return int(_U64.unpack_from(self._block, start)[0])

    def varint(self) -> int:
        """An unsigned number as Protocol Buffers write it, seven bits a byte, the lowest first."""
        start = self._within(1)
        value = self._block[start]
        if value < _MORE:
            self.position += 1
            return value
        value = 0
        length = min(_MAX_VARINT_BYTES, self.end - self.position)
        start = self._within(length)
        for count, byte in enumerate(self._block[start : start + length]):
            value |= (byte & (_MORE - 1)) << (7 * count)
            if byte < _MORE:
                self.position += count + 1
                return value & _MAX_VARINT
        raise MalformedError("a number without end")

    def _within(self, length: int) -> int:
        """Where in the block the next `length` bytes begin, once they are there."""
        if not 0 <= length <= self.end - self.position:
            raise MalformedError("a field beyond its whole")
        start = self.position - self._block_start
        if start + length > len(self._block):
            self._block = self._window.read(self.position, max(length, min(_BLOCK_BYTES, self.end - self.position)))
            self._block_start = self.position
            return 0
        return start
