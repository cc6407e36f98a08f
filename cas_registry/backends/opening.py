"""From a URL to a backend."""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from cas_registry.backends import Backend
from cas_registry.backends.local import LocalBackend
from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.wrappers import RetryingBackend
from cas_registry.errors import BackendError, InvalidInputError
from cas_registry.redaction import redact

_PROTOCOLS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az", "abfss": "az"}
_LIBRARIES = ("auto", "fsspec", "obstore")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_TYPO = re.compile(r"(?:s3a?|gs|gcs|az|abfss?|file|memory|https?):(?!//)", re.IGNORECASE)  # what follows may hold a password
_USERINFO = re.compile(r"[^/]+://(?:[^/]*@|[^/]*:.*@)")  # a secret may contain slashes

_memory_stores: dict[str, MemoryBackend] = {}
_memory_lock = threading.Lock()


def open_backend(url: str, storage_options: Mapping[str, Any] | None = None) -> Backend:
    """The backend at `url`: a path or file://, s3://, gs://, az:// or memory://. Nothing is read or written yet.

    `storage_options` are those of fsspec's file system, as in pandas, and `backend`, which names the library that speaks to an
    object store: "fsspec", "obstore", or "auto". Raises InvalidInputError for a URL that carries credentials or a query, a
    scheme nobody knows, or options that the named library cannot do.
    """
    place = _place(url)
    if isinstance(place, Path):
        return LocalBackend(place)
    if isinstance(place, str):
        with _memory_lock:
            return _memory_stores.setdefault(place, MemoryBackend(place))
    return RetryingBackend(_open_remote(place.protocol, place.root, place.url, dict(storage_options or {})))


def remote_url(url: str) -> str | None:
    """The URL of a remote store as its backend gives it, None for a folder and for memory. Nothing is loaded or opened."""
    place = _place(url)
    return place.url if isinstance(place, _Remote) else None


@dataclass(frozen=True, slots=True)
class _Remote:
    protocol: str
    root: str
    url: str


def _place(url: str) -> Path | str | _Remote:
    """A folder, the name of a store in memory, or a remote store."""
    if not url or "\0" in url:
        raise InvalidInputError("an empty registry URL; give a folder or s3://bucket/prefix")
    if typo := _TYPO.match(url):
        raise InvalidInputError(
            f"a URL that begins with {typo[0]} needs two slashes after it: {typo[0]}//…. If it is a folder: ./{typo[0]}…"
        )
    if not _SCHEME.match(url):
        return _folder(url)
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InvalidInputError(f"not a URL: {redact(url)} ({error})") from error
    if _USERINFO.match(url) or parts.query or parts.fragment:
        raise InvalidInputError(
            f"the registry URL ({parts.scheme}://…) carries credentials or a query. Give credentials by the environment, a profile "
            "or storage options, never in the URL"
        )
    scheme = parts.scheme.lower()
    if scheme == "file":
        if parts.netloc not in {"", "localhost"}:
            raise InvalidInputError(f"{url} names the host {parts.netloc}; a folder's URL has three slashes: file:///folder")
        return _folder(unquote(parts.path))
    if scheme == "memory":
        return parts.netloc + parts.path
    protocol = _PROTOCOLS.get(scheme)
    if protocol is None or not parts.netloc:
        raise InvalidInputError(f"no store for {redact(url)}: use a folder, s3://bucket/prefix, gs://…, az://… or memory://…")
    root = f"{parts.netloc}{parts.path}".strip("/")
    return _Remote(protocol, root, f"{scheme}://{root}")


def _folder(path: str) -> Path:
    try:
        return Path(path).resolve()
    except (ValueError, RuntimeError, OSError) as error:  # a lone surrogate, a NUL, a loop of links
        raise InvalidInputError(f"not a folder's path: {ascii(path)[:80]}; give one that this system can hold") from error


def _open_remote(protocol: str, root: str, url: str, options: dict[str, Any]) -> Backend:
    library = options.pop("backend", None)
    library = "auto" if library is None else library
    if library not in _LIBRARIES:
        raise InvalidInputError(f"storage option backend={library!r}: use {', '.join(_LIBRARIES)}")
    if library == "obstore" or (library == "auto" and protocol == "s3" and _names_endpoint(options)):
        backend = _open_by_obstore(protocol, root, url, options, asked_for=library == "obstore")
        if backend is not None:
            return backend
    from cas_registry.backends.remote import RemoteBackend, open_filesystem  # noqa: PLC0415 - asyncio, for this library only

    return RemoteBackend(open_filesystem(protocol, options), root, url)


def _names_endpoint(options: Mapping[str, Any]) -> bool:
    """Without one, botocore finds endpoint and region by rules that obstore does not have (profiles, redirects)."""
    client_kwargs = options.get("client_kwargs")
    return bool(options.get("endpoint_url") or (isinstance(client_kwargs, Mapping) and client_kwargs.get("endpoint_url")))


def _open_by_obstore(protocol: str, root: str, url: str, options: Mapping[str, Any], *, asked_for: bool) -> Backend | None:
    """The backend; None where obstore cannot serve these options and nobody insists."""
    from cas_registry.backends.objectstore import is_usable, open_object_store  # noqa: PLC0415 - for object stores only
    from cas_registry.backends.objectstore_options import UntranslatableError, translate  # noqa: PLC0415

    if not is_usable():
        if asked_for:
            raise BackendError(
                "backend=obstore: it is not installed, or this process was forked; pip install 'cas-registry[obstore]'"
            )
        return None
    try:
        return open_object_store(protocol, root, url, translate(protocol, root.partition("/")[0], options))
    except UntranslatableError as error:
        if asked_for:
            raise InvalidInputError(f"backend=obstore cannot do {error}; leave out one of the two") from error
        return None
