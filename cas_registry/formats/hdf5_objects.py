"""HDF5 object headers (format specification 4.0, https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t4.html, part IV.A).

An object is a row of messages, in blocks that lead to each other. What the messages mean is not known here.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cas_registry.formats.source import MAX_HEADER_BYTES, MalformedError, Window

UNDEFINED = (1 << 64) - 1  # the address of what is not there
_MAX_STEPS = 400_000  # objects, their messages and links, nodes of trees; a checkpoint takes some twenty a dataset
_MAX_BYTES = 256 << 20  # of all that is read, whether it was read before or not
_MAX_OBJECT_BYTES = 4 << 20  # of one object's messages, which take 64 KiB each at most
_MAX_BLOCKS = 256  # of one object

_CONTINUATION = 0x10
_SHARED = 2  # flag of a message that lies elsewhere
_ADDRESS_AND_LENGTH = struct.Struct("<2Q")
_V1_HEADER = struct.Struct("<BxHII4x")
_V1_MESSAGE = struct.Struct("<HHB3x")
_V2_MESSAGE = struct.Struct("<BHB")
_V2_SIGNATURE, _V2_BLOCK_SIGNATURE = b"OHDR", b"OCHK"
_V2_TIMES, _V2_PHASES, _V2_ORDER = 0x20, 0x10, 0x04  # flags: optional fields that are there
_CHECKSUM_BYTES = 4


class Message(NamedTuple):
    """A message of an object; the body of a shared one is where it lies, not what it says."""

    kind: int
    body: bytes
    is_shared: bool


@dataclass(slots=True)
class File:
    """An HDF5 file: addresses in it count from `base`.

    Everything that is followed counts as a step, and every text that is kept takes room, so that time and memory have a limit however
    the parts of a file lead to each other.
    """

    window: Window
    base: int
    _steps_left: int = _MAX_STEPS
    _bytes_left: int = _MAX_BYTES
    _room_bytes: int = MAX_HEADER_BYTES

    def step(self) -> None:
        self._steps_left -= 1
        if self._steps_left < 0:
            raise MalformedError("more objects than any checkpoint has")

    def keep(self, text: str) -> str:
        """The same text, once there is room for it."""
        self._room_bytes -= len(text)
        if self._room_bytes < 0:
            raise MalformedError("longer names than any checkpoint has")
        return text

    def read(self, address: int, size_bytes: int) -> bytes:
        self._bytes_left -= size_bytes
        if self._bytes_left < 0:
            raise MalformedError("more metadata than any checkpoint has")
        return self.window.read(self.base + address, size_bytes)

    def messages(self, address: int) -> Iterator[Message]:
        """The messages of the object at an address."""
        self.step()
        start = self.read(address, 6)
        if start.startswith(_V2_SIGNATURE):
            return self._messages_v2(address, start[4], start[5])
        return self._messages_v1(address)

    def _messages_v1(self, address: int) -> Iterator[Message]:
        version, _, _, size_bytes = _V1_HEADER.unpack(self.read(address, _V1_HEADER.size))
        if version != 1:
            raise MalformedError("not an object")
        blocks = [_within_limit(address + _V1_HEADER.size, size_bytes, ())]
        for start, length in blocks:  # grows on the way
            block = self.read(start, length)
            position = 0
            while position + _V1_MESSAGE.size <= length:
                self.step()
                kind, body_bytes, flags = _V1_MESSAGE.unpack_from(block, position)
                position += _V1_MESSAGE.size
                yield from _message(kind, block[position : position + body_bytes], body_bytes, flags, blocks)
                position += body_bytes

    def _messages_v2(self, address: int, version: int, flags: int) -> Iterator[Message]:
        if version != 2:  # noqa: PLR2004 - the version that has this signature
            raise MalformedError("not an object")
        size_at = 6 + (16 if flags & _V2_TIMES else 0) + (4 if flags & _V2_PHASES else 0)
        width = 1 << (flags & 3)
        size_bytes = int.from_bytes(self.read(address + size_at, width), "little")
        blocks = [_within_limit(address + size_at + width, size_bytes, ())]
        order_bytes = 2 if flags & _V2_ORDER else 0
        for number, (start, length) in enumerate(blocks):  # grows on the way
            block = self.read(start, length)
            if number:  # all but the first have a signature and a checksum of their own
                if not block.startswith(_V2_BLOCK_SIGNATURE):
                    raise MalformedError("not a block of an object")
                block = block[len(_V2_BLOCK_SIGNATURE) : -_CHECKSUM_BYTES]
            position = 0
            while position + _V2_MESSAGE.size + order_bytes <= len(block):  # a shorter rest is a gap
                self.step()
                kind, body_bytes, message_flags = _V2_MESSAGE.unpack_from(block, position)
                position += _V2_MESSAGE.size + order_bytes
                yield from _message(kind, block[position : position + body_bytes], body_bytes, message_flags, blocks)
                position += body_bytes


def _message(kind: int, body: bytes, size_bytes: int, flags: int, blocks: list[tuple[int, int]]) -> Iterator[Message]:
    """The message, or nothing and one block more."""
    if len(body) != size_bytes:
        raise MalformedError("a message that ends early")
    if kind == _CONTINUATION:
        address, length = _ADDRESS_AND_LENGTH.unpack_from(body)
        blocks.append(_within_limit(address, length, blocks))
    else:
        yield Message(kind, body, bool(flags & _SHARED))


def _within_limit(address: int, size_bytes: int, before: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The block, unless it is one too many, or too much with those before it."""
    if len(before) >= _MAX_BLOCKS or size_bytes + sum(size for _, size in before) > _MAX_OBJECT_BYTES:
        raise MalformedError("an object without end")
    return address, size_bytes
