"""Tests whether `clocksvc serve` and `clocksvc scheduler` can start on this machine: address, tokens and port."""

import http.client
import json
import socket
from collections.abc import Collection, Iterator
from typing import Any
from urllib.parse import quote

from clocksvc.check.finding import Finding, ok, problem, warning
from clocksvc.clock.partition import name_first
from clocksvc.errors import InvalidValue
from clocksvc.settings import Settings, check_bind

HTTP_TIMEOUT_S = 2.0
_ALL_ADDRESSES = ("0.0.0.0", "::")
_NO_ANSWER = (OSError, http.client.HTTPException, LookupError, TypeError, ValueError)


def probe_service(settings: Settings) -> Iterator[Finding]:
    """Yield the findings on address, tokens and port."""
    try:
        check_bind(settings.api, insecure=False)
    except InvalidValue as error:
        yield problem("api", str(error), "add api.tokens, bind to 127.0.0.1, or serve with --insecure")
    else:
        yield ok("api", _tokens(len(settings.api.tokens)))
    yield _port(settings.api.host, settings.api.port, settings.clocks)
    if settings.schedules_specs():
        yield from _scheduler_port(settings)


def _scheduler_port(settings: Settings) -> Iterator[Finding]:
    """Yield a warning if serve and scheduler have the same address: on one machine, only one of them can listen."""
    api, scheduler = settings.api, settings.scheduler
    if api.port != scheduler.port or api.port == 0:
        return
    host = scheduler.host or api.host
    if host == api.host or host in _ALL_ADDRESSES or api.host in _ALL_ADDRESSES:
        text = f"api.port and scheduler.port are both {api.port}: on one machine, only one of the processes can start"
        yield warning("scheduler", text, "set scheduler.port or api.port to another port, if they run on one machine")


def _tokens(count: int) -> str:
    if count == 0:
        return "no tokens, but only this machine can connect; all users of this machine have access"
    return f"{count} token{'s' * (count != 1)}"


def _port(host: str, port: int, clocks: Collection[str]) -> Finding:
    part = f"port {port}"
    if port == 0:
        return ok(part, "any free port is used")
    try:
        _try_to_bind(host, port)
    except OSError as error:
        if _is_clocksvc(host, port):
            return _compare_clocks(part, host, port, clocks)
        text = f"clocksvc can't listen on {host}:{port}: {error.strerror or error}"
        return problem(part, text, "stop the process that uses the port, or set api.host and api.port to a free one")
    return ok(part, f"{host}:{port} is free")


def _compare_clocks(part: str, host: str, port: int, clocks: Collection[str]) -> Finding:
    """Test whether a running clocksvc serves the configured clocks.

    Sends no token, because the other process may not be trusted.
    """
    try:
        served = list(_served_clocks(host, port))
    except _NO_ANSWER:
        return ok(part, "a clocksvc is already running there; its clocks are not known, because it requires a token")
    if set(clocks) <= set(served):
        return ok(part, "a clocksvc is already running there, with the configured clocks")
    text = (
        f"a clocksvc with another configuration is running there: it has the clocks {name_first(served) or '(none)'}, "
        f"but not {name_first(sorted(set(clocks) - set(served)))}; `clocksvc serve` can't listen on the same port"
    )
    return warning(part, text, "stop that clocksvc, or set api.port to a free port")


def _served_clocks(host: str, port: int) -> Iterator[str]:
    """Yield the names of the clocks that the server at this port has. Raises one of `_NO_ANSWER`."""
    after = ""
    while True:
        page = _get(host, port, f"/v1/clocks?view=brief&limit=1000{after}")
        yield from (str(clock["clock"]) for clock in page["clocks"])
        if page["next"] is None:
            return
        after = f"&after={quote(str(page['next']))}"


def _try_to_bind(host: str, port: int) -> None:
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def _is_clocksvc(host: str, port: int) -> bool:
    """True if the server at this port has the OpenAPI document of clocksvc."""
    try:
        return "clocksvc" in str(_get(host, port, "/openapi.json")["info"]["title"]).lower()
    except _NO_ANSWER:
        return False


def _get(host: str, port: int, path: str) -> Any:
    """Return the JSON at a path. Raises one of `_NO_ANSWER`. A caller's look-up in unexpected JSON raises one, too."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    connection = http.client.HTTPConnection(reachable, port, timeout=HTTP_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()
