"""Copying an open file and knowing what the copy holds: by sharing its blocks where the file system can, else byte by byte.

Bytes that are copied have to be hashed, so they pass through this process anyway: the kernel's own copying
(copy_file_range, sendfile) would read them a second time.
"""

import os
import sys

import blake3

from cas_registry.errors import IntegrityError
from cas_registry.model.ids import FileId

BUFFER_BYTES = 1024 * 1024
_FICLONE = 0x40049409  # Linux: _IOW(0x94, 9, int), of btrfs, xfs, bcachefs, overlayfs upon them, nfs 4.2


def copy_file(source: int, target: int) -> FileId:
    """Make the empty file `target`, open for reading and writing, hold what `source` holds; the id of the bytes that it holds now.

    IntegrityError if the source cannot be read, OSError if the target cannot be written.
    """
    if clone(source, target):
        return hash_file(target)
    hasher = blake3.blake3()
    offset = 0
    while data := _read(source, offset):
        hasher.update(data)
        write_all(target, data)
        offset += len(data)
    return FileId(hasher.digest())


def clone(source: int, target: int) -> bool:
    """Let `target` share the blocks of `source`, if the file system can. A copy on write: neither sees what becomes of the other."""
    if sys.platform != "linux":
        return False
    import fcntl  # noqa: PLC0415 - of one platform

    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:  # EOPNOTSUPP, ENOTTY, EXDEV, EINVAL, EPERM, …: whatever it is, copying may do
        return False
    return True


def hash_file(handle: int) -> FileId:
    """The id of an open file. IntegrityError if it cannot be read."""
    hasher = blake3.blake3()
    offset = 0
    while data := _read(handle, offset):
        hasher.update(data)
        offset += len(data)
    return FileId(hasher.digest())


def write_all(handle: int, data: bytes | memoryview) -> None:
    """Write all of it, however many calls that takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def _read(handle: int, offset: int) -> bytes:
    try:
        return os.pread(handle, BUFFER_BYTES, offset)
    except OSError as error:
        raise IntegrityError(f"a file cannot be read at offset {offset:,}: {error.strerror}", offset=offset) from error
