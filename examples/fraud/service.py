"""A scoring service on loopback: python service.py FOLDER PORT_FILE

It serves the version that FOLDER/current names; POST /reload makes it load that anew, GET /version tells which one it has, and POST /score takes rows as
JSON. A reload that fails answers 500, and the service goes on with what it had.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from scoring import Detector


class Service(ThreadingHTTPServer):
    """The server with the version that it has loaded."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self._folder = folder
        self.version = "none"
        self.detector: Detector | None = None

    def reload(self) -> None:
        current = (self._folder / "current").resolve(strict=True)
        self.detector = Detector.load(current)
        self.version = current.name


class Handler(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        self._answer(200, {"version": self.server.version})

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        if self.path == "/reload":
            try:
                self.server.reload()
            except Exception as error:  # noqa: BLE001 - whatever is wrong with the new version, the old one serves
                self._answer(500, {"error": str(error)})
                return
            self._answer(200, {"version": self.server.version})
            return
        rows = np.array(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        detector = self.server.detector
        self._answer(200 if detector else 503, {"scores": detector.scores(rows).tolist() if detector else []})

    def log_message(self, *_: Any) -> None:
        """Nothing: the story tells what happens."""

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    service = Service(Path(sys.argv[1]))
    Path(sys.argv[2]).write_text(str(service.server_port))
    service.serve_forever()
