"""A web server on the loopback address whose faults can be switched on, for download tests."""

from __future__ import annotations

import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """Serves ``files`` by path. ``requests`` records (path, Range header or None) of every request.

    ``ranges``: False ignores Range and sends the whole file. ``break_after``: bytes of each answer's body after which
    the connection is cut, one entry an answer, then no more. ``reset``: cut it hard. ``length``: False leaves
    Content-Length out. ``slow_s``: wait before the body. ``busy``: True answers 503, one entry a request, then no more.
    """

    files: dict[str, bytes]
    ranges: bool = True
    break_after: list[int] = field(default_factory=list)
    reset: bool = False
    length: bool = True
    slow_s: float = 0.0
    busy: list[bool] = field(default_factory=list)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    sent: int = 0

    def __enter__(self) -> FileServer:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(server: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            server.requests.append((self.path, wanted))
            if server.busy and server.busy.pop(0):
                return self.send_error(503, "Service Unavailable")
            content = server.files.get(self.path.lstrip("/"))
            if content is None:
                return self.send_error(404, "Not Found")
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
            if start and start >= len(content):
                return self.send_error(416, "Range Not Satisfiable")
            body = content[start:]
            self.send_response(206 if start else 200)
            if server.length:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            time.sleep(server.slow_s)
            breaks = bool(server.break_after)
            if breaks:
                body = body[: server.break_after.pop(0)]
            server.sent += len(body)
            self.wfile.write(body)
            if breaks and server.reset:
                self.wfile.flush()
                time.sleep(0.1)  # a reset also throws away what the other side has not read yet
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler
