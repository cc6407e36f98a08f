"""What is peculiar to obstore; the contract suite has the rest. The cases are those of `test_remote` wherever both must agree."""

import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cas_registry.backends.objectstore import (
    LARGE_BODY_BYTES,
    PAGE_KEYS,
    UPLOAD_TIMEOUT_S,
    ObjectStoreBackend,
    open_object_store,
)
from cas_registry.backends.objectstore_options import translate
from cas_registry.backends.wrappers import RetryingBackend
from cas_registry.errors import AccessError, AlreadyExistsError, BackendError, InvalidInputError, NotFoundError
from tests.backends.test_remote import CALLS, KEYED, MARK, PREFIX, WRONG_SECRET, Scripted, everything_shown, local_options
from tests.backends.test_remote import remote as remote_by_fsspec

NO_KEYS = ("key", "secret")


def remote(options: dict[str, Any], root: str, protocol: str = "s3") -> ObjectStoreBackend:
    translated = translate(protocol, root.partition("/")[0], options)
    return open_object_store(protocol, root, f"{protocol}://{root}", translated)


# a real store that refuses


@pytest.fixture(scope="module")
def refused(seaweedfs_server) -> dict[str, ObjectStoreBackend]:
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
    with pytest.raises(AccessError, match="Check the credentials") as caught:
        CALLS[method](refused[reason])
    assert f"s3://refusing/{PREFIX}" in str(caught.value)
    if method in KEYED:
        assert str(caught.value.fields["key"]).startswith("refs/m/")
    shown = everything_shown(caught.value)
    assert MARK not in shown
    assert seaweedfs_server.secret_key not in shown
    assert "AKIA" not in f"{caught.value}{dict(caught.value.fields)}"


@pytest.mark.parametrize(
    ("kind", "method"),
    [("ministack_server", method) for method in ("get", "get_many", "put", "create", "list", "list everything")]
    + [("seaweedfs_server", method) for method in ("get", "get_many", "list", "list everything")],
)
def test_a_missing_bucket_is_not_found_and_called_a_bucket(request, kind, method):
    server = request.getfixturevalue(kind)
    with pytest.raises(NotFoundError, match=r"no such bucket.*create it first") as caught:
        CALLS[method](remote(server.storage_options, f"no-such-bucket/{PREFIX}"))
    assert caught.value.fields["bucket"] == "no-such-bucket"
    assert server.secret_key not in everything_shown(caught.value)


def test_a_registry_may_be_a_whole_bucket(ministack_server):
    backend = remote(ministack_server.storage_options, ministack_server.make_bucket(f"whole-{secrets.token_hex(4)}"))
    assert list(backend.list("")) == []
    backend.create("format", b"x")
    backend.create("refs/m/1", b"y")
    assert sorted(info.key for info in backend.list("")) == ["format", "refs/m/1"]
    for prefix in ("ref", "r", "refs/m/1", "refs/m/"):
        assert [info.key for info in backend.list(prefix)] == ["refs/m/1"], prefix
    with pytest.raises(AlreadyExistsError):
        backend.create("format", b"z")


def test_neither_folder_markers_nor_the_registry_s_own_name_are_objects_of_it(ministack_server):
    bucket = ministack_server.make_bucket("markers")
    root = f"{bucket}/{secrets.token_hex(8)}"
    by_fsspec = remote_by_fsspec(ministack_server.storage_options, root)
    backend = remote(ministack_server.storage_options, f"{root}/registry")
    by_fsspec.create("registry", b"an object beside the folder of its name")
    assert list(backend.list("")) == []
    for marker in ("registry/", "registry/refs/"):  # as consoles make them
        by_fsspec._fs.call_s3("put_object", Bucket=bucket, Key=f"{root.partition('/')[2]}/{marker}", Body=b"")
    backend.create("refs/m/1", b"x")
    backend.create("refs/m/empty", b"")
    for prefix in ("", "refs", "refs/"):
        assert sorted(info.key for info in backend.list(prefix)) == ["refs/m/1", "refs/m/empty"]
    assert backend.get_many(["refs"], length=1) == [None]


@pytest.mark.parametrize("kind", ["seaweedfs_server", "ministack_server"])
def test_both_libraries_read_and_refuse_what_the_other_wrote(request, kind):
    server = request.getfixturevalue(kind)
    root = f"{server.make_bucket('both')}/{secrets.token_hex(8)}"
    backends = {"fsspec": remote_by_fsspec(server.storage_options, root), "obstore": remote(server.storage_options, root)}
    key = "odd %41 + é/[x]/k"
    for writer, backend in backends.items():
        backend.create(f"{writer}/{key}", writer.encode())
    for backend in backends.values():
        assert backend.get_many([f"{writer}/{key}" for writer in backends], length=9) == [b"fsspec", b"obstore"]
        assert sorted(info.key for info in backend.list("")) == sorted(f"{writer}/{key}" for writer in backends)
        for writer in backends:
            with pytest.raises(AlreadyExistsError):
                backend.create(f"{writer}/{key}", b"again")


# credentials


@pytest.fixture
def place(seaweedfs_server) -> tuple[dict[str, Any], str]:
    """Options without keys, and a root."""
    options = {name: value for name, value in seaweedfs_server.storage_options.items() if name not in NO_KEYS}
    return options, f"{seaweedfs_server.make_bucket('credentials')}/{secrets.token_hex(8)}"


def test_credentials_are_found_in_the_environment(place, seaweedfs_server, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", seaweedfs_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", seaweedfs_server.secret_key)
    backend = remote(*place)
    backend.create("k", b"x")
    assert backend.get("k", length=1) == b"x"


@pytest.mark.parametrize("named", [True, False])
def test_credentials_are_found_in_a_profile(place, seaweedfs_server, monkeypatch, tmp_path, named):
    lines = f"aws_access_key_id = {seaweedfs_server.access_key}\naws_secret_access_key = {seaweedfs_server.secret_key}\n"
    (tmp_path / "credentials").write_text(f"[{'lab' if named else 'default'}]\n{lines}")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    options, root = place
    remote({**options, **({"profile": "lab"} if named else {})}, root).create("k", b"x")


@pytest.mark.parametrize("options", [{}, {"profile": "nowhere"}])
def test_no_credentials_are_an_access_error(place, options):
    backend = remote({**place[0], **options}, place[1])
    for method in ("get", "create", "list"):
        with pytest.raises(AccessError, match="no credentials"):
            CALLS[method](backend)


def test_given_options_are_not_mixed_with_the_environment(place, seaweedfs_server, monkeypatch):
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIAOFANOTHERSTORE01",
        "AWS_SECRET_ACCESS_KEY": WRONG_SECRET,
        "AWS_SESSION_TOKEN": MARK,
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_REGION": "eu-west-7",
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_CONDITIONAL_PUT": "disabled",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
        "AWS_BUCKET": "another",
    }.items():
        monkeypatch.setenv(name, value)
    backend = remote(seaweedfs_server.storage_options, place[1])
    backend.create("k", b"x")
    with pytest.raises(AlreadyExistsError):
        backend.create("k", b"y")
    assert [info.key for info in backend.list("")] == ["k"]


# a store that is not there, or misbehaves


@pytest.mark.parametrize("method", CALLS)
def test_no_server_at_the_port_is_a_transient_error_and_quick(method):
    waits: list[float] = []
    with socket.socket() as bound:  # bound and not listening: nobody else gets the port, connections are refused
        bound.bind(("127.0.0.1", 0))
        backend = remote(local_options(bound.getsockname()[1]), f"bucket/{PREFIX}")
        started = time.monotonic()
        with pytest.raises(BackendError, match="Check the network and the endpoint") as caught:
            CALLS[method](RetryingBackend(backend, attempts=3, sleep=waits.append))
    assert time.monotonic() - started < 5
    assert len(waits) == 2
    assert caught.value.transient
    assert MARK not in everything_shown(caught.value)


@pytest.fixture(scope="module")
def _scripted() -> Iterator[Scripted]:
    server = Scripted()
    yield server
    server.close()


@pytest.fixture
def scripted(_scripted) -> Iterator[Scripted]:
    _scripted.reset()
    yield _scripted
    if _scripted.hang is not None:
        _scripted.hang.set()


@pytest.fixture
def backend(scripted) -> ObjectStoreBackend:
    """The client of `scripted`."""
    return remote(local_options(scripted.port, read_timeout=0.5), f"bucket/{PREFIX}")


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (500, "InternalError"), (429, "TooManyRequests")])
def test_each_attempt_is_one_request_so_that_retries_are_ours_alone(scripted, backend, method, status, code):
    scripted.refuses(status, code)
    with pytest.raises(BackendError) as caught:
        CALLS[method](backend)
    assert caught.value.transient
    assert len(scripted.requests) == (2 if method == "get_many" else 1)
    assert caught.value.fields["status"] == status


@pytest.mark.parametrize("size_bytes", [0, 1, LARGE_BODY_BYTES, 12_000_000])
def test_create_is_one_conditional_request_whatever_the_size(scripted, backend, size_bytes):
    scripted.headers = {"ETag": '"x"'}
    backend.create("packs/a", bytes(size_bytes))
    assert scripted.requests == [("PUT", f"/bucket/{PREFIX}/packs/a")]
    (sent,) = scripted.sent
    assert sent["if-none-match"] == "*"
    assert sent["content-length"] == str(size_bytes)
    assert len(sent["x-amz-content-sha256"]) == 64


def test_delete_is_one_request_that_every_store_knows(scripted, backend):
    scripted.status = 204
    backend.delete("packs/a")
    assert scripted.requests == [("DELETE", f"/bucket/{PREFIX}/packs/a")]


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
    assert len(str(caught.value)) < 600


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
    scripted.headers = {"Content-Range": "bytes 0-7/8", "Last-Modified": "Tue, 24 Nov 2026 00:00:00 GMT", "ETag": '"x"'}
    for call in (CALLS["get"], CALLS["get_many"]):
        with pytest.raises(BackendError) as caught:
            call(backend)
        assert caught.value.transient


def test_a_server_that_hangs_is_a_transient_error_after_the_time_out(scripted, backend):
    scripted.hang = threading.Event()
    for method in ("create", "get", "list"):
        started = time.monotonic()
        with pytest.raises(BackendError) as caught:
            CALLS[method](backend)
        assert caught.value.transient
        assert time.monotonic() - started < 5
    assert len(scripted.requests) == 3


def test_a_large_body_has_longer_than_an_answer(scripted, backend):
    """obstore's read time-out begins with the request, so a slow line would never finish a pack."""
    scripted.headers, scripted.pause_s = {"ETag": '"x"'}, 1.0  # twice the read time-out
    with pytest.raises(BackendError):
        backend.create("refs/m/1", bytes(LARGE_BODY_BYTES - 1))
    backend.create("packs/a", bytes(LARGE_BODY_BYTES))
    assert UPLOAD_TIMEOUT_S > 60


def test_an_answer_that_is_no_s3_is_a_transient_error(scripted, backend):
    scripted.body, scripted.headers = b"<html><br>log in to the hotel's network", {"Content-Type": "text/html"}
    with pytest.raises(BackendError) as caught:
        list(backend.list("refs/"))
    assert caught.value.transient


def test_a_server_that_answers_a_range_with_everything_is_understood(rclone_server):
    backend = remote(rclone_server.storage_options, f"{rclone_server.make_bucket('whole')}/{secrets.token_hex(8)}")
    backend.put("k", b"0123456789")
    backend.put("empty", b"")
    for start, length in [(0, 10), (0, 99), (3, 4), (3, 99), (10, 5), (99, 1), (0, 0)]:
        assert backend.get("k", start=start, length=length) == b"0123456789"[start : start + length], (start, length)
    assert backend.get_many(["k", "empty", "absent"], length=99) == [b"0123456789", b"", None]


def test_a_redirect_says_that_the_region_is_wrong(scripted, backend):
    scripted.status = 301
    with pytest.raises(BackendError, match="another region") as caught:
        backend.get("refs/m/1", length=1)
    assert not caught.value.transient


# Google


@pytest.fixture
def google(scripted) -> ObjectStoreBackend:
    return remote({"endpoint_url": f"http://127.0.0.1:{scripted.port}", "token": "anon"}, f"bucket/{PREFIX}", "gs")


def test_google_is_asked_for_generation_zero(scripted, google):
    scripted.headers = {"ETag": '"x"', "x-goog-generation": "7"}
    google.create("refs/m/1", b"x")
    assert scripted.sent[0]["x-goog-if-generation-match"] == "0"
    scripted.refuses(412, "PreconditionFailed")
    with pytest.raises(AlreadyExistsError):
        google.create("refs/m/1", b"x")


@pytest.mark.parametrize("method", ["get", "get_many", "put", "create", "list", "stat", "delete"])
def test_google_s_refusal_is_an_access_error_in_one_request(scripted, google, method):
    scripted.refuses(401, "AuthenticationRequired")
    with pytest.raises(AccessError):
        CALLS[method](google)
    assert len(scripted.requests) == (2 if method == "get_many" else 1)


# the client itself


FORK = """
import os, sys
from cas_registry.backends.opening import open_backend
from cas_registry.errors import BackendError
options = {"endpoint_url": sys.argv[1], "key": "k", "secret": "s"}
backend = open_backend("s3://bucket/p", {**options, "backend": "obstore"})
try:
    backend.get("k", length=1)
except BackendError:
    pass
child = os.fork()
if child == 0:
    try:
        backend.get("k", length=1)
    except BackendError as error:
        assert "fork" in str(error) and not error.transient, error
        again = open_backend("s3://bucket/p", options)
        os._exit(7 if "RemoteBackend" in repr(again._inner) else 8)
    os._exit(9)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_gets_an_error_and_opens_by_fsspec(scripted):
    scripted.refuses(400, "InvalidRequest")
    found = subprocess.run(
        [sys.executable, "-c", FORK, f"http://127.0.0.1:{scripted.port}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.stdout.strip() == "7", found.stderr


IMPORTS = """
import sys
from cas_registry.backends.opening import open_backend
backend = open_backend("s3://bucket/p", {"endpoint_url": sys.argv[1], "key": "k", "secret": "s"})
assert backend.get("k", length=1) == b"x"
print(*sorted({"asyncio", "fsspec", "s3fs", "botocore", "aiohttp"} & set(sys.modules)))
"""


def test_a_read_imports_neither_fsspec_nor_botocore(scripted):
    scripted.status, scripted.body = 206, b"x"
    scripted.headers = {"Content-Range": "bytes 0-0/1", "Last-Modified": "Tue, 24 Nov 2026 00:00:00 GMT", "ETag": '"x"'}
    found = subprocess.run(
        [sys.executable, "-c", IMPORTS, f"http://127.0.0.1:{scripted.port}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (found.returncode, found.stdout.strip()) == (0, ""), found.stderr


def test_keys_are_checked_before_anything_is_sent(scripted, backend):
    for call in (lambda: backend.get_many(["fine", "../other"], length=1), lambda: backend.create("a//b", b"")):
        with pytest.raises(InvalidInputError):
            call()
    assert scripted.requests == []


class Pages:
    """Stands for a store of obstore: lists `names` in pages and counts those that were taken."""

    def __init__(self, names: list[str]) -> None:
        self._names = sorted(names)
        self.taken = 0

    def list(self, prefix: str, *, offset: str | None, chunk_size: int) -> Iterator[list[dict[str, Any]]]:
        from datetime import UTC, datetime

        names = [name for name in self._names if name.startswith(f"{prefix}/") and (offset is None or name > offset)]
        for start in range(0, len(names), chunk_size):
            self.taken += 1
            yield [{"path": name, "size": 1, "last_modified": datetime.now(UTC)} for name in names[start : start + chunk_size]]


@pytest.mark.parametrize("stem", ["0", "00ab", "00abc", "7f", "fff", "a", "zz"])
def test_a_stem_is_found_whole_in_few_pages(stem):
    names = [f"p/commits/{number:04x}" for number in range(20 * PAGE_KEYS)]
    pages = Pages([*names, "p/other/00ab"])
    backend = ObjectStoreBackend(lambda _: pages, "bucket/p", "s3://bucket/p")
    found = [info.key for info in backend.list(f"commits/{stem}")]
    assert sorted(found) == [name[2:] for name in sorted(names) if name.startswith(f"p/commits/{stem}")]
    if len(stem) == 4:
        assert pages.taken <= 2
