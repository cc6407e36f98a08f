"""What a file does to whoever loads it, by its content alone: pickles, wherever loaders of models look for them, and Keras' own code.

Looked at are the head of a file, its tail for the directory of an archive, and the heads of an archive's members, archives within
archives too. Nothing of a file is ever run, nothing is believed of names and of what headers say of each other, and what cannot be
seen through counts as code. What is not searched for is not found either: see docs/design/009-runs-code.md.
"""

import struct
from dataclasses import dataclass

from cas_registry.errors import RegistryError
from cas_registry.formats import keras_config, npy, pickle_walk, tar, unpacking, zip_archive
from cas_registry.formats.keras_config import MAX_CONFIG_BYTES
from cas_registry.formats.pickle_walk import Found
from cas_registry.formats.source import ByteSource, MalformedError, Window
from cas_registry.model.on_load import OnLoad

MAX_LOOKED_AT_BYTES = 256 << 20  # of one file, in all reads together
MAX_UNPACKED_BYTES = 64 << 20  # of one file, beyond the heads of members
MAX_DEPTH = 4  # archives within archives
MAX_MEMBERS = 200_000  # of all archives in a file together
_WHOLE_BYTES = 72 << 10  # up to here a file is read at once; from here on its head, and its tail for the end of an archive
_HEAD_BYTES = 512
_UNPACKED_HEAD_BYTES = 2048
_UNPACKED_BYTES = 16 << 20

_NPY = b"\x93NUMPY"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_HDF5_STARTS = (0, *(512 << power for power in range(7)))  # as far as the index of tensors looks for it
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_CLOSED = (b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\x04\x22\x4d\x18")  # 7-Zip, RAR, LZ4: nothing here opens them
_JOBLIB_Z = b"ZF0x"  # before joblib 0.10: the length in 19 characters, then zlib
_JOBLIB_Z_STARTS = (21, 22)
_CONFIG = "config.json"


def look(source: ByteSource) -> OnLoad:
    """The mark of a file. Never raises for content, whatever it is; errors of `source.read` pass through."""
    try:
        size_bytes = source.size_bytes
        if size_bytes <= _WHOLE_BYTES:
            whole = _Bytes(source.read(0, size_bytes))
            return _Look(whole).file() if _may_hold_something(whole.data) else OnLoad.NO_PICKLE_FOUND
        return _Look(source).file()
    except RegistryError:  # of the source: some are ValueErrors or KeyErrors too
        raise
    except (_ExhaustedError, MalformedError, ValueError, ArithmeticError, LookupError, TypeError, RecursionError, struct.error):
        return OnLoad.SEALED


def _may_hold_something(data: bytes) -> bool:
    """Told from its first byte and the signature of an archive's end: this is asked of every small file."""
    return (
        data[:1] in _FIRST_BYTES
        or b"PK\x05\x06" in data
        or _hdf5_start(data) is not None
        or tar.is_header(data[: tar.BLOCK_BYTES])
    )


class _ExhaustedError(Exception):
    """More work than any file of a model takes."""


@dataclass(slots=True)
class _Bytes:
    """Bytes as a source."""

    data: bytes

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]


@dataclass(frozen=True, slots=True)
class _Part:
    """Some bytes of a source."""

    source: ByteSource
    start: int
    size_bytes: int

    def read(self, offset: int, length: int) -> bytes:
        return self.source.read(self.start + offset, max(0, min(length, self.size_bytes - offset)))


@dataclass(slots=True)
class _Counted:
    """A source that gives so many bytes and no more."""

    source: ByteSource
    left_bytes: int

    @property
    def size_bytes(self) -> int:
        return self.source.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        self.left_bytes -= length
        if self.left_bytes < 0:
            raise _ExhaustedError
        return self.source.read(offset, length)


class _Look:
    """One file, and what may still be spent on it."""

    def __init__(self, source: ByteSource) -> None:
        self._source = _Counted(source, MAX_LOOKED_AT_BYTES)
        self._members_left = MAX_MEMBERS
        self._unpacked_left = MAX_UNPACKED_BYTES

    def file(self) -> OnLoad:
        part = _Part(self._source, 0, self._source.size_bytes)
        head = part.read(0, _HEAD_BYTES)
        mark = self._part(part, head, 0)
        if mark is OnLoad.PICKLE:
            return mark
        if not head.startswith(_ZIP):  # an archive may stand behind anything
            mark = _worse(mark, self._archive_at_end(part))
        start = _hdf5_start(part.read(0, _HDF5_STARTS[-1] + len(_HDF5)))
        if start is not None:
            mark = _worse(mark, _of_hdf5(part, start))
        if head.lstrip()[:1] in {b"{", b"["} and part.size_bytes <= MAX_CONFIG_BYTES:
            mark = _worse(mark, _of_config(part.read(0, part.size_bytes)))
        return mark

    def _part(self, part: ByteSource, head: bytes, depth: int) -> OnLoad:
        """Of a file, a member, or what either becomes unpacked; `head` is how it begins."""
        if depth > MAX_DEPTH:
            raise _ExhaustedError
        if pickle_walk.starts_like_pickle(head) and pickle_walk.walk(Window(part)) is Found.PICKLE:
            return OnLoad.PICKLE
        if head.startswith(_ZIP):
            return self._zip(part, depth)
        if head.startswith(_CLOSED):
            return OnLoad.SEALED
        if head.startswith(_NPY):
            return OnLoad.NO_PICKLE_FOUND if _is_of_numbers(_Bytes(head)) else _of_npy(part)
        return self._stream(part, head, depth)

    def _stream(self, part: ByteSource, head: bytes, depth: int) -> OnLoad:
        """Of what is compressed as a whole, or a row of members, or neither."""
        if head.startswith(_JOBLIB_Z):
            starts = [start for start in _JOBLIB_Z_STARTS if unpacking.method_of_stream(head[start:]) == "zlib"]
            return self._packed("zlib", _Part(part, starts[0], part.size_bytes - starts[0]), depth) if starts else OnLoad.SEALED
        method = unpacking.method_of_stream(head)
        if method is not None:
            return self._packed(method, part, depth)
        if tar.is_header(head):
            return self._tar(part, depth)
        return OnLoad.NO_PICKLE_FOUND

    def _zip(self, part: ByteSource, depth: int) -> OnLoad:
        """The archive that a part is as a whole."""
        try:
            archive = zip_archive.Archive(Window(part))
            if archive.all_members and zip_archive.find_extent(part) != (0, part.size_bytes):
                return OnLoad.SEALED
        except (MalformedError, struct.error):
            return OnLoad.SEALED
        mark = OnLoad.NO_PICKLE_FOUND
        for member in archive.all_members:
            self._count_member()
            header = part.read(member.offset, zip_archive.LOCAL.size)
            if len(header) != zip_archive.LOCAL.size or not header.startswith(_ZIP[0]):
                return OnLoad.SEALED
            *_, name_bytes, extra_bytes = zip_archive.LOCAL.unpack(header)
            start = member.offset + zip_archive.LOCAL.size + name_bytes + extra_bytes
            if start + member.stored_bytes > part.size_bytes:
                return OnLoad.SEALED
            found = self._member(
                _Part(part, start, member.stored_bytes), member.method, depth, is_config=member.name == _CONFIG
            )
            if member.is_encrypted:  # torch.load does not look at the flag, which may lie
                found = _worse(found, OnLoad.SEALED)
            mark = _worse(mark, found)
            if mark is OnLoad.PICKLE:
                break
        return mark

    def _member(self, stored: _Part, method: int, depth: int, *, is_config: bool) -> OnLoad:
        if method == 0:
            if is_config:
                return _of_config(stored.read(0, MAX_CONFIG_BYTES + 1))
            return self._part(stored, stored.read(0, _HEAD_BYTES), depth + 1)
        name = unpacking.method_of_member(method)
        return OnLoad.SEALED if name is None else self._packed(name, stored, depth, is_config=is_config)

    def _packed(self, method: str, part: ByteSource, depth: int, *, is_config: bool = False) -> OnLoad:
        """What is compressed: its head first, and more of it only if the head makes one curious."""
        unpacked = unpacking.unpack(method, part, _UNPACKED_HEAD_BYTES)
        if not unpacked.is_whole and not unpacked.is_broken and (is_config or _is_curious(unpacked.data)):
            limit_bytes = min(_UNPACKED_BYTES, self._unpacked_left)
            unpacked = unpacking.unpack(method, part, limit_bytes)
            self._unpacked_left -= len(unpacked.data)
        data = unpacked.data
        if is_config and unpacked.is_whole:
            return _of_config(data)
        if unpacked.is_whole:
            return self._part(_Bytes(data), data[:_HEAD_BYTES], depth + 1)
        walked = pickle_walk.walk(Window(_Bytes(data))) if pickle_walk.starts_like_pickle(data) else Found.NOTHING
        if walked is Found.PICKLE:
            return OnLoad.PICKLE
        if unpacked.is_broken:  # two bytes are a weak sign of zlib, and a pickle would have come out up to the flaw
            return OnLoad.NO_PICKLE_FOUND if method == "zlib" else OnLoad.SEALED
        return OnLoad.SEALED if walked is Found.CUT_SHORT or is_config or _is_curious(data) else OnLoad.NO_PICKLE_FOUND

    def _tar(self, part: ByteSource, depth: int) -> OnLoad:
        mark = OnLoad.NO_PICKLE_FOUND
        for start, size_bytes in tar.members(part):
            self._count_member()
            member = _Part(part, start, size_bytes)
            mark = _worse(mark, self._part(member, member.read(0, _HEAD_BYTES), depth + 1))
            if mark is OnLoad.PICKLE:
                break
        return mark

    def _archive_at_end(self, part: ByteSource) -> OnLoad:
        try:
            extent = zip_archive.find_extent(part)
        except MalformedError:
            return OnLoad.SEALED
        return OnLoad.NO_PICKLE_FOUND if extent is None else self._zip(_Part(part, *extent), 0)

    def _count_member(self) -> None:
        self._members_left -= 1
        if self._members_left < 0:
            raise _ExhaustedError


def _worse(one: OnLoad, other: OnLoad) -> OnLoad:
    """What is certain goes before what may be."""
    return min(one, other, key=_ORDER.index)


def _is_curious(data: bytes) -> bool:
    """Whether a head alone does not tell what follows."""
    if pickle_walk.starts_like_pickle(data) and pickle_walk.walk(Window(_Bytes(data))) is Found.CUT_SHORT:
        return True
    if data.startswith(_NPY):
        return not _is_of_numbers(_Bytes(data))
    return (
        data.startswith((*_ZIP, *_CLOSED, _JOBLIB_Z))
        or unpacking.method_of_stream(data) not in {None, "zlib"}
        or tar.is_header(data[: tar.BLOCK_BYTES])
    )


def _of_npy(part: ByteSource) -> OnLoad:
    """numpy unpickles what stands behind the header if the header speaks of objects, by whatever name and however deep within records."""
    if _is_of_numbers(part):
        return OnLoad.NO_PICKLE_FOUND
    preamble = part.read(0, 12)
    length_bytes = 2 if preamble[6:7] == b"\x01" else 4
    start = 8 + length_bytes + int.from_bytes(preamble[8 : 8 + length_bytes], "little")
    if start >= part.size_bytes:
        return OnLoad.NO_PICKLE_FOUND
    return OnLoad.PICKLE if pickle_walk.walk(Window(part), start) is Found.PICKLE else OnLoad.NO_PICKLE_FOUND


def _is_of_numbers(part: ByteSource) -> bool:
    try:
        return npy.is_of_numbers(Window(part))
    except (MalformedError, ValueError, LookupError, struct.error):
        return False


def _hdf5_start(beginning: bytes) -> int | None:
    return next((start for start in _HDF5_STARTS if beginning.startswith(_HDF5, start)), None)


def _of_hdf5(part: ByteSource, start: int) -> OnLoad:
    from cas_registry.formats import hdf5  # noqa: PLC0415 - most files are none

    try:
        text = hdf5.root_text(Window(part), start, b"model_config", max_bytes=MAX_CONFIG_BYTES)
    except (MalformedError, ValueError, LookupError, TypeError, struct.error):
        return OnLoad.SEALED
    return OnLoad.NO_PICKLE_FOUND if text is None else _of_config(text)


def _of_config(text: bytes) -> OnLoad:
    if len(text) > MAX_CONFIG_BYTES:
        return OnLoad.SEALED
    try:
        return OnLoad.CODE if keras_config.brings_code(text) else OnLoad.NO_PICKLE_FOUND
    except RecursionError:
        return OnLoad.SEALED


_ORDER = (OnLoad.PICKLE, OnLoad.CODE, OnLoad.SEALED, OnLoad.NO_PICKLE_FOUND)
_FIRST_BYTES = frozenset(
    bytes([byte])
    for byte in range(256)
    if pickle_walk.starts_like_pickle(bytes([byte]))
    or byte & 0xF == unpacking.ZLIB_METHOD
    or byte in b"PZ7R{[ \t\r\n\x04\x1f\xfd\x5d\x28\x93\x89B"
)  # of pickles, of zlib, and of everything that is told by a signature
