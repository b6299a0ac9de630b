"""The blocking HTTP client for the service. Reports, ticks, waits and the command line use it."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProtocolError

from clocksvc.client.exchange import (
    CONNECT_TIMEOUT_S,
    READ_TIMEOUT_S,
    Params,
    Request,
    ServiceAddress,
    ServiceResponse,
)
from clocksvc.client.sse import Event, EventParser

_CONNECTIONS = 4
_REPR = re.compile(r"<?HTTPS?Connection\w*\(.*?\)(?: at 0x\w+)?>?: ")


class ServiceClient:
    """Sends requests to one service. Thread-safe. Does not connect before the first request.

    Each method blocks for up to 5 s while it connects, and up to the request's timeout for the response. The arguments
    and errors of `ServiceAddress` apply.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self._address = ServiceAddress(url, token)
        self._pool = urllib3.PoolManager(maxsize=_CONNECTIONS, retries=False)

    def fetch(self, request: Request) -> ServiceResponse:
        """Send a request and return its response.

        Raises:
            RequestRejected, UnknownClock, ServiceUnavailable: as for `ServiceAddress.read`; ServiceUnavailable also if
                there is no response.
        """
        with self._translated():
            response = self._send(request)
            status, headers, data = response.status, _headers(response), response.data
            response.release_conn()
        return self._address.read(request, status, headers, data)

    def get(self, path: str, params: Params | None = None, *, timeout_s: float = READ_TIMEOUT_S) -> ServiceResponse:
        """GET a path. Blocks and raises like `fetch`."""
        return self.fetch(Request("GET", path, params or {}, timeout_s=timeout_s))

    def post(self, path: str, body: object, *, timeout_s: float = READ_TIMEOUT_S) -> dict[str, Any]:
        """POST JSON and return the JSON object of a 2xx response. Blocks and raises like `fetch`."""
        return self.send("POST", path, body, timeout_s=timeout_s)

    def send(self, method: str, path: str, body: object, *, timeout_s: float = READ_TIMEOUT_S) -> dict[str, Any]:
        """Send JSON with a method such as DELETE, and return the JSON object of a 2xx response.

        Blocks and raises like `fetch`.
        """
        return self.fetch(Request(method, path, body=json.dumps(body).encode(), timeout_s=timeout_s)).body

    @contextmanager
    def parts(self, request: Request) -> Iterator[Iterator[bytes]]:
        """Send a request for a stream, and give the parts of its body when they are received.

        The iteration ends when the service ends the response. Raises like `fetch`, also during the iteration. The
        connection is closed at the end of the block.
        """
        with self._translated():
            response = self._send(request)
            try:
                if response.status != 200:
                    raise self._address.error(request, response.status, _headers(response), response.data)
                yield _parts(response)
            finally:
                response.close()  # the connection can't be used again, because the rest of the stream is unread
                response.release_conn()

    @contextmanager
    def events(self, request: Request) -> Iterator[Iterator[Event]]:
        """The same as `parts`, for server-sent events."""
        parser = EventParser()
        with self.parts(request) as parts:
            yield (event for part in parts for event in parser.feed(part))

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _send(self, request: Request) -> urllib3.BaseHTTPResponse:
        return self._pool.request(
            request.method,
            self._address.url_of(request).url,
            body=request.body,
            headers=self._address.headers_of(request),
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=request.timeout_s),
            redirect=False,  # the token must not be sent to another host
            preload_content=False,
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (NewConnectionError, ConnectTimeoutError) as error:
            raise self._address.not_connected(_reason(error)) from error
        except (HTTPError, OSError) as error:
            raise self._address.not_answered(_reason(error)) from error


def _reason(error: Exception) -> str:
    """Return the operating system's error text; otherwise the exception's text, without the `repr` of a connection."""
    cause = next((each for each in (error, error.__cause__, *error.args) if isinstance(each, OSError)), None)
    if cause is None and isinstance(error, ProtocolError):
        return "connection lost"
    return _REPR.sub("", str(error)) if cause is None else cause.strerror or str(cause)


def _headers(response: urllib3.BaseHTTPResponse) -> dict[str, str]:
    return {name.lower(): response.headers[name] for name in response.headers}


def _parts(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    while part := response.read1():
        yield part
