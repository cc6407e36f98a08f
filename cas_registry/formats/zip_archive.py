"""Zip archives (APPNOTE 6.3, https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT), zip64 included: which members lie where.

Only the central directory is believed; local headers are read for the length of their names and extras, and have to agree.
"""

import struct
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cas_registry.formats.source import MAX_HEADER_BYTES, ByteSource, MalformedError, Window
from cas_registry.model.tensors import TensorIndex

MAX_MEMBERS = 100_000
_END = struct.Struct("<4s4H2IH")
_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQ2H2I4Q")
_ENTRY = struct.Struct("<4s6H3I5H2I")
LOCAL = struct.Struct("<4s5H3I2H")
_MAX_COMMENT_BYTES = 0xFFFF
_IN_ZIP64_16, _IN_ZIP64_32 = 0xFFFF, 0xFFFFFFFF
_ZIP64_EXTRA = 1
_ENCRYPTED, _DESCRIPTOR = 1, 8
_TORCH_ALIGNMENT = 64
_TORCH_EXTRA_BYTES = 4 + 20 + _TORCH_ALIGNMENT  # the padding's own header, wide sizes, the padding
_MAX_NAME_BYTES = 4096
_DESCRIPTOR_BYTES = (16, 24)  # with its signature; of 32-bit and of 64-bit sizes


@dataclass(frozen=True, slots=True)
class Member:
    """A row of the central directory. `offset` is that of the local header, which stands before the member's bytes."""

    name: str
    raw_name_bytes: int
    flags: int
    method: int
    offset: int
    stored_bytes: int
    size_bytes: int

    @property
    def is_encrypted(self) -> bool:
        return bool(self.flags & _ENCRYPTED)

    @property
    def is_plain(self) -> bool:
        """Whether the member's bytes are in the archive as they are."""
        return self.method == 0 and self.stored_bytes == self.size_bytes and not self.flags & _ENCRYPTED

    @property
    def earliest(self) -> int:
        """Where its bytes begin if the local header has no extra field."""
        return self.offset + LOCAL.size + self.raw_name_bytes


def read(window: Window) -> TensorIndex | None:
    """The index of what the archive is: a PyTorch file, a model of Keras, or arrays of numpy."""
    archive = Archive(window)
    if archive.pickle_prefix is not None:
        from cas_registry.formats import torch_zip  # noqa: PLC0415

        return torch_zip.read(window, archive)
    if "model.weights.h5" in archive.members:
        from cas_registry.formats import keras  # noqa: PLC0415

        return keras.read(window, archive)
    if any(name.endswith(".npy") for name in archive.members):
        from cas_registry.formats import npz  # noqa: PLC0415

        return npz.read(window, archive)
    return None


class Archive:
    """An archive whose members lie apart. `members` are those whose bytes are in the archive as they are, by name."""

    def __init__(self, window: Window) -> None:
        start, size_bytes, count = _find_directory(window)
        self._window = window
        self._directory_start = start
        self._all = sorted(_members(window.read(start, size_bytes), count), key=lambda member: member.offset)
        for member, following in pairwise(self._all):
            if member.earliest + member.stored_bytes > following.offset:
                raise MalformedError("members that overlap")
        if self._all and self._all[-1].earliest + self._all[-1].stored_bytes > start:
            raise MalformedError("a member within the central directory")
        self.members: Mapping[str, Member] = {member.name: member for member in self._all if member.is_plain}
        if len({member.name for member in self._all}) != count:
            raise MalformedError("two members of one name")
        self._aligned: Mapping[str, int] | None = None

    @property
    def all_members(self) -> Sequence[Member]:
        """Those too that are compressed or encrypted, in the order in which they lie."""
        return self._all

    @property
    def pickle_prefix(self) -> str | None:
        """The folder of `data.pkl`, where the archive has exactly one at that depth: what `torch.save` writes."""
        prefixes = [
            name.removesuffix("/data.pkl") for name in self.members if name.endswith("/data.pkl") and name.count("/") == 1
        ]
        return prefixes[0] if len(prefixes) == 1 else None

    def read(self, name: str) -> bytes:
        """A plain member's bytes."""
        member = self.members[name]
        if member.size_bytes > MAX_HEADER_BYTES:
            raise MalformedError("a header without end")
        return self._window.read(self.data_offset(name), member.size_bytes)

    def data_offset(self, name: str) -> int:
        """Where a plain member's bytes begin, by its local header."""
        return self._checked_offset(self.members[name])

    def aligned_offsets(self) -> Mapping[str, int]:
        """Where all plain members' bytes begin; without a read for each if the archive is laid out as PyTorch lays it out.

        PyTorch starts every member at a multiple of 64 bytes and leaves no gaps, so a member's start follows from the next member's
        header. Where that accounts for every byte of the archive, only the first and the last local header are read.
        """
        if self._aligned is None:
            offsets = self._torch_offsets()
            if offsets is not None:
                for member in (self._all[0], self._all[-1]):
                    if self._checked_offset(member) != offsets[member.name]:
                        raise MalformedError("a local header that disagrees")
            self._aligned = offsets or {name: self.data_offset(name) for name in self.members}
        return self._aligned

    def _torch_offsets(self) -> dict[str, int] | None:
        ends = [*(member.offset for member in self._all[1:]), self._directory_start]
        offsets: dict[str, int] = {}
        for member, end in zip(self._all, ends, strict=True):
            descriptors = _DESCRIPTOR_BYTES if member.flags & _DESCRIPTOR else (0,)
            starts = [start for size in descriptors if (start := end - size - member.stored_bytes) % _TORCH_ALIGNMENT == 0]
            if not starts or not 0 <= starts[0] - member.earliest <= _TORCH_EXTRA_BYTES:
                return None
            offsets[member.name] = starts[0]
        return offsets

    def _checked_offset(self, member: Member) -> int:
        header = self._window.read(member.offset, LOCAL.size + member.raw_name_bytes)
        signature, _, _, method, *_, name_bytes, extra_bytes = LOCAL.unpack_from(header)
        if (signature, method, name_bytes) != (b"PK\x03\x04", member.method, member.raw_name_bytes):
            raise MalformedError("a local header that disagrees")
        if _decoded(header[LOCAL.size :]) != member.name:
            raise MalformedError("a local header that disagrees")
        start = member.earliest + extra_bytes
        if start + member.stored_bytes > self._end_of(member):
            raise MalformedError("a member that reaches into the next")
        return int(start)

    def _end_of(self, member: Member) -> int:
        position = bisect_right(self._all, member.offset, key=lambda other: other.offset)
        return self._all[position].offset if position < len(self._all) else self._directory_start


def find_extent(source: ByteSource) -> tuple[int, int] | None:
    """Start and length of the archive at the end of a file, whatever stands before it, as Python's zipfile finds it. None without one.

    Bytes behind it are left out. MalformedError where readers would disagree on what the archive is: two ends, two directories.
    """
    tail_bytes = min(source.size_bytes, _END.size + _MAX_COMMENT_BYTES + _LOCATOR.size + _END64.size)
    tail = source.read(source.size_bytes - tail_bytes, tail_bytes)
    position = tail.rfind(b"PK\x05\x06")
    if position < 0 or position + _END.size > len(tail):
        return None
    _, _, _, _, count, directory_bytes, directory, comment_bytes = _END.unpack_from(tail, position)
    end = source.size_bytes - tail_bytes + position
    claims = [(end, count, directory_bytes, directory)]
    locator_at = position - _LOCATOR.size
    record_at = locator_at - _END64.size
    if record_at >= 0 and tail.startswith(b"PK\x06\x07", locator_at) and tail.startswith(b"PK\x06\x06", record_at):
        *_, count, directory_bytes, directory = _END64.unpack_from(tail, record_at)
        claims.append((source.size_bytes - tail_bytes + record_at, count, directory_bytes, directory))
    starts = {end - size - start for end, count, size, start in claims if _is_directory(source, end, count, size, start)}
    if not starts:
        return None
    start = starts.pop()
    if starts or (start and source.read(directory, 4) == b"PK\x01\x02"):
        raise MalformedError("two directories")
    return start, min(end + _END.size + comment_bytes, source.size_bytes) - start


def _is_directory(source: ByteSource, end: int, count: int, size_bytes: int, start: int) -> bool:
    """Whether a directory of entries ends there, of an archive that starts so far before it."""
    return size_bytes + start <= end and count > 0 and source.read(end - size_bytes, 4) == b"PK\x01\x02"


def _find_directory(window: Window) -> tuple[int, int, int]:
    """Start, length and number of entries of the central directory."""
    tail_bytes = min(window.size_bytes, _END.size + _MAX_COMMENT_BYTES + _LOCATOR.size + _END64.size)
    tail_start = window.size_bytes - tail_bytes
    tail = window.read(tail_start, tail_bytes)
    position = len(tail)
    while (position := tail.rfind(b"PK\x05\x06", 0, position)) >= 0:
        if position + _END.size <= len(tail) and tail[position + 20 :][:2] == (len(tail) - position - _END.size).to_bytes(
            2, "little"
        ):
            break
    else:
        raise MalformedError("no end of a central directory")
    _, disk, first_disk, here, count, size_bytes, start, _ = _END.unpack_from(tail, position)
    end = tail_start + position
    if _IN_ZIP64_16 in {here, count} or _IN_ZIP64_32 in {size_bytes, start}:
        end, disk, first_disk, here, count, size_bytes, start = _zip64_end(window, end)
    if disk or first_disk or here != count or count > MAX_MEMBERS or size_bytes > MAX_HEADER_BYTES or start + size_bytes > end:
        raise MalformedError("not a central directory")
    return start, size_bytes, count


def _zip64_end(window: Window, end: int) -> tuple[int, int, int, int, int, int, int]:
    signature, _, position, _ = _LOCATOR.unpack(window.read(end - _LOCATOR.size, _LOCATOR.size))
    record = _END64.unpack(window.read(position, _END64.size))
    if signature != b"PK\x06\x07" or record[0] != b"PK\x06\x06" or position + _END64.size > end:
        raise MalformedError("not the end of a zip64 archive")
    return position, *record[4:]


def _members(directory: bytes, count: int) -> Iterator[Member]:
    position = 0
    for _ in range(count):
        (
            signature, _, _, flags, method, _, _, _, stored_bytes, size_bytes, name_bytes, extra_bytes, comment_bytes, _, _, _, offset,
        ) = _ENTRY.unpack_from(directory, position)  # fmt: skip
        name_end = position + _ENTRY.size + name_bytes
        extra_end = name_end + extra_bytes
        if signature != b"PK\x01\x02" or name_bytes > _MAX_NAME_BYTES or extra_end + comment_bytes > len(directory):
            raise MalformedError("not an entry of a central directory")
        if _IN_ZIP64_32 in {stored_bytes, size_bytes, offset}:
            extra = directory[name_end:extra_end]
            size_bytes, stored_bytes, offset = _widened((size_bytes, stored_bytes, offset), extra)
        name = _decoded(directory[position + _ENTRY.size : name_end])
        yield Member(name, name_bytes, flags, method, offset, stored_bytes, size_bytes)
        position = extra_end + comment_bytes
    if position != len(directory):
        raise MalformedError("more than the entries of a central directory")


def _widened(fields: tuple[int, int, int], extra: bytes) -> list[int]:
    """The fields, those that say "in the zip64 extra" replaced from there, in this order."""
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        if kind == _ZIP64_EXTRA:
            wide = iter(struct.unpack_from(f"<{length // 8}Q", extra, position + 4))
            return [next(wide, field) if field == _IN_ZIP64_32 else field for field in fields]
        position += 4 + length
    return list(fields)


def _decoded(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("cp437")
