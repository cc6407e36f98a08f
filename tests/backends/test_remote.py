import errno
import functools
import secrets
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from cas_registry.backends import Backend
from cas_registry.backends.opening import open_backend
from cas_registry.backends.remote import MAX_CONNECTIONS, RemoteBackend, open_filesystem
from cas_registry.backends.wrappers import RetryingBackend
from cas_registry.errors import AccessError, AlreadyExistsError, BackendError, InvalidInputError, NotFoundError, RegistryError

CALLS: dict[str, Callable[[Backend], object]] = {
    "get": lambda backend: backend.get("refs/m/1", length=10),
    "get_many": lambda backend: backend.get_many(["refs/m/1", "refs/m/2"], length=10),
    "put": lambda backend: backend.put("refs/m/HEAD", b"x"),
    "create": lambda backend: backend.create("refs/m/1", b"x"),
    "list": lambda backend: list(backend.list("refs/")),
    "list everything": lambda backend: list(backend.list("")),
    "stat": lambda backend: backend.stat("refs/m/1"),
    "delete": lambda backend: backend.delete("refs/m/1"),
}
KEYED = {name: call for name, call in CALLS.items() if not name.startswith("list")}
MARK = "tops3cret"
WRONG_SECRET = f"{MARK}/Wrong+Secret0123456789"
PREFIX = "remote"
PART_BYTES = 5 * 2**20  # the smallest that S3 allows


def remote(options: dict[str, Any], root: str) -> RemoteBackend:
    return RemoteBackend(open_filesystem("s3", options), root, f"s3://{root}")


def everything_shown(error: RegistryError) -> str:
    """The message, the fields, and the traceback with all its causes, as a log would have them."""
    return "".join([str(error), repr(error), str(dict(error.fields)), *traceback.format_exception(error)])


# a real store that refuses


@pytest.fixture(scope="module")
def refused(seaweedfs_server) -> dict[str, RemoteBackend]:
    """Clients whose requests are refused, by reason."""
    bucket = seaweedfs_server.make_bucket("refusing")
    right = seaweedfs_server.storage_options
    remote(right, f"{bucket}/{PREFIX}").put("refs/m/1", b"x")
    return {
        "wrong secret": remote({**right, "secret": WRONG_SECRET}, f"{bucket}/{PREFIX}"),
        "unknown key": remote({**right, "key": "AKIAUNKNOWNUNKNOWN01"}, f"{bucket}/{PREFIX}"),
    }


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize("reason", ["wrong secret", "unknown key"])
def test_refused_credentials_are_an_access_error_that_shows_none(refused, seaweedfs_server, reason, method):
    with pytest.raises(AccessError) as caught:
        CALLS[method](refused[reason])
    assert "Check the credentials" in str(caught.value)
    assert f"s3://refusing/{PREFIX}" in str(caught.value)
    if method in KEYED:
        assert str(caught.value.fields["key"]).startswith("refs/m/")
    shown = everything_shown(caught.value)
    assert MARK not in shown
    assert seaweedfs_server.secret_key not in shown
    assert "AKIA" not in f"{caught.value}{dict(caught.value.fields)}"


@pytest.mark.parametrize(
    ("kind", "method"),
    [("ministack_server", method) for method in ("get", "put", "create", "list", "list everything")]
    + [("seaweedfs_server", method) for method in ("get", "list", "list everything")],  # it makes buckets on the first write
)
def test_a_missing_bucket_is_not_found_and_called_a_bucket(request, kind, method):
    server = request.getfixturevalue(kind)
    backend = remote(server.storage_options, f"no-such-bucket/{PREFIX}")
    with pytest.raises(NotFoundError, match=r"no such bucket.*create it first") as caught:
        CALLS[method](backend)
    assert "s3://no-such-bucket/" in str(caught.value)
    assert server.secret_key not in everything_shown(caught.value)


@pytest.mark.parametrize("kind", ["seaweedfs_server", "ministack_server"])
def test_a_missing_bucket_is_no_missing_object(request, kind):
    backend = remote(request.getfixturevalue(kind).storage_options, f"no-such-bucket/{PREFIX}")
    with pytest.raises(NotFoundError, match="no such bucket") as caught:
        backend.get_many(["format"], length=1)
    assert caught.value.fields["bucket"] == "no-such-bucket"
    with pytest.raises(NotFoundError):  # a HEAD has no body to say which of the two is missing
        backend.stat("format")


def test_a_registry_may_be_a_whole_bucket(ministack_server):
    backend = remote(ministack_server.storage_options, ministack_server.make_bucket(f"whole-{secrets.token_hex(4)}"))
    assert list(backend.list("")) == []
    backend.create("format", b"x")
    backend.create("refs/m/1", b"y")
    assert sorted(info.key for info in backend.list("")) == ["format", "refs/m/1"]
    assert [info.key for info in backend.list("ref")] == ["refs/m/1"]
    with pytest.raises(AlreadyExistsError):
        backend.create("format", b"z")


def test_neither_folder_markers_nor_the_registry_s_own_name_are_objects_of_it(ministack_server):
    bucket = ministack_server.make_bucket("markers")
    root = f"{bucket}/{secrets.token_hex(8)}"
    backend = remote(ministack_server.storage_options, f"{root}/registry")
    remote(ministack_server.storage_options, root).create("registry", b"an object beside the folder of its name")
    assert list(backend.list("")) == []
    for marker in ("registry/", "registry/refs/"):  # as consoles make them
        backend._fs.call_s3("put_object", Bucket=bucket, Key=f"{root.partition('/')[2]}/{marker}", Body=b"")
    backend.create("refs/m/1", b"x")
    for prefix in ("", "refs", "refs/"):
        assert [info.key for info in backend.list(prefix)] == ["refs/m/1"]
    assert backend.get_many(["refs"], length=1) == [None]


@pytest.mark.parametrize("kind", ["seaweedfs_server", "ministack_server"])
def test_an_object_of_several_parts_is_whole_and_created_once(request, kind):
    server = request.getfixturevalue(kind)
    backend = remote(server.storage_options, f"{server.make_bucket('parts')}/{secrets.token_hex(8)}")
    backend._fs.pipe_file = functools.partial(backend._fs.pipe_file, chunksize=PART_BYTES)  # s3fs takes 50 MiB
    data = secrets.token_bytes(2 * PART_BYTES + 7)
    backend.create("packs/big", data)
    assert backend.stat("packs/big").size_bytes == len(data)
    for body in (bytearray(3 * PART_BYTES), memoryview(data), b"small"):
        with pytest.raises(AlreadyExistsError):
            backend.create("packs/big", body)
    assert backend.get("packs/big", length=len(data) + 1) == data
    backend.put("packs/big", data[::-1])
    assert backend.get("packs/big", length=len(data) + 1) == data[::-1]


def test_an_opened_url_reads_what_it_wrote(s3_url, s3_options):
    backend = open_backend(s3_url, s3_options)
    backend.create("refs/m/1", b"entry")
    assert open_backend(f"{s3_url}/", s3_options).get("refs/m/1", length=99) == b"entry"
    assert backend.url == s3_url


# a store that is not there, or misbehaves


def local_options(port: int, **config: object) -> dict[str, Any]:
    return {
        "key": "AKIATESTSUITEONLY001",
        "secret": MARK,
        "client_kwargs": {"endpoint_url": f"http://127.0.0.1:{port}", "region_name": "us-east-1"},
        "config_kwargs": config,
    }


@pytest.fixture(scope="module")
def unreachable() -> Iterator[RemoteBackend]:
    with socket.socket() as bound:  # bound and not listening: nobody else gets the port, connections are refused
        bound.bind(("127.0.0.1", 0))
        yield remote(local_options(bound.getsockname()[1]), f"bucket/{PREFIX}")


@pytest.mark.parametrize("method", CALLS)
def test_no_server_at_the_port_is_a_transient_error_and_quick(unreachable, method):
    waits: list[float] = []
    started = time.monotonic()
    with pytest.raises(BackendError) as caught:
        CALLS[method](RetryingBackend(unreachable, attempts=3, sleep=waits.append))
    assert time.monotonic() - started < 5
    assert len(waits) == 2
    assert caught.value.transient
    assert "Check the network and the endpoint" in str(caught.value)
    assert MARK not in everything_shown(caught.value)


class Scripted:
    """An HTTP server on loopback that answers every request alike and counts them."""

    def __init__(self) -> None:
        self.reset()
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                scripted.requests.append((self.command, self.path))
                scripted.sent.append({name.lower(): value for name, value in self.headers.items()})
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                time.sleep(scripted.pause_s)
                if scripted.hang is not None:
                    scripted.hang.wait(30)
                    self.close_connection = True
                    return
                body, missing_bytes = scripted.body, scripted.missing_bytes  # the test may script the next answer already
                self.send_response(scripted.status)
                for name, value in scripted.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body) + missing_bytes))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)
                self.close_connection = bool(missing_bytes)

            do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = answer

            def log_message(self, *arguments: object) -> None:
                """Nothing is printed."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def reset(self) -> None:
        self.requests: list[tuple[str, str]] = []
        self.sent: list[dict[str, str]] = []  # the headers of each
        self.pause_s = 0.0
        self.status, self.body, self.headers = 200, b"", {}
        self.missing_bytes = 0
        self.hang: threading.Event | None = None

    def refuses(self, status: int, code: str, message: str = "no") -> None:
        self.status = status
        self.headers = {"Content-Type": "application/xml"}
        self.body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def _scripted() -> Iterator[tuple[Scripted, RemoteBackend]]:
    server = Scripted()
    yield server, remote(local_options(server.port, read_timeout=0.5), f"bucket/{PREFIX}")
    server.close()


@pytest.fixture
def scripted(_scripted) -> Iterator[Scripted]:
    server = _scripted[0]
    server.reset()
    yield server
    if server.hang is not None:
        server.hang.set()


@pytest.fixture
def backend(scripted, _scripted) -> RemoteBackend:
    """The client of `scripted`."""
    return _scripted[1]


@pytest.mark.parametrize("method", CALLS)
def test_each_attempt_is_one_request_so_that_retries_are_ours_alone(scripted, backend, method):
    scripted.refuses(503, "SlowDown")
    with pytest.raises(BackendError) as caught:
        CALLS[method](backend)
    assert caught.value.transient
    assert len(scripted.requests) == (2 if method == "get_many" else 1)
    assert caught.value.fields["status"] == 503


@pytest.mark.parametrize(
    ("status", "code", "kind", "transient"),
    [
        (400, "InvalidRequest", BackendError, False),
        (400, "ExpiredToken", AccessError, None),
        (400, "InvalidToken", AccessError, None),
        (401, "Unauthorized", AccessError, None),
        (403, "AccessDenied", AccessError, None),
        (403, "RequestTimeTooSkewed", AccessError, None),
        (404, "NoSuchKey", NotFoundError, None),
        (404, "NoSuchBucket", NotFoundError, None),
        (400, "RequestTimeout", BackendError, True),
        (400, "BadDigest", BackendError, True),
        (405, "MethodNotAllowed", AccessError, None),
        (408, "RequestTimeout", BackendError, True),
        (409, "ConditionalRequestConflict", BackendError, True),
        (409, "Conflict", AlreadyExistsError, None),
        (412, "PreconditionFailed", AlreadyExistsError, None),
        (429, "TooManyRequests", BackendError, True),
        (500, "InternalError", BackendError, True),
        (501, "NotImplemented", BackendError, False),
        (502, "BadGateway", BackendError, True),
        (503, "SlowDown", BackendError, True),
        (504, "GatewayTimeout", BackendError, True),
        (507, "InsufficientStorage", BackendError, True),
    ],
)
def test_what_a_store_answers_to_create_becomes_our_error(scripted, backend, status, code, kind, transient):
    scripted.refuses(status, code, f"secret={MARK}")
    with pytest.raises(kind) as caught:
        backend.create("refs/m/1", b"x")
    assert type(caught.value) is kind
    assert getattr(caught.value, "transient", None) == transient
    assert MARK not in str(caught.value)
    assert "refs/m/1" in str(caught.value)
    assert caught.value.fields["key"] == "refs/m/1"


@pytest.mark.parametrize(("status", "code"), [(409, "OperationAborted"), (412, "PreconditionFailed")])
def test_only_create_finds_keys_taken(scripted, backend, status, code):
    scripted.refuses(status, code)
    for method in ("put", "get", "delete", "list"):
        with pytest.raises(BackendError) as caught:
            CALLS[method](backend)
        assert caught.value.transient == (status == 409)


def test_a_listing_that_fails_is_no_empty_listing(scripted, backend):
    for status, code, kind in [
        (403, "AccessDenied", AccessError),
        (500, "InternalError", BackendError),
        (404, "NoSuchBucket", NotFoundError),
    ]:
        scripted.refuses(status, code)
        for prefix in ("", "refs/", "refs/m", "ref"):
            with pytest.raises(kind):
                list(backend.list(prefix))


def test_a_body_cut_short_is_a_transient_error_and_no_short_answer(scripted, backend):
    scripted.status, scripted.body, scripted.missing_bytes = 206, b"half", 4
    scripted.headers = {"Content-Range": "bytes 0-7/8"}
    for call in (CALLS["get"], CALLS["get_many"]):
        with pytest.raises(BackendError) as caught:
            call(backend)
        assert caught.value.transient


def test_a_server_that_hangs_is_a_transient_error_after_the_time_out(scripted, backend):
    scripted.hang = threading.Event()
    started = time.monotonic()
    with pytest.raises(BackendError) as caught:
        backend.create("refs/m/1", b"x")
    assert caught.value.transient
    assert time.monotonic() - started < 10
    assert len(scripted.requests) == 1


def test_an_answer_that_is_no_s3_is_a_transient_error(scripted, backend):
    scripted.body, scripted.headers = b"<html><br>log in to the hotel's network", {"Content-Type": "text/html"}
    with pytest.raises(BackendError) as caught:
        list(backend.list("refs/"))
    assert caught.value.transient


# foreign errors


def with_cause(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


class Answered(Exception):
    """As an HTTP library's error with a status; gcsfs calls it `code`, adlfs `status_code`."""

    def __init__(self, message: str = "no", **fields: object) -> None:
        super().__init__(message)
        for name, value in fields.items():
            setattr(self, name, value)


class NoCredentialsError(Exception):
    """botocore's, by name."""


class RaisingFileSystem:
    """Stands for fsspec's: every call raises `error`."""

    protocol = ("s3", "s3a")

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            if name == "cat_ranges":
                return [self._error] * len(args[0])
            raise self._error

        return call


@pytest.mark.parametrize(
    ("error", "kind", "transient"),
    [
        (FileNotFoundError("x"), NotFoundError, None),
        (PermissionError("x"), AccessError, None),
        (OSError(errno.EACCES, "x"), AccessError, None),
        (OSError(errno.EIO, "x"), BackendError, True),
        (ConnectionResetError("x"), BackendError, True),
        (TimeoutError("x"), BackendError, True),
        (NoCredentialsError("Unable to locate credentials"), AccessError, None),
        (ValueError("nonsense"), BackendError, False),
        (Answered(code=404), NotFoundError, None),
        (Answered(code=403), AccessError, None),
        (Answered(code=503), BackendError, True),
        (Answered(status=429), BackendError, True),
        (Answered(status_code=403), AccessError, None),
        (Answered(status_code=400), BackendError, False),
        (Answered(status_code=500), BackendError, True),
        (Answered(code="not a number"), BackendError, False),
        (with_cause(OSError(errno.EIO, "x"), Answered(status=400)), BackendError, False),
        (with_cause(OSError(errno.EIO, "x"), Answered(status=503)), BackendError, True),
    ],
)
@pytest.mark.parametrize("method", ["get", "get_many", "put", "create", "stat"])
def test_what_a_driver_raises_becomes_our_error_with_its_cause(error, kind, transient, method):
    backend = RemoteBackend(RaisingFileSystem(error), "bucket/p", "s3://bucket/p")
    if method == "get_many" and kind is NotFoundError:
        assert CALLS[method](backend) == [None, None]
        return
    with pytest.raises(kind) as caught:
        CALLS[method](backend)
    assert type(caught.value) is kind
    assert getattr(caught.value, "transient", None) == transient
    assert caught.value.__cause__ is error


def test_a_foreign_message_is_redacted_and_cut():
    error = OSError(errno.EIO, f"https://me:{MARK}@host/?X-Amz-Signature={MARK} " + "x" * 10_000)
    backend = RemoteBackend(RaisingFileSystem(error), "bucket/p", "s3://bucket/p")
    with pytest.raises(BackendError) as caught:
        backend.get("k", length=1)
    assert MARK not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_an_interruption_is_not_translated():
    def interrupt(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    filesystem = RaisingFileSystem(ValueError())
    filesystem.cat_file = interrupt
    with pytest.raises(KeyboardInterrupt):
        RemoteBackend(filesystem, "bucket/p", "s3://bucket/p").get("k", length=1)


# opening


def test_the_file_system_is_tuned_and_one_s_own_options_win():
    tuned = open_filesystem("s3", {})
    assert tuned.config_kwargs["max_pool_connections"] == MAX_CONNECTIONS
    assert tuned.config_kwargs["retries"]["total_max_attempts"] == 1
    assert tuned.retries == 1
    assert not tuned.dircache.use_listings_cache
    own = open_filesystem("s3", {"config_kwargs": {"read_timeout": 7, "max_pool_connections": 3}})
    assert own.config_kwargs["max_pool_connections"] == 3
    assert own.config_kwargs["read_timeout"] == 7
    assert own.config_kwargs["retries"]["total_max_attempts"] == 1


def test_options_that_a_driver_refuses_are_an_error_that_shows_no_secret():
    with pytest.raises(AccessError, match="Check the storage options") as caught:
        open_filesystem("s3", {"key": "AKIATESTSUITEONLY001", "secret": MARK, "config_kwargs": 7})
    assert MARK not in everything_shown(caught.value)


def test_two_clients_of_one_place_share_no_instance():
    assert open_filesystem("s3", {"anon": True}) is not open_filesystem("s3", {"anon": True})


def test_keys_are_checked_before_anything_is_sent():
    backend = RemoteBackend(RaisingFileSystem(AssertionError("sent")), "bucket/p", "s3://bucket/p")
    with pytest.raises(InvalidInputError):
        backend.get_many(["fine", "../other"], length=1)
