"""Archives from strangers, unpacked into a folder of their own: files and folders alone, by names that a version may have, within limits."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO

from cas_registry.errors import InvalidInputError, LimitError
from cas_registry.operations.importing.foreign import reading
from cas_registry.operations.importing.naming import inside

MAX_MEMBERS = 100_000
MAX_UNPACKED_BYTES = 1024**4  # of one archive, if the disk has as much
_KEPT_FREE_BYTES = 256 * 1024 * 1024  # of the disk, for whoever else works there
_PIECE_BYTES = 1024 * 1024


def unpack_tar(archive: Path, folder: Path) -> Path:
    """Unpack a tar archive, compressed or not, into an empty folder, and give it back.

    A link stands for the file of the same archive that it names, and is written as a copy of that. Raises HostileNameError for a name that leads out
    or cannot be stored, InvalidInputError for devices, links to elsewhere and what is no archive, LimitError for one that is larger than the disk or the limits.
    """
    left = min(MAX_UNPACKED_BYTES, shutil.disk_usage(folder).free - _KEPT_FREE_BYTES)
    with reading(archive.name), tarfile.open(archive, mode="r:*") as tar:
        for count, member in enumerate(tar):
            if count >= MAX_MEMBERS:
                raise LimitError(f"{archive.name} holds more than {MAX_MEMBERS:,} files")
            path = PurePosixPath(member.name).as_posix().removeprefix("./")
            if member.isdir():
                if path != ".":
                    (folder / inside(path)).mkdir(parents=True, exist_ok=True)
                continue
            if not (member.isreg() or member.islnk() or member.issym()):
                raise InvalidInputError(f"{archive.name} holds {member.name[:200]!r}, which is no file")
            target = folder / inside(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            opened = tar.extractfile(member)
            if opened is None:
                raise InvalidInputError(f"{archive.name} holds {member.name[:200]!r}, a link to no file of it")
            with opened, target.open("xb") as written:
                left -= _copy(opened, written, left, archive.name)
            if member.mode & 0o100:
                target.chmod(0o755)
    return folder


def _copy(source: IO[bytes], target: IO[bytes], left: int, what: str) -> int:
    """How many bytes were copied: at most what is left."""
    copied = 0
    while piece := source.read(_PIECE_BYTES):
        copied += len(piece)
        if copied > left:
            raise LimitError(f"{what} is larger, unpacked, than there is room for")
        target.write(piece)
    return copied
