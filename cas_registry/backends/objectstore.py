"""Object stores through obstore, the Python face of Rust's object_store: what `backends.remote` does, with less of everything.

Retries are turned off there (`backends.wrappers` tries again instead). Errors arrive as text, so status and code are read from it.
"""

import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, NoReturn, TypeVar, cast

from cas_registry.backends import Backend, Data, ObjectInfo, check_key
from cas_registry.backends.answers import BeyondEndError, explain_answer
from cas_registry.backends.objectstore_options import StoreOptions, UntranslatableError
from cas_registry.errors import AccessError, BackendError, NotFoundError, RegistryError
from cas_registry.redaction import redact

T = TypeVar("T")

READERS = 32  # requests of one backend's `get_many` under way
PAGE_KEYS = 1000
LARGE_BODY_BYTES = 1024 * 1024
UPLOAD_TIMEOUT_S = 600  # obstore's read time-out runs while a body is sent: 32 MiB at 56 KB/s
REQUEST_TIMEOUT_S = 3600  # of a whole answer; a stalled one ends by the read time-out
_STORES = {"s3": "S3Store", "gs": "GCSStore", "az": "AzureStore"}
_STATUS = re.compile(r"Server returned non-2xx status code: (\d{3})")
_BEYOND_END = re.compile(r'Wanted range starting at|CONTENT_RANGE header: "bytes 0--1/0"')  # answers 206 of Azure's emulator
_WHOLE_ANSWER = "Received non-partial response"
_CODE = re.compile(r"<Code>\s*(\w+)\s*</Code>")
_MESSAGE = re.compile(r"<Message>(.{1,300}?)</Message>", re.DOTALL)
_CAUSE = re.compile(r'message: "([^"]{1,200})"')  # what the operating system said, in obstore's account of the error
_NO_CREDENTIALS = ("CredentialsError", "ProfileNotFound", "CredentialRetrievalError", "SSOError", "TokenRetrievalError")
_NO_ANSWER = ("HTTP error", "list response", "error decoding", "error response")
_NOT_IN_PATHS = re.compile(r"[\x00-\x1f\x7f]")
_process_id = os.getpid()


class ObjectStoreBackend:
    """Objects below `bucket/prefix` of one store of obstore. Thread-safe; not to be used in a process forked from this one."""

    def __init__(self, open_store: Callable[[int | None], Any], root: str, url: str) -> None:
        """`open_store` makes a client with a read time-out in seconds, or its own where that is None."""
        self._open_store = open_store
        self._store = open_store(None)
        self._prefix = root.strip("/").partition("/")[2]
        self._url = url
        self._lock = threading.Lock()
        self._uploading: Any = None
        self._readers: ThreadPoolExecutor | None = None

    @property
    def url(self) -> str:
        return self._url

    def get(self, key: str, *, start: int = 0, length: int) -> bytes:
        path = self._path(key)
        try:
            return self._call("read", key, lambda: self._read(path, start, max(length, 1)))[: max(length, 0)]
        except BeyondEndError:
            return b""

    def get_many(self, keys: Sequence[str], *, length: int) -> list[bytes | None]:
        for key in keys:
            check_key(key)
        overlapped = self._pool().map if len(keys) > 1 else map
        answers = list(overlapped(lambda key: self._attempt(key, length), keys))
        for answer in answers:
            if isinstance(answer, RegistryError):
                raise answer
        return cast("list[bytes | None]", answers)

    def put(self, key: str, data: Data) -> None:
        self._write("write", key, data, mode="overwrite")

    def create(self, key: str, data: Data) -> None:
        self._write("create", key, data, mode="create")

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        folder, _, stem = prefix.rpartition("/")
        base = "/".join(part for part in (self._prefix, folder) if part)
        for page in self._pages(prefix, base, stem):
            for found in page:
                info = self._info(found)
                if info.key.startswith(prefix) and info.key and not self._stands_for_a_folder(info):
                    yield info

    def stat(self, key: str) -> ObjectInfo:
        path = self._path(key)
        return self._info(self._call("stat", key, lambda: self._store.head(path)))

    def delete(self, key: str) -> None:
        path = self._path(key)
        try:
            self._call("delete", key, lambda: self._store.delete(path))
        except NotFoundError as error:
            if "bucket" in error.fields:
                raise

    def flush(self) -> None:
        """An object store acknowledges what is durable."""

    def sweep(self, *, before_ms: int, delete: bool) -> Sequence[ObjectInfo]:  # noqa: ARG002 - the protocol's
        """An object is there whole or not at all."""
        return ()

    def __reduce__(self) -> NoReturn:
        raise TypeError("cannot pickle a backend: it holds credentials and connections; open it again where it is needed")

    def _path(self, key: str) -> str:
        return f"{self._prefix}/{check_key(key)}" if self._prefix else check_key(key)

    def _info(self, found: Mapping[str, Any]) -> ObjectInfo:
        key = found["path"][len(self._prefix) + 1 :] if self._prefix else found["path"]
        return ObjectInfo(key, int(found["size"]), int(found["last_modified"].timestamp() * 1000))

    def _pages(self, prefix: str, base: str, stem: str) -> Iterator[Sequence[Mapping[str, Any]]]:
        """What the folder `base` holds, from about `stem` on: obstore asks for whole folders only.

        That S3, Google and Azure list in the order of keys saves pages here, and here alone.
        """
        first = f"{base}/{stem}".strip("/")
        offset = first[:-1] if len(stem) > 1 and stem[:-1] not in {".", ".."} else None
        pages = self._call("list", prefix, lambda: iter(self._store.list(base or None, offset=offset, chunk_size=PAGE_KEYS)))
        while page := self._call("list", prefix, lambda: next(pages, None)):
            yield page
            if stem and page[-1]["path"] > first and not page[-1]["path"].startswith(first):
                return

    def _stands_for_a_folder(self, info: ObjectInfo) -> bool:
        """Consoles make empty objects `name/`, which obstore lists as `name`: only asking for that tells them apart."""
        if info.size_bytes:
            return False
        try:
            self.stat(info.key)
        except NotFoundError:
            return True
        return False

    def _read(self, path: str, start: int, length: int) -> bytes:
        try:
            return bytes(self._store.get(path, options={"range": (start, start + length)}).bytes())
        except Exception as error:
            if _WHOLE_ANSWER not in str(error):
                raise
        whole = self._store.get(path).bytes()  # HTTP lets a server answer with everything; obstore takes that for an error
        return bytes(memoryview(whole)[start : start + length])

    def _attempt(self, key: str, length: int) -> bytes | RegistryError | None:
        try:
            return self.get(key, length=length)
        except RegistryError as error:
            missing = isinstance(error, NotFoundError) and "bucket" not in error.fields  # a missing bucket is no missing object
            return None if missing else error

    def _write(self, verb: str, key: str, data: Data, *, mode: str) -> None:
        path = self._path(key)
        store = self._store if len(data) < LARGE_BODY_BYTES else self._upload_store()
        self._call(verb, key, lambda: store.put(path, data, mode=mode, use_multipart=False))

    def _upload_store(self) -> Any:
        with self._lock:
            if self._uploading is None:
                self._uploading = self._open_store(UPLOAD_TIMEOUT_S)
            return self._uploading

    def _pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._readers is None:
                self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="cas_registry_read")
            return self._readers

    def _call(self, verb: str, key: str, action: Callable[[], T]) -> T:
        if os.getpid() != _process_id:  # obstore's threads have not come along: it would wait for ever
            raise BackendError(f"{self.url} was opened before this process was forked; start processes by spawn", key=key)
        try:
            return action()
        except RegistryError:
            raise
        except Exception as error:  # noqa: BLE001 - the seam: every foreign error becomes ours
            raise self._translate(verb, key, error) from error

    def _translate(self, verb: str, key: str, error: Exception) -> RegistryError:
        text, _, account = str(error).partition("\n\nDebug source:")
        answer = _STATUS.search(text)
        status = int(answer[1]) if answer else _status_without_answer(error, text)
        code = _CODE.search(text)
        if "redirect without LOCATION" in text:
            return BackendError(
                f'cannot {verb} {self.url}: the bucket is in another region; name it: client_kwargs={{"region_name": …}}',
                key=key,
            )
        if any(mark in text for mark in _NO_CREDENTIALS):
            return AccessError(
                f"cannot {verb} {self.url}: there are no credentials. Check the environment, the profile or the storage options",
                key=key,
            )
        said = _MESSAGE.search(text) or _CAUSE.search(account)
        detail = ": ".join(part for part in (code and code[1], said[1] if said else text) if part)
        return explain_answer(
            verb,
            key,
            self.url,
            status=status,
            code=code[1] if code else "",
            detail=redact(detail)[:300],
            transient=isinstance(error, OSError) or any(mark in text for mark in _NO_ANSWER),
        )


def _status_without_answer(error: Exception, text: str) -> int | None:
    """That of an error which obstore found by itself, or in one part of an answer."""
    if isinstance(error, FileNotFoundError):
        return 404
    return 416 if _BEYOND_END.search(text) else None


def is_usable() -> bool:
    """Whether obstore is installed, and this process is not forked from one that may have used it."""
    try:
        import obstore.store  # noqa: F401, PLC0415 - optional
    except ImportError:
        return False
    return os.getpid() == _process_id


def open_object_store(protocol: str, root: str, url: str, options: StoreOptions) -> Backend:
    """The backend at `root`, which is bucket/prefix. Nothing is sent yet. UntranslatableError for paths that obstore refuses."""
    import obstore.store  # noqa: PLC0415 - optional

    if _NOT_IN_PATHS.search(root) or not {"", ".", ".."}.isdisjoint(root.split("/")):
        raise UntranslatableError(f"the path {root}")

    def open_store(read_timeout_s: int | None) -> Any:
        client = {**options.client, "timeout": timedelta(seconds=REQUEST_TIMEOUT_S)}
        if read_timeout_s is not None:
            client["read_timeout"] = timedelta(seconds=read_timeout_s)
        return getattr(obstore.store, _STORES[protocol])(
            config=dict(options.config),
            client_options=client,
            retry_config={"max_retries": 0, "retry_timeout": timedelta(0)},
            **({"credential_provider": options.credentials} if options.credentials else {}),
        )

    try:
        return ObjectStoreBackend(open_store, root, url)
    except RegistryError:
        raise
    except Exception as error:  # noqa: BLE001 - the seam: obstore raises anything on bad options
        text = str(error).partition("\n\nDebug source:")[0]
        raise AccessError(f"cannot open {protocol}://: {redact(text)[:300]}. Check the storage options") from error
