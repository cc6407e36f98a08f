"""As much of S3 as the registry asks for, over HTTP in this process, with faults by request: one bucket, conditional creation, ranges."""

import contextlib
import email.utils
import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "bucket"
_MODIFIED_S = 1_700_000_000.0


class HttpFault(StrEnum):
    """What becomes of a request instead of an answer."""

    DROPPED = "the connection ends before anything is done"
    LOST_ANSWER = "it is done, and the connection ends"
    SLOW_DOWN = "503"
    INTERNAL = "500"
    OWN_WRITE = "it is done, and the answer to a create is 412"
    SHORT_BODY = "the connection ends in the middle of the answer"
    FLIPPED_BIT = "a bit of the answer is another"
    DUPLICATED = "it is done twice, the first answer counts"
    DENIED = "403"


class FakeS3:
    """The store: `objects` by key, and what happens to request `number` (from 0), a `method` on a `key`: `fate` decides."""

    def __init__(self, fate: Callable[[int, str, str], HttpFault | None] = lambda *_: None) -> None:
        self.fate = fate
        self.objects: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.store = self

    @property
    def storage_options(self) -> dict[str, Any]:
        return {
            "key": "tests",
            "secret": "only",
            "client_kwargs": {"endpoint_url": f"http://127.0.0.1:{self._server.server_port}", "region_name": "us-east-1"},
        }

    @contextlib.contextmanager
    def serving(self) -> Iterator["FakeS3"]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def put(self, key: str, data: bytes, *, absent: bool) -> bool:
        """Whether it was stored: with `absent`, only where nothing is."""
        with self.lock:
            if absent and key in self.objects:
                return False
            self.objects[key] = data
            return True

    def ask(self, method: str, key: str) -> HttpFault | None:
        with self.lock:
            self.requests.append((method, key))
            return self.fate(len(self.requests) - 1, method, key)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    store: FakeS3

    def handle_error(self, *_: Any) -> None:
        """A client that goes away is none of our business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: Any) -> None:
        """Tests say what went wrong."""

    def do_GET(self) -> None:
        self._serve("GET")

    def do_HEAD(self) -> None:
        self._serve("HEAD")

    def do_PUT(self) -> None:
        self._serve("PUT")

    def do_DELETE(self) -> None:
        self._serve("DELETE")

    def handle_expect_100(self) -> bool:
        """The client waits for this before it sends its body."""
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def _serve(self, method: str) -> None:
        parts = urlsplit(self.path)
        key = unquote(parts.path).removeprefix(f"/{BUCKET}").lstrip("/")
        body = self._body()
        fault = self.server.store.ask(method, key)
        match fault:
            case HttpFault.DROPPED:
                self._hang_up()
                return
            case HttpFault.SLOW_DOWN:
                self._refuse(503, "SlowDown")
                return
            case HttpFault.INTERNAL:
                self._refuse(500, "InternalError")
                return
            case HttpFault.DENIED:
                self._refuse(403, "AccessDenied")
                return
            case _:
                pass
        status, data, headers = self._do(method, key, parse_qs(parts.query), body)
        if fault is HttpFault.DUPLICATED:
            self._do(method, key, parse_qs(parts.query), body)
        if fault is HttpFault.LOST_ANSWER:
            self._hang_up()
        elif fault is HttpFault.OWN_WRITE and method == "PUT" and self.headers.get("If-None-Match"):
            self._refuse(412, "PreconditionFailed")
        elif status >= 400:
            self._refuse(status, headers["code"])
        else:
            if fault is HttpFault.FLIPPED_BIT and data:
                data = bytes([data[0] ^ 1]) + data[1:]
            self._answer(status, data, headers, short=fault is HttpFault.SHORT_BODY)

    def _do(  # noqa: PLR0911 - one line an answer
        self, method: str, key: str, query: dict[str, list[str]], body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers; of an error, its code."""
        store = self.server.store
        if method == "PUT":
            stored = store.put(key, body, absent=self.headers.get("If-None-Match") == "*")
            return (200, b"", _etag(body)) if stored else (412, b"", {"code": "PreconditionFailed"})
        with store.lock:
            if method == "DELETE":
                store.objects.pop(key, None)
                return 204, b"", {}
            if not key:
                return 200, _listing(store.objects, query), {"Content-Type": "application/xml"}
            data = store.objects.get(key)
        if data is None:
            return 404, b"", {"code": "NoSuchKey"}
        wanted = self.headers.get("Range", "")
        if not wanted.startswith("bytes="):
            return 200, data, _etag(data)
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last), len(data) - 1) if last else len(data) - 1
        if start >= len(data):
            return 416, b"", {"code": "InvalidRange"}
        return 206, data[start : end + 1], {**_etag(data), "Content-Range": f"bytes {start}-{end}/{len(data)}"}

    def _body(self) -> bytes:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "aws-chunked" not in self.headers.get("Content-Encoding", ""):
            return data
        whole = bytearray()
        while data:
            head, _, rest = data.partition(b"\r\n")
            size = int(head.partition(b";")[0], 16)
            if size == 0:
                break
            whole += rest[:size]
            data = rest[size + 2 :]
        return bytes(whole)

    def _refuse(self, status: int, code: str) -> None:
        self._answer(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode(), {})

    def _answer(self, status: int, data: bytes, headers: dict[str, str], *, short: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Last-Modified", email.utils.formatdate(_MODIFIED_S, usegmt=True))
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if short else data)
        self.wfile.flush()
        if short:
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


def _etag(data: bytes) -> dict[str, str]:
    return {"ETag": f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'}


def _listing(objects: dict[str, bytes], query: dict[str, list[str]]) -> bytes:
    prefix, delimiter = query.get("prefix", [""])[0], query.get("delimiter", [""])[0]
    rows: list[str] = []
    folders: set[str] = set()
    modified = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(_MODIFIED_S))
    for key, data in sorted(objects.items()):
        if not key.startswith(prefix):
            continue
        inner, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        if found:
            folders.add(f"{prefix}{inner}{delimiter}")
            continue
        rows.append(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{modified}</LastModified><ETag>x</ETag><Size>{len(data)}</Size></Contents>"
        )
    rows += [f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>" for folder in sorted(folders)]
    return (
        f"<ListBucketResult><Name>{BUCKET}</Name><KeyCount>{len(rows)}</KeyCount><IsTruncated>false</IsTruncated>"
        f"{''.join(rows)}</ListBucketResult>"
    ).encode()
