"""ASGI middleware in front of all routes.

It checks the host, authenticates requests, limits the size of bodies, and handles HEAD.

It does not use Starlette's BaseHTTPMiddleware, because that class would copy every chunk of a stream.
"""

import re

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clocksvc.api import problems
from clocksvc.api.allowed_hosts import AllowedHosts
from clocksvc.api.problems import Problem
from clocksvc.api.tokens import Tokens

MAX_BODY_BYTES = 1024 * 1024
CALLER = "clocksvc.caller"
"""The key of the authenticated `Caller` in the request's scope."""
HEAD = "clocksvc.head"
"""The key, in the scope of a request, that marks a HEAD request. Routes see such a request as GET."""

_OPEN = frozenset({"/", "/livez", "/readyz", "/docs", "/openapi.json"})
_OPEN_BELOW = ("/docs/", "/status/")
_IMPORT = re.compile(r"/v1/clocks/[^/]+/schedules")


class RequestGuardMiddleware:
    """Rejects requests for another host (421), without a valid token (401) or with a body that is too large (413).

    It answers HEAD like GET, but without the body.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens, hosts: AllowedHosts | None = None) -> None:
        self._app = app
        self._tokens = tokens
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _with_headers(send)
        if scope["method"] == "HEAD":
            scope, send = {**scope, "method": "GET", HEAD: True}, _without_body(send)
        try:
            self._check(scope)
        except Problem as problem:
            await problem.response()(scope, receive, send)
        else:
            await self._app(scope, receive if _is_import(scope) else _limited(receive), send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = headers.get("host")
        # A browser sends Host always. Only HTTP/1.0 has requests without it.
        if self._hosts is not None and host is not None and not self._hosts.allows(host):
            raise problems.wrong_host(host)
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > MAX_BODY_BYTES and not _is_import(scope):
            raise Problem(problems.BODY_TOO_LARGE)
        path = scope["path"]
        if path not in _OPEN and not path.startswith(_OPEN_BELOW):
            given = [value for name, value in scope["headers"] if name == b"authorization"]
            scope[CALLER] = self._tokens.authenticate(given)


def _is_import(scope: Scope) -> bool:
    """True for an import of schedules, which reads its body in parts and limits them itself."""
    return scope["method"] == "POST" and _IMPORT.fullmatch(scope["path"]) is not None


def _limited(receive: Receive) -> Receive:
    """Return a `receive` that raises HTTPException (413) if a body without Content-Length exceeds the limit."""
    received = 0

    async def receiving() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > MAX_BODY_BYTES:
            raise HTTPException(413)
        return message

    return receiving


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.setdefault("Cache-Control", "no-store")
            headers.setdefault("X-Content-Type-Options", "nosniff")
        await send(message)

    return sending


def _without_body(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return sending
