"""From a URL to a backend."""

import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from cas_registry.backends import Backend
from cas_registry.backends.local import LocalBackend
from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.wrappers import RetryingBackend
from cas_registry.errors import InvalidInputError
from cas_registry.redaction import redact

_PROTOCOLS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az", "abfss": "az"}
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_USERINFO = re.compile(r"[^/]+://(?:[^/]*@|[^/]*:.*@)")  # a secret may contain slashes

_memory_stores: dict[str, MemoryBackend] = {}
_memory_lock = threading.Lock()


def open_backend(url: str, storage_options: Mapping[str, Any] | None = None) -> Backend:
    """The backend at `url`: a path or file://, s3://, gs://, az:// or memory://. Nothing is read or written yet.

    `storage_options` go to fsspec's file system, as in pandas. Raises InvalidInputError for a URL that carries credentials or a
    query, or a scheme nobody knows.
    """
    if not url or "\0" in url:
        raise InvalidInputError("an empty registry URL; give a folder or s3://bucket/prefix")
    if not _SCHEME.match(url):
        return LocalBackend(Path(url).resolve())
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
        return LocalBackend(Path(unquote(parts.path)).resolve())
    if scheme == "memory":
        with _memory_lock:
            return _memory_stores.setdefault(parts.netloc + parts.path, MemoryBackend(parts.netloc + parts.path))
    protocol = _PROTOCOLS.get(scheme)
    if protocol is None or not parts.netloc:
        raise InvalidInputError(f"no store for {redact(url)}: use a folder, s3://bucket/prefix, gs://…, az://… or memory://…")
    from cas_registry.backends.remote import RemoteBackend, open_filesystem  # noqa: PLC0415 - asyncio for remote stores only

    root = f"{parts.netloc}{parts.path}".strip("/")
    filesystem = open_filesystem(protocol, storage_options or {})
    return RetryingBackend(RemoteBackend(filesystem, root, f"{scheme}://{root}"))
