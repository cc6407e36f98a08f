"""Ranged reads of one file, checked and few: what every parser reads through. Limits that hold for all containers."""

from collections import OrderedDict
from typing import Protocol

MAX_HEADER_BYTES = 32 << 20  # the largest headers seen, tokenizers within GGUF, are a third of it
MAX_NAME_BYTES = 1024  # the longest parameter names seen are a quarter of it
MAX_READ_BYTES = 512 << 20  # all reads of one file together: no header leads a reader across a whole disk
_PAGE_BYTES = 16 << 10  # a read's latency outweighs its transfer up to about here
_AHEAD_PAGES = 4  # in one read, at the start of a file and where pages are read one after the other
_CACHED_PAGES = 512


class MalformedError(Exception):
    """The content is not what its container allows, or beyond a limit; `read_index` turns it into None."""


class ByteSource(Protocol):
    """A file that can be read by range."""

    @property
    def size_bytes(self) -> int: ...

    def read(self, offset: int, length: int) -> bytes:
        """The bytes [offset, offset + length), fewer only at the end of the file."""


class Window:
    """The bytes [start, start + size_bytes) of a source; offsets are relative to `start`.

    Small reads come from pages that are kept for a while, long ones straight from the source. Reads beyond the window, and reads
    that the source cuts short, are malformed. Errors of the source pass through.
    """

    def __init__(self, source: ByteSource, start: int = 0, size_bytes: int | None = None) -> None:
        self.start = start
        self.size_bytes = source.size_bytes - start if size_bytes is None else size_bytes
        self._source = source
        self._pages: OrderedDict[int, bytes] = OrderedDict()
        self._budget = MAX_READ_BYTES

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes."""
        if offset < 0 or length < 0 or offset + length > self.size_bytes:
            raise MalformedError("a read beyond the file")
        if length > _AHEAD_PAGES * _PAGE_BYTES * 2:
            return self._fetch(offset, length)
        first, last = offset // _PAGE_BYTES, max(offset, offset + length - 1) // _PAGE_BYTES
        missing = [number for number in range(first, last + 1) if number not in self._pages]
        if missing:
            self._load(missing[0], missing[-1])
        pages = b"".join([self._page(number) for number in range(first, last + 1)])
        skipped = offset - first * _PAGE_BYTES
        return pages[skipped : skipped + length]

    def read_up_to(self, offset: int, length: int) -> bytes:
        """These bytes, or as many as the window has from `offset` on."""
        return self.read(offset, max(0, min(length, self.size_bytes - offset)))

    def within(self, start: int, size_bytes: int) -> "Window":
        """A part of this window as a window of its own."""
        if start < 0 or size_bytes < 0 or start + size_bytes > self.size_bytes:
            raise MalformedError("a part beyond the file")
        return Window(self._source, self.start + start, size_bytes)

    def _page(self, number: int) -> bytes:
        self._pages.move_to_end(number)
        return self._pages[number]

    def _load(self, first: int, last: int) -> None:
        if first == 0 or first - 1 in self._pages:
            last = max(last, first + _AHEAD_PAGES - 1)
        start = first * _PAGE_BYTES
        data = self._fetch(start, min((last + 1) * _PAGE_BYTES, self.size_bytes) - start)
        for position in range(0, max(1, len(data)), _PAGE_BYTES):
            self._pages[first + position // _PAGE_BYTES] = data[position : position + _PAGE_BYTES]
        while len(self._pages) > _CACHED_PAGES:
            self._pages.popitem(last=False)

    def _fetch(self, offset: int, length: int) -> bytes:
        self._budget -= length
        if self._budget < 0:
            raise MalformedError("more reads than any header takes")
        data = self._source.read(self.start + offset, length)
        if len(data) != length:
            raise MalformedError("the file ends early")
        return data
