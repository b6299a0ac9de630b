"""`GET /livez` of a consumer, for a liveness probe: 200 while it is healthy, otherwise 503 with the problems."""

import json
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer

from clocksvc.client.consumer.health import Health
from clocksvc.errors import InvalidValue

REQUEST_TIMEOUT_S = 5.0
"""A client that sends no complete request within this time is disconnected."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # HTTPServer.server_bind asks DNS for the name of the host, which can block for seconds.
        TCPServer.server_bind(self)


class LivezServer:
    """An HTTP server in a thread. Other paths than `/livez` get the status 404.

    Attributes:
        port: the port, also if 0 was given.

    Args:
        address: host and port; port 0 for any free one.
        health: returns the health; called in another thread.

    Raises:
        InvalidValue: the address can't be used.
    """

    def __init__(self, address: tuple[str, int], health: Callable[[], Health]) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = REQUEST_TIMEOUT_S

            def do_GET(self) -> None:
                if self.path != "/livez":
                    self.send_error(HTTPStatus.NOT_FOUND)
                    return
                found = health()
                self.send_response(HTTPStatus.OK if found.healthy else HTTPStatus.SERVICE_UNAVAILABLE)
                text = {"status": "ok"} if found.healthy else {"status": "unhealthy", "problems": found.problems}
                body = json.dumps(text).encode()
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Probes are not logged."""

        try:
            self._server = _Server(address, Handler)
        except (OSError, OverflowError, TypeError) as error:
            raise InvalidValue("livez", address, f"wanted a host and a free port ({error})") from None
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="clocksvc-livez", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the server. Blocks for up to half a second."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
