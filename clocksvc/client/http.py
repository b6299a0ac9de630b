"""The HTTP client for the service. Reports, ticks, waits and the command line use it.

All failures are raised as errors of `clocksvc.errors`. Their texts do not contain the token. There are no retries here.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, LocationParseError, NewConnectionError, ProtocolError

from clocksvc.client.sse import Event, read_events
from clocksvc.errors import InvalidValue, RequestRejected, ServiceUnavailable, UnknownClock
from clocksvc.redaction import without_password

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 10.0
_CONNECTIONS = 4
_PROBLEM_TYPE = "urn:clocksvc:problem:"
_MAX_SHOWN = 60
_REPR = re.compile(r"<?HTTPS?Connection\w*\(.*?\)(?: at 0x\w+)?>?: ")

Params = Mapping[str, str | int | float | None]


class ServiceResponse(NamedTuple):
    """The status of a response and the JSON object of its body; {} if the body is not a JSON object."""

    status: int
    body: dict[str, Any]


class ServiceClient:
    """Sends requests to one service. Thread-safe. Does not connect before the first request.

    Args:
        url: `http(s)://host:port`, with a path if a proxy requires one.
        token: the bearer token to send; None for no token.

    Raises:
        InvalidValue: the URL or the token is not valid.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self._base = _base_url(url)
        self._headers = {"Accept": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {_checked_token(token)}"
        self._pool = urllib3.PoolManager(maxsize=_CONNECTIONS, retries=False)

    def get(
        self,
        path: str,
        params: Params | None = None,
        *,
        timeout_s: float = READ_TIMEOUT_S,
        accept: tuple[int, ...] = (),
    ) -> ServiceResponse:
        """GET a path and return the JSON object.

        Blocks for up to 5 s while it connects, and up to `timeout_s` for the response.

        Args:
            params: the query; parameters that are None are left out.
            timeout_s: the limit until the response begins, and between its parts.
            accept: statuses other than 2xx that are returned, not raised.

        Raises:
            RequestRejected: the service rejects the request, for example because of the token or an invalid parameter;
                or the server is not clocksvc.
            UnknownClock: the service has no such clock, or no such path.
            ServiceUnavailable: no response, or a response with a status that means "retry later".
        """
        return self._request("GET", path, params, None, timeout_s, accept)

    def post(self, path: str, body: object, *, timeout_s: float = READ_TIMEOUT_S) -> dict[str, Any]:
        """POST JSON and return the JSON object of a 2xx response. Blocks and raises like `get`."""
        return self.send("POST", path, body, timeout_s=timeout_s)

    def send(self, method: str, path: str, body: object, *, timeout_s: float = READ_TIMEOUT_S) -> dict[str, Any]:
        """Send JSON with a method such as DELETE, and return the JSON object of a 2xx response.

        Blocks and raises like `get`.
        """
        return self._request(method, path, None, json.dumps(body).encode(), timeout_s, ()).body

    @contextmanager
    def events(
        self, path: str, params: Params | None = None, *, last_id: str | None = None, idle_timeout_s: float
    ) -> Iterator[Iterator[Event]]:
        """Open a path's stream of server-sent events. It ends when the service ends it.

        Raises like `get`, also during the iteration.

        Args:
            last_id: the id of the last received event, if the stream must resume after this event.
            idle_timeout_s: the connection counts as lost after this many seconds without data (events or comments).
        """
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
        if last_id is not None:
            headers["Last-Event-ID"] = last_id
        with _translated(self._base):
            response = self._send("GET", path, params, None, idle_timeout_s, headers)
            try:
                if response.status != 200:
                    raise self._error(response, path)
                yield read_events(_parts(response))
            finally:
                response.close()  # the connection can't be used again, because the rest of the stream is unread
                response.release_conn()

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _request(
        self,
        method: str,
        path: str,
        params: Params | None,
        body: bytes | None,
        timeout_s: float,
        accept: tuple[int, ...],
    ) -> ServiceResponse:
        headers = {} if body is None else {"Content-Type": "application/json"}
        with _translated(self._base):
            response = self._send(method, path, params, body, timeout_s, headers)
            answer = ServiceResponse(response.status, _json(response.data))
            response.release_conn()
        if 200 <= answer.status < 300 or answer.status in accept:
            return answer
        raise self._error(response, path)

    def _error(self, response: urllib3.BaseHTTPResponse, path: str) -> Exception:
        """Return the error for a response's status, with the text of its problem details."""
        status, problem = response.status, _json(response.data)
        own = str(problem.get("type")).startswith(_PROBLEM_TYPE)
        if own:
            message = f"{path}: {problem.get('detail') or problem.get('title')} (status {status})"
        else:
            server = response.headers.get("Server")
            by = f" by {server[:_MAX_SHOWN]!r}" if server else ""
            message = f"{path}: status {status}{by} at {self._base}, which is not an answer of clocksvc"
        if status in (408, 425, 429) or status >= 500:
            return ServiceUnavailable(message)
        if status == 401:
            return _Unauthenticated(message)
        if 300 <= status < 400:
            return RequestRejected(f"{message}; wanted the final address in the URL, because it redirects")
        if own:
            return UnknownClock(message) if status == 404 else RequestRejected(message)
        return RequestRejected(f"{message}; check the address in the URL")

    def _send(
        self,
        method: str,
        path: str,
        params: Params | None,
        body: bytes | None,
        timeout_s: float,
        headers: Mapping[str, str],
    ) -> urllib3.BaseHTTPResponse:
        query = {name: value for name, value in (params or {}).items() if value is not None}
        url = self._base + path + (f"?{urlencode(query)}" if query else "")
        return self._pool.request(
            method,
            url,
            body=body,
            headers=self._headers | dict(headers),
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=timeout_s),
            redirect=False,  # the token must not be sent to another host
            preload_content=False,
        )


def _base_url(url: str) -> str:
    wanted = "wanted http://host:port or https://host:port, without user, password, query or fragment"
    try:
        parts = urllib3.util.parse_url(url)
    except LocationParseError:
        raise InvalidValue("url", without_password(url), wanted) from None
    if parts.scheme not in ("http", "https") or not parts.host or parts.auth or parts.query or parts.fragment:
        raise InvalidValue("url", without_password(url), wanted)
    return url.rstrip("/")


def _checked_token(token: str) -> str:
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidValue("token", "***", "wanted printable ASCII characters without blanks")
    return token


@contextmanager
def _translated(base: str) -> Iterator[None]:
    try:
        yield
    except (NewConnectionError, ConnectTimeoutError) as error:
        raise ServiceUnavailable(f"no clocksvc answers at {base}: {_reason(error)}") from error
    except (HTTPError, OSError) as error:
        raise ServiceUnavailable(f"the clocksvc service at {base} does not answer: {_reason(error)}") from error


def is_connection_refused(error: BaseException) -> bool:
    """True if an error of this client means that the client could not connect."""
    return isinstance(error, ServiceUnavailable) and isinstance(
        error.__cause__, NewConnectionError | ConnectTimeoutError
    )


def is_unauthenticated(error: BaseException) -> bool:
    """True if an error of this client means that the token is missing or wrong."""
    return isinstance(error, _Unauthenticated)


class _Unauthenticated(RequestRejected):
    """The token is missing or not known."""


def _reason(error: Exception) -> str:
    """Return the operating system's error text; otherwise the exception's text, without the `repr` of a connection."""
    cause = next((each for each in (error, error.__cause__, *error.args) if isinstance(each, OSError)), None)
    if cause is None and isinstance(error, ProtocolError):
        return "connection lost"
    text = _REPR.sub("", str(error)) if cause is None else cause.strerror or str(cause)
    return text[:1].lower() + text[1:]


def _json(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _parts(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    while part := response.read1():
        yield part
