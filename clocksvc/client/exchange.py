"""Requests to the service, and what its responses mean. No I/O: `http` and `async_http` send the requests.

All failures are errors of `clocksvc.errors`. Their texts do not contain the token. There are no retries here.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlencode

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from clocksvc.errors import (
    InvalidValue,
    PreconditionFailed,
    RequestRejected,
    ServiceUnavailable,
    UnknownClock,
    UnknownSchedule,
)
from clocksvc.redaction import without_password

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 10.0
_PROBLEM_TYPE = "urn:clocksvc:problem:"
_MAX_SHOWN = 60
_MAX_RETRY_AFTER_S = 60.0
TOKEN_HINT = "; pass token=… with one of the service's tokens"
_NOTHING: Mapping[str, Any] = MappingProxyType({})

Params = Mapping[str, str | int | float | None]


class Request(NamedTuple):
    """A request to the service.

    Attributes:
        path: the path below the service's address.
        params: the query; parameters that are None are left out.
        body: the body, which is JSON; None for no body.
        headers: headers besides those of every request.
        timeout_s: the limit until the response begins, and between its parts.
        accept: statuses other than 2xx that are results, not errors.
    """

    method: str
    path: str
    params: Params = _NOTHING
    body: bytes | None = None
    headers: Mapping[str, str] = _NOTHING
    timeout_s: float = READ_TIMEOUT_S
    accept: tuple[int, ...] = ()


def stream_request(
    path: str, params: Params = _NOTHING, *, last_id: str | None = None, idle_timeout_s: float
) -> Request:
    """Return the request for a path's stream of server-sent events.

    Args:
        last_id: the id of the last received event, if the stream must resume after this event.
        idle_timeout_s: the connection counts as lost after this many seconds without data (events or comments).
    """
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
    if last_id is not None:
        headers["Last-Event-ID"] = last_id
    return Request("GET", path, params, headers=headers, timeout_s=idle_timeout_s)


class ServiceResponse(NamedTuple):
    """The status of a response, the JSON object of its body ({} if the body is not a JSON object), and its ETag."""

    status: int
    body: dict[str, Any]
    etag: str | None = None


class ServiceAddress:
    """The address of one service, and the token for it.

    Args:
        url: `http(s)://host:port`, with a path if a proxy requires one.
        token: the bearer token to send; None for no token.

    Raises:
        InvalidValue: the URL or the token is not valid.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        _check_url(url)
        self._base = url.rstrip("/")
        self._headers = {"Accept": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {_checked_token(token)}"

    def url_of(self, request: Request) -> Url:
        """Return the URL of a request."""
        query = {name: value for name, value in request.params.items() if value is not None}
        return parse_url(self._base + request.path + (f"?{urlencode(query)}" if query else ""))

    def headers_of(self, request: Request) -> dict[str, str]:
        """Return all headers of a request, except for Host and those that describe the transfer."""
        content = {} if request.body is None else {"Content-Type": "application/json"}
        return {**self._headers, **content, **request.headers}

    def read(self, request: Request, status: int, headers: Mapping[str, str], data: bytes) -> ServiceResponse:
        """Return what a complete response means.

        Args:
            headers: the response's headers, with names in lower case.
            data: the response's body.

        Raises:
            RequestRejected: the service rejects the request, for example because of the token or an invalid parameter;
                or the server is not clocksvc.
            UnknownClock: the service has no such clock, or no such path.
            UnknownSchedule, PreconditionFailed: of requests for a schedule.
            ServiceUnavailable: the status means "retry later".
        """
        if 200 <= status < 300 or status in request.accept:
            return ServiceResponse(status, _json(data), headers.get("etag"))
        raise self.error(request, status, headers, data)

    def error(self, request: Request, status: int, headers: Mapping[str, str], data: bytes) -> Exception:
        """Return the error for a status that is no success, with the text of its problem details. See `read`."""
        problem = _json(data)
        own = str(problem.get("type")).startswith(_PROBLEM_TYPE)
        if own:
            message = f"{request.path}: {problem.get('detail') or problem.get('title')} (status {status})"
        else:
            server = headers.get("server", "")
            by = f" by {server[:_MAX_SHOWN]!r}" if server else ""
            message = f"{request.path}: status {status}{by} at {self._base}, which is not an answer of clocksvc"
        if status in (408, 425, 429) or status >= 500:
            return ServiceUnavailable(message, status, _seconds(headers.get("retry-after", "")))
        if status == 401:
            return RequestRejected(f"{message}{TOKEN_HINT}", status)
        if 300 <= status < 400:
            return RequestRejected(f"{message}; wanted the final address in the URL, because it redirects")
        if own and status == 412:
            return PreconditionFailed(message, problem.get("etag"))
        if own and problem["type"] == _PROBLEM_TYPE + "unknown-schedule":
            return UnknownSchedule(message)
        if own:
            return UnknownClock(message) if status == 404 else RequestRejected(message)
        return RequestRejected(f"{message}; check the address in the URL")

    def not_connected(self, reason: str) -> ServiceUnavailable:
        """Return the error for a connection that could not be opened."""
        return _NotConnected(f"no clocksvc answers at {self._base}: {_lower(reason)}")

    def not_answered(self, reason: str) -> ServiceUnavailable:
        """Return the error for a connection that failed, or on which no response came in time."""
        return ServiceUnavailable(f"the clocksvc service at {self._base} does not answer: {_lower(reason)}")


def is_connection_refused(error: BaseException) -> bool:
    """True if an error of a client means that the client could not connect."""
    return isinstance(error, _NotConnected)


def is_unauthenticated(error: BaseException) -> bool:
    """True if an error of a client means that the token is missing or wrong."""
    return isinstance(error, RequestRejected) and error.status == 401


class _NotConnected(ServiceUnavailable):
    """The client could not connect."""


def _check_url(url: str) -> None:
    wanted = "wanted http://host:port or https://host:port, without user, password, query or fragment"
    try:
        parts = parse_url(url)
    except LocationParseError:
        raise InvalidValue("url", without_password(url), wanted) from None
    if parts.scheme not in ("http", "https") or not parts.host or parts.auth or parts.query or parts.fragment:
        raise InvalidValue("url", without_password(url), wanted)


def _checked_token(token: str) -> str:
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidValue("token", "***", "wanted printable ASCII characters without blanks")
    return token


def _json(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _seconds(retry_after: str) -> float:
    """Return the seconds of a header `Retry-After`; 0 if it is a date or not valid."""
    return min(float(retry_after), _MAX_RETRY_AFTER_S) if retry_after.isdecimal() else 0.0


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
