"""A small HTTP server in a thread that answers as a test says, for what talks to the service."""

import json
import ssl
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit


class Asked(NamedTuple):
    """A request. The body of NDJSON is a list of its lines."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


class Reply(NamedTuple):
    """An answer. `parts` are sent one by one, each at once; then the body ends, or `cut` the connection breaks off."""

    status: int = 200
    body: Any = None
    parts: Iterable[bytes] | None = None
    headers: dict[str, str] | None = None
    cut: bool = False


def problem(status: int, name: str, detail: str = "because") -> Reply:
    """Problem details as the service words them."""
    body = {"type": f"urn:clocksvc:problem:{name}", "title": name, "status": status, "detail": detail}
    return Reply(status, body)


class HttpStub:
    """Answers each request with what `answer` returns; `asked` has them all. With `tls` by https."""

    def __init__(self, answer: Callable[[Asked], Reply], port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[Asked] = []
        self.connections = 0
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                stub.connections += 1
                super().setup()

            def do_GET(self) -> None:
                stub._serve(self, answer)

            do_POST = do_PUT = do_DELETE = do_GET

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """A client that hangs up is no news."""

        self._server = Server(("127.0.0.1", port), Handler)
        self.port: int = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> "HttpStub":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, handler: BaseHTTPRequestHandler, answer: Callable[[Asked], Reply]) -> None:
        parts = urlsplit(handler.path)
        sent = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        is_lines = headers.get("content-type") == "application/x-ndjson"
        body = [json.loads(line) for line in sent.splitlines()] if is_lines else json.loads(sent) if sent else None
        asked = Asked(handler.command, parts.path, dict(parse_qsl(parts.query)), headers, body)
        self.asked.append(asked)
        reply = answer(asked)
        handler.send_response(reply.status)
        for name, value in (reply.headers or {}).items():
            handler.send_header(name, value)
        if reply.parts is None:
            whole = json.dumps(reply.body).encode()
            handler.send_header("Content-Length", str(len(whole)))
            handler.end_headers()
            handler.wfile.write(whole)
            return
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for part in reply.parts:
            handler.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            handler.wfile.flush()
        if not reply.cut:
            handler.wfile.write(b"0\r\n\r\n")
        handler.close_connection = True
