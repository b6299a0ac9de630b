"""An address at which another installation seems to run: it forwards requests to a service of this installation."""

import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


class OtherService:
    """Answers GET requests with the answers of `target`, the URL of a service; 502 before it is set."""

    def __init__(self) -> None:
        self.target = ""
        forward = self._forward

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = forward(self.path)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _forward(self, path: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(self.target + path, timeout=10) as answer:
                return answer.status, answer.read()
        except (OSError, ValueError):
            return 502, b"{}"
