"""Ids: 32-byte BLAKE3 digests, one type per kind, so that a tree's id is never taken for a commit's.

A file, chunk, pack or map is named by the plain BLAKE3 of its bytes (`b3sum` agrees); trees, commits, ref tables, remap tables, log
entries and signatures by BLAKE3 in key-derivation mode with a context per kind, so that no file can pose as metadata.
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Self

import blake3

from cas_registry.errors import FormatError

ID_BYTES = 32
ID_HEX_DIGITS = 64
_HEX_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, order=True)
class ObjectId:
    """A 32-byte digest with its kind. Equal only to an id of the same kind."""

    digest: bytes
    kind: ClassVar[str] = "object"
    context: ClassVar[str | None] = None

    @classmethod
    def of(cls, data: bytes | bytearray | memoryview) -> Self:
        """The id of `data` as an object of this kind."""
        if cls.context is None:
            return cls(blake3.blake3(data).digest())
        return cls(blake3.blake3(data, derive_key_context=cls.context).digest())

    @classmethod
    def parse(cls, text: object) -> Self:
        """The id written as 64 lower-case hex digits. Raises FormatError."""
        if not isinstance(text, str) or not _HEX_ID.fullmatch(text):
            raise FormatError(f"not a {cls.kind} id: {str(text)[:80]!r} (64 lower-case hex digits are)")
        return cls(bytes.fromhex(text))

    @property
    def hex(self) -> str:
        return self.digest.hex()

    @property
    def short(self) -> str:
        """The first 12 hex digits, for people; enough to be unique in practice and accepted as a revision."""
        return self.digest.hex()[:12]

    def __str__(self) -> str:
        return self.digest.hex()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.short})"


class FileId(ObjectId):
    """Plain BLAKE3 of a file's bytes."""

    __slots__ = ()
    kind = "file"


class ChunkId(ObjectId):
    """Plain BLAKE3 of a chunk's raw bytes, whatever its stored form."""

    __slots__ = ()
    kind = "chunk"


class PackName(ObjectId):
    """Plain BLAKE3 of a pack's bytes; unique, since the header holds 16 random bytes."""

    __slots__ = ()
    kind = "pack"


class MapName(ObjectId):
    """Plain BLAKE3 of a map's bytes; unique, since the header holds 16 random bytes."""

    __slots__ = ()
    kind = "map"


class TreeId(ObjectId):
    """Key-derived BLAKE3 of a tree's canonical bytes."""

    __slots__ = ()
    kind = "tree"
    context = "cas_registry v1 tree"


class CommitId(ObjectId):
    """Key-derived BLAKE3 of a commit's canonical bytes."""

    __slots__ = ()
    kind = "commit"
    context = "cas_registry v1 commit"


class RefTableId(ObjectId):
    """Key-derived BLAKE3 of a ref table too large for its log entry."""

    __slots__ = ()
    kind = "refs"
    context = "cas_registry v1 refs"


class RemapId(ObjectId):
    """Key-derived BLAKE3 of the table that gives repacked versions their maps."""

    __slots__ = ()
    kind = "remap"
    context = "cas_registry v1 remap"


class CollectionId(ObjectId):
    """Key-derived BLAKE3 of the body of a collection's record: its seal."""

    __slots__ = ()
    kind = "collection"
    context = "cas_registry v1 collection"


class EntryId(ObjectId):
    """Key-derived BLAKE3 of a log entry's body: its seal, and the `prev` of the next entry."""

    __slots__ = ()
    kind = "entry"
    context = "cas_registry v1 entry"


class SignatureId(ObjectId):
    """Key-derived BLAKE3 of a signature object's body: its seal."""

    __slots__ = ()
    kind = "signature"
    context = "cas_registry v1 signature"


class SignedRefsId(ObjectId):
    """Key-derived BLAKE3 of a ref table without maps: what a signature of a log entry names in its place."""

    __slots__ = ()
    kind = "signed-refs"
    context = "cas_registry v1 signed-refs"


class FormatId(ObjectId):
    """Key-derived BLAKE3 of the `format` object's body: its seal."""

    __slots__ = ()
    kind = "format"
    context = "cas_registry v1 format"
