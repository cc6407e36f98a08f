"""An archive of a version: tar in POSIX's pax form, plain or compressed by gzip or zstd.

Entries are sorted by path, owned by nobody (0:0), 644 or 755, and as old as the commit: the same version is the same tar, byte by byte. It is
written as it is fetched, neither on disk nor in memory before; an existing one is compared with what it should be without fetching anything.
"""

import gzip
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import blake3
import zstandard

from cas_registry.codecs import Buffer
from cas_registry.errors import InvalidInputError
from cas_registry.model.tree import Mode
from cas_registry.operations.exporting.contents import Contents, FileStream
from cas_registry.operations.version_files import VersionFile

ZSTD_LEVEL = 3
GZIP_LEVEL = 6
_READ_BYTES = 1024 * 1024


class Sink(Protocol):
    """Whatever takes bytes."""

    def write(self, data: Buffer, /) -> object: ...


@dataclass(frozen=True, slots=True)
class Compression:
    """How the tar's bytes are stored: what wraps a file for writing, and what for reading."""

    writing: Callable[[BinaryIO], AbstractContextManager[Any]]
    reading: Callable[[BinaryIO], AbstractContextManager[Any]]


PLAIN = Compression(nullcontext, nullcontext)
_GZIP = Compression(
    lambda file: gzip.GzipFile(filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=file, mtime=0),
    lambda file: gzip.GzipFile(mode="rb", fileobj=file),
)
_ZSTD = Compression(
    lambda file: zstandard.ZstdCompressor(level=ZSTD_LEVEL).stream_writer(file, closefd=False),
    lambda file: zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True, closefd=False),
)
SUFFIXES: Mapping[str, Compression] = {".tar": PLAIN, ".tar.gz": _GZIP, ".tgz": _GZIP, ".tar.zst": _ZSTD, ".tzst": _ZSTD}


@dataclass(frozen=True, slots=True)
class _Part:
    """An entry: its header, then a file of the version, or bytes that were made."""

    header: bytes
    file: VersionFile | None = None
    data: bytes = b""

    @property
    def padding(self) -> bytes:
        size_bytes = self.file.entry.size_bytes if self.file else len(self.data)
        return bytes(-size_bytes % tarfile.BLOCKSIZE)


def compression_of(path: Path) -> Compression:
    """The compression that an archive's name asks for. InvalidInputError for a name that is no archive's."""
    found = next((kind for suffix, kind in SUFFIXES.items() if path.name.lower().endswith(suffix)), None)
    if found is None:
        raise InvalidInputError(f"{path.name!r} is no archive's name: it must end in {', '.join(SUFFIXES)}", path=str(path))
    return found


def write_archive(sink: Sink, contents: Contents, time_s: int, stream: FileStream, pool: Executor) -> None:
    """Write the tar. IntegrityError where the store does not have the right bytes; what was written then lacks its end."""
    files = stream.read(contents.files, pool)
    written = 0
    for part in _parts(contents, time_s):
        sink.write(part.header)
        written += len(part.header)
        if part.file:
            _, chunks = next(files)
            for chunk in chunks:
                sink.write(chunk)
            written += part.file.entry.size_bytes
        sink.write(part.data + part.padding)
        written += len(part.data) + len(part.padding)
    next(files, None)  # the last file's progress
    sink.write(_end(written))


def is_archive_of(source: BinaryIO, compression: Compression, contents: Contents, time_s: int) -> bool:
    """Whether a file holds the tar that would be written, whatever level it was compressed at. Its files are hashed; nothing is fetched."""
    try:
        with compression.reading(source) as reader:
            return _is_tar_of(reader, contents, time_s)
    except (OSError, EOFError, zlib.error, zstandard.ZstdError):  # what does not unpack is none
        return False


def _is_tar_of(reader: Any, contents: Contents, time_s: int) -> bool:
    read = 0
    for part in _parts(contents, time_s):
        if _take(reader, len(part.header)) != part.header:
            return False
        read += len(part.header)
        if part.file:
            if not _is_next(reader, part.file):
                return False
            read += part.file.entry.size_bytes
        tail = part.data + part.padding
        if _take(reader, len(tail)) != tail:
            return False
        read += len(tail)
    end = _end(read)
    return _take(reader, len(end) + 1) == end


def _is_next(reader: Any, file: VersionFile) -> bool:
    hasher = blake3.blake3()
    left = file.entry.size_bytes
    while left:
        data = reader.read(min(left, _READ_BYTES))
        if not data:
            return False
        hasher.update(data)
        left -= len(data)
    return hasher.digest() == file.file_id.digest


def _take(reader: Any, size_bytes: int) -> bytes:
    """So many bytes, fewer only at the end: a decompressor may give less at a time."""
    found = bytearray()
    while len(found) < size_bytes and (data := reader.read(size_bytes - len(found))):
        found += data
    return bytes(found)


def _parts(contents: Contents, time_s: int) -> Iterator[_Part]:
    """The entries in order: a folder comes before what is in it, being its beginning."""
    files = {file.path: file for file in contents.files}
    for path in sorted((*files, *contents.folders, *contents.made)):
        file, data = files.get(path), contents.made.get(path)
        if file:
            executable = file.entry.mode is Mode.EXECUTABLE
            yield _Part(_header(path, time_s, size_bytes=file.entry.size_bytes, mode=0o755 if executable else 0o644), file)
        elif data is not None:
            yield _Part(_header(path, time_s, size_bytes=len(data), mode=0o644), data=data)
        else:
            yield _Part(_header(path, time_s, mode=0o755, kind=tarfile.DIRTYPE))


def _header(path: str, time_s: int, *, size_bytes: int = 0, mode: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(path)
    info.size, info.mode, info.mtime, info.type = size_bytes, mode, time_s, kind
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _end(written_bytes: int) -> bytes:
    """Two empty blocks, and more up to a whole record."""
    empty = 2 * tarfile.BLOCKSIZE
    return bytes(empty + -(written_bytes + empty) % tarfile.RECORDSIZE)
