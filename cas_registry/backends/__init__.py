"""Backends: keys and bytes, nothing else. One protocol, one contract suite, several implementations.

What a store must offer for shared writing is one thing: `create` is atomic and refuses a taken key, and a created object
is readable afterwards. `probe` checks it. Listing order, listing freshness and negative reads are never relied on.

Retry, counting and the single-writer emulation are backends around a backend.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from cas_registry.errors import InvalidInputError

Data = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """A key with its length in bytes and its age by the store's own clock (milliseconds since 1970, or None)."""

    key: str
    size_bytes: int
    modified_ms: int | None = None


class Backend(Protocol):
    """A flat store of objects under slash-separated keys. All methods may be called from several threads.

    Every method raises NotFoundError, AccessError or BackendError (`transient` where trying again is reasonable).
    """

    @property
    def url(self) -> str:
        """Where this is, for people: without credentials."""

    def get(self, key: str, *, start: int = 0, length: int) -> bytes:
        """At most `length` bytes from `start` on; fewer where the object ends, none beyond its end. NotFoundError if absent."""

    def get_many(self, keys: Sequence[str], *, length: int) -> list[bytes | None]:
        """The first `length` bytes of each object, None where absent; concurrently where the store can."""

    def put(self, key: str, data: Data) -> None:
        """Write or overwrite: for hints only. Readers see the old bytes or the new, never a mixture."""

    def create(self, key: str, data: Data) -> None:
        """Write, once. AlreadyExistsError if the key is taken, whoever took it; atomic among all writers.

        After a BackendError the object may exist. Durable only after `flush`.
        """

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key starts with `prefix`, in no order."""

    def stat(self, key: str) -> ObjectInfo:
        """Length and age. NotFoundError if absent."""

    def delete(self, key: str) -> None:
        """Remove; absent is fine."""

    def flush(self) -> None:
        """Return when everything created by this object so far survives power loss."""

    def sweep(self, *, before_ms: int, delete: bool) -> Sequence[ObjectInfo]:
        """What writes that broke off left under no key, before `before_ms` by the store's clock, as `ObjectInfo` of names that are no keys.
        It is nobody's; with `delete` it is removed. Nothing in stores that know no half-written objects."""


_NOT_IN_KEYS = ("\\", "\0", "?")  # s3fs would cut the key before "?versionId="


def check_key(key: str) -> str:
    """Accept a key that the layout of a registry can contain, or raise InvalidInputError."""
    parts = key.split("/")
    if not all(parts) or any(part in {".", ".."} for part in parts) or any(mark in key for mark in _NOT_IN_KEYS):
        raise InvalidInputError(f"not a key: {key[:120]!r}")
    return key


def is_remote(url: str) -> bool:
    """Whether reading there costs time on a wire and perhaps money: anything but a folder or memory."""
    scheme, separator, _ = url.partition("://")
    return bool(separator) and scheme not in ("file", "memory")
