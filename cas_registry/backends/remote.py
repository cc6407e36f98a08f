"""Object stores through fsspec: S3 by s3fs, Google Cloud Storage by gcsfs, Azure by adlfs.

The file system's own retries are turned off (`backends.wrappers` tries again instead), its listing cache too: a cached
listing would show a registry that no longer is.
"""

import asyncio
import errno
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from cas_registry.backends import Data, ObjectInfo, check_key
from cas_registry.backends.answers import BeyondEndError, explain_answer
from cas_registry.errors import AccessError, BackendError, NotFoundError, RegistryError
from cas_registry.redaction import redact

T = TypeVar("T")

CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60
MAX_CONNECTIONS = 64
_STREAMING = frozenset({"s3"})  # whose pipe_file takes a file object with a length; the others read it into memory anyway
_STATUS_OF = {FileExistsError: 412, FileNotFoundError: 404, PermissionError: 403}  # what the drivers raise without a status
_NETWORK_MARKS = (  # in class names of botocore, aiohttp and azure.core
    *("Timeout", "Connection", "Connector", "HTTPClient", "ServerDisconnected", "Payload", "IncompleteRead", "ResponseParser"),
    *("ServiceRequest", "ServiceResponse"),
)


class RemoteBackend:
    """Objects below `bucket/prefix` of one fsspec file system. Thread-safe, as fsspec's blocking calls are."""

    def __init__(self, filesystem: Any, root: str, url: str) -> None:
        self._fs = filesystem
        self._body: Callable[[Data], Any] = _Body if _STREAMING.intersection(_protocols(filesystem)) else bytes
        self._root = root.strip("/")
        self._url = url

    @property
    def url(self) -> str:
        return self._url

    def get(self, key: str, *, start: int = 0, length: int) -> bytes:
        path, end = self._path(key), start + max(length, 1)  # no range is empty in HTTP
        try:
            return self._call("read", key, lambda: bytes(self._fs.cat_file(path, start=start, end=end)))[: max(length, 0)]
        except BeyondEndError:
            return b""

    def get_many(self, keys: Sequence[str], *, length: int) -> list[bytes | None]:
        paths = [self._path(key) for key in keys]
        answers = self._call(
            "read", keys[0] if keys else "", lambda: self._fs.cat_ranges(paths, 0, max(length, 1), on_error="return")
        )
        found = [self._absent_or_bytes(key, answer) for key, answer in zip(keys, answers, strict=True)]
        return [data and data[: max(length, 0)] for data in found]

    def put(self, key: str, data: Data) -> None:
        path = self._path(key)
        self._call("write", key, lambda: self._fs.pipe_file(path, self._body(data)))

    def create(self, key: str, data: Data) -> None:
        path = self._path(key)
        self._call("create", key, lambda: self._fs.pipe_file(path, self._body(data), mode="create"))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        folder, _, stem = prefix.rpartition("/")
        base = f"{self._root}/{folder}".rstrip("/")
        try:
            found: Mapping[str, Mapping[str, Any]] = self._call("list", prefix, lambda: self._find(base, stem))
        except NotFoundError:
            if self._exists():
                return
            raise
        for path, info in found.items():
            key = path.strip("/")[len(self._root) + 1 :]
            if path.endswith("/") or info.get("type") == "directory":  # consoles make empty objects that stand for folders
                continue
            if key and key.startswith(prefix):
                yield ObjectInfo(key, int(info.get("size") or 0), _milliseconds(info))

    def stat(self, key: str) -> ObjectInfo:
        info = self._call("stat", key, lambda: self._fs.info(self._path(key)))
        if info.get("type") == "directory":
            raise NotFoundError(f"{key} is not in {self.url}", key=key)
        return ObjectInfo(key, int(info["size"]), _milliseconds(info))

    def delete(self, key: str) -> None:
        try:
            self._call("delete", key, lambda: self._fs.rm_file(self._path(key)))
        except NotFoundError:
            return

    def flush(self) -> None:
        """An object store acknowledges what is durable."""

    def sweep(self, *, before_ms: int, delete: bool) -> Sequence[ObjectInfo]:  # noqa: ARG002 - the protocol's
        """An object is there whole or not at all."""
        return ()

    def __reduce__(self) -> NoReturn:
        raise TypeError("cannot pickle a backend: it holds credentials and connections; open it again where it is needed")

    def _path(self, key: str) -> str:
        return f"{self._root}/{check_key(key)}"

    def _find(self, base: str, stem: str) -> Mapping[str, Mapping[str, Any]]:
        options = {"prefix": stem} if stem else {}  # only what starts so is asked for
        found = self._fs.find(base, detail=True, **options)
        return found if isinstance(found, Mapping) else {}  # adlfs answers for an object with a list of its name

    def _exists(self) -> bool:
        bucket = self._root.partition("/")[0]
        return bool(self._call("list", "", lambda: self._fs.exists(bucket)))

    def _absent_or_bytes(self, key: str, answer: object) -> bytes | None:
        if isinstance(answer, BaseException):
            error = self._translate("read", key, answer)
            if isinstance(error, NotFoundError) and "bucket" not in error.fields:  # a missing bucket is no missing object
                return None
            if isinstance(error, BeyondEndError):
                return b""
            raise error from answer
        return bytes(answer)  # type: ignore[call-overload,no-any-return]  # fsspec is untyped

    def _call(self, verb: str, key: str, action: Callable[[], T]) -> T:
        try:
            return action()
        except RegistryError:
            raise
        except Exception as error:  # noqa: BLE001 - the seam: every foreign error becomes ours
            raise self._translate(verb, key, error) from error

    def _translate(self, verb: str, key: str, error: BaseException) -> RegistryError:
        status, code, name = _describe(error)
        if status is None:
            status = next((number for kind, number in _STATUS_OF.items() if isinstance(error, kind)), None)
        return explain_answer(
            verb,
            key,
            self.url,
            status=status,
            code=code or (name if name == "NoSuchBucket" else "AccessDenied" if "Credentials" in name else ""),
            detail=redact(f"{code or type(error).__name__}: {error}")[:300],
            transient=isinstance(error, (OSError, asyncio.TimeoutError)) or _network(name),
        )


class _Body(io.RawIOBase):
    """A request's body over memory that is not copied: botocore sends what it can read in small pieces."""

    def __init__(self, data: Data) -> None:
        super().__init__()
        self._view = memoryview(data)
        self._position = 0

    def __len__(self) -> int:
        return len(self._view)

    def __getitem__(self, part: slice) -> "_Body":
        """One part of an upload in several."""
        return _Body(self._view[part])

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._view)}[whence]
        return self._position

    def readinto(self, buffer: Any) -> int:
        part = self._view[self._position : self._position + len(buffer)]
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)


def open_filesystem(protocol: str, storage_options: Mapping[str, Any]) -> Any:
    """The fsspec file system of `protocol`, tuned for a registry. `storage_options` win over what is set here."""
    import fsspec  # noqa: PLC0415 - 110 ms that a local registry need not pay

    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True, **storage_options}
    try:
        if protocol == "s3":
            options["config_kwargs"] = {**_s3_config(), **dict(options.get("config_kwargs") or {})}
        filesystem = fsspec.filesystem(protocol, **options)
    except ImportError as error:
        raise BackendError(f"no driver for {protocol}:// is installed: {error}") from error
    except Exception as error:  # noqa: BLE001 - the seam: drivers raise anything on bad options
        raise AccessError(f"cannot open {protocol}://: {redact(str(error))[:300]}. Check the storage options") from error
    if protocol == "s3":
        filesystem.retries = 1
    return filesystem


def _s3_config() -> dict[str, Any]:
    return {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "read_timeout": READ_TIMEOUT_S,
        "max_pool_connections": MAX_CONNECTIONS,
        "retries": {"total_max_attempts": 1},
        "response_checksum_validation": "when_required",  # BLAKE3 checks every byte; some servers cannot do both
    }


def _protocols(filesystem: Any) -> tuple[str, ...]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def _describe(error: BaseException) -> tuple[int | None, str, str]:
    """HTTP status, the store's error code, and the innermost class name of a foreign error."""
    seen: BaseException | None = error
    name = type(error).__name__
    while seen is not None:
        response = getattr(seen, "response", None)
        if isinstance(response, Mapping):
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            return status, str(response.get("Error", {}).get("Code", "")), type(seen).__name__
        name = type(seen).__name__
        if _network(name):  # aiohttp gives its own status 400 to a body that was cut short
            return None, "", name
        status = getattr(seen, "status", None) or getattr(seen, "status_code", None) or getattr(seen, "code", None)
        if isinstance(status, int):
            return status, str(getattr(seen, "error_code", "") or ""), name
        seen = seen.__cause__
    if isinstance(error, OSError) and error.errno == errno.EACCES:
        return 403, "AccessDenied", name
    return None, "", name


def _network(name: str) -> bool:
    return any(mark in name for mark in _NETWORK_MARKS)


def _milliseconds(info: Mapping[str, Any]) -> int | None:
    for field in ("LastModified", "last_modified", "mtime", "updated"):
        moment = info.get(field)
        if hasattr(moment, "timestamp"):
            return int(moment.timestamp() * 1000)  # type: ignore[union-attr]  # fsspec is untyped
    return None
