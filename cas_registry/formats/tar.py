"""Tar archives (POSIX.1-2017, pax, "ustar Interchange Format"; those before it too): where the members lie, by their headers alone."""

from collections.abc import Iterator

from cas_registry.formats.source import ByteSource, MalformedError

BLOCK_BYTES = 512
_SIZE, _CHECKSUM = slice(124, 136), slice(148, 156)
_BINARY = 0x80  # of a field's first byte: a number of base 256, as GNU tar writes large ones


def is_header(block: bytes) -> bool:
    """Whether a block of 512 bytes is a member's header: its sum is the one that it says."""
    if len(block) != BLOCK_BYTES or not block[0]:
        return False
    try:
        expected = _number(block[_CHECKSUM])
    except MalformedError:
        return False
    return expected == sum(block) - sum(block[_CHECKSUM]) + 8 * ord(" ")


def members(source: ByteSource) -> Iterator[tuple[int, int]]:
    """Start and length of every member's bytes, up to the first block that is no header: where everybody stops reading."""
    position = 0
    while is_header(block := source.read(position, BLOCK_BYTES)):
        start, size_bytes = position + BLOCK_BYTES, _number(block[_SIZE])
        yield start, min(size_bytes, max(0, source.size_bytes - start))
        position = start + -(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES


def _number(field: bytes) -> int:
    if field[0] & _BINARY:
        return int.from_bytes(bytes([field[0] & ~_BINARY]) + field[1:], "big")
    text = field.split(b"\0", 1)[0].strip()
    if text and not all(digit in b"01234567" for digit in text):
        raise MalformedError("not an octal number")
    return int(text or b"0", 8)
