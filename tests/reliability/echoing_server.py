"""An S3 endpoint that refuses everything and says back all that it was told: what a proxy with a debug page does, at its worst."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote


@dataclass
class EchoingServer:
    """How it refuses is set by `status`; 0 hangs up in the middle of an answer, 200 gives rubbish."""

    url: str = ""
    status: int = 403
    requests: int = 0
    extra: str = ""
    heard: list[str] = field(default_factory=list)


@contextlib.contextmanager
def echoing_server() -> Iterator[EchoingServer]:
    """Listens on a free port of this machine until the end."""
    state = EchoingServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            state.requests += 1
            self.rfile.read(int(self.headers.get("content-length") or 0))
            told = f"{self.command} {self.path} {dict(self.headers)} {self.headers.get('authorization', '')}"
            state.heard.append(told)
            token = self.headers.get("x-amz-security-token", "")
            signature = self.headers.get("authorization", "").rpartition("Signature=")[2]
            signed_url = f"https://elsewhere.example/b/k?X-Amz-Security-Token={quote(token)}&X-Amz-Signature={signature}"
            shown = told.replace("&", "&amp;").replace("<", "&lt;")
            body = (
                f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{"SlowDown" if state.status == 503 else "AccessDenied"}</Code>'
                f"<Message>refused {shown}; {state.extra}; see {signed_url.replace('&', '&amp;')}</Message><Token-0>{token}</Token-0>"
                f"<SignatureProvided>{signature}</SignatureProvided><StringToSign>{shown}</StringToSign></Error>"
            ).encode()
            if state.status == 0:
                self.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + body)
                self.connection.close()
                self.close_connection = True
                return
            self.send_response(state.status, "Refused")
            if state.status in {301, 307}:
                self.send_header("Location", signed_url)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = answer  # noqa: N815 - the names that http.server asks for

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
