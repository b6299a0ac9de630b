"""Whether this machine can serve: bind, tokens, port."""

import http.client
import json
import socket
from collections.abc import Collection, Iterator
from typing import Any

from clocksvc.check.finding import Finding, ok, problem, warning
from clocksvc.errors import InvalidValue
from clocksvc.settings import Settings, check_bind

ANSWER_S = 2.0
_NO_ANSWER = (OSError, http.client.HTTPException, LookupError, TypeError, ValueError)


def ask_service(settings: Settings) -> Iterator[Finding]:
    """The findings on bind, tokens and port."""
    try:
        check_bind(settings.api, insecure=False)
    except InvalidValue as error:
        yield problem("api", str(error), "add api.tokens, bind to 127.0.0.1, or serve with --insecure")
    else:
        yield ok("api", _tokens(len(settings.api.tokens)))
    yield _port(settings.api.host, settings.api.port, settings.clocks)


def _tokens(count: int) -> str:
    if count == 0:
        return "no tokens, and bound to this machine: open to whoever is on it"
    return f"{count} token{'s' * (count != 1)}"


def _port(host: str, port: int, clocks: Collection[str]) -> Finding:
    part = f"port {port}"
    if port == 0:
        return ok(part, "any free port will do")
    try:
        _try_to_bind(host, port)
    except OSError as error:
        if _is_clocksvc(host, port):
            return _served(part, host, port, clocks)
        text = f"clocksvc can't listen on {host}:{port}: {error.strerror or error}"
        return problem(part, text, "end what uses it, or set api.host and api.port to what is free")
    return ok(part, f"{host}:{port} is free")


def _served(part: str, host: str, port: int, clocks: Collection[str]) -> Finding:
    """No token is shown to what listens there: it may be anybody's."""
    try:
        served = [str(clock["clock"]) for clock in _asked(host, port, "/v1/clocks")["clocks"]]
    except _NO_ANSWER:
        return ok(part, "a clocksvc serves there already; which clocks, it does not say without a token")
    if set(clocks) <= set(served):
        return ok(part, "a clocksvc serves there already, and these clocks")
    text = (
        f"another clocksvc serves there: clocks {', '.join(served) or 'none'}, not "
        f"{', '.join(sorted(set(clocks) - set(served)))}; clocksvc serve would refuse the port"
    )
    return warning(part, text, "end it, or set api.port to one that is free")


def _try_to_bind(host: str, port: int) -> None:
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def _is_clocksvc(host: str, port: int) -> bool:
    """Whether what listens there describes itself as a clocksvc."""
    try:
        return "clocksvc" in str(_asked(host, port, "/openapi.json")["info"]["title"]).lower()
    except _NO_ANSWER:
        return False


def _asked(host: str, port: int, path: str) -> Any:
    """JSON; raises some of `_NO_ANSWER`, as does what looks into it."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    connection = http.client.HTTPConnection(reachable, port, timeout=ANSWER_S)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()
