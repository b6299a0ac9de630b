"""Whether this machine can serve: bind, tokens, port."""

import http.client
import json
import socket
from collections.abc import Iterator

from clocksvc.check.finding import Finding, ok, problem
from clocksvc.errors import InvalidValue
from clocksvc.settings import Settings, check_bind

ANSWER_S = 2.0


def ask_service(settings: Settings) -> Iterator[Finding]:
    """The findings on bind, tokens and port."""
    try:
        check_bind(settings.api, insecure=False)
    except InvalidValue as error:
        yield problem("api", str(error), "add api.tokens, bind to 127.0.0.1, or serve with --insecure")
    else:
        yield ok("api", _tokens(len(settings.api.tokens)))
    yield _port(settings.api.host, settings.api.port)


def _tokens(count: int) -> str:
    if count == 0:
        return "no tokens, and bound to this machine: open to whoever is on it"
    return f"{count} token{'s' * (count != 1)}"


def _port(host: str, port: int) -> Finding:
    part = f"port {port}"
    if port == 0:
        return ok(part, "any free port will do")
    try:
        _try_to_bind(host, port)
    except OSError as error:
        if _is_clocksvc(host, port):
            return ok(part, "a clocksvc serves there already")
        text = f"clocksvc can't listen on {host}:{port}: {error.strerror or error}"
        return problem(part, text, "end what uses it, or set api.host and api.port to what is free")
    return ok(part, f"{host}:{port} is free")


def _try_to_bind(host: str, port: int) -> None:
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def _is_clocksvc(host: str, port: int) -> bool:
    """Whether what listens there describes itself as a clocksvc."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    connection = http.client.HTTPConnection(reachable, port, timeout=ANSWER_S)
    try:
        connection.request("GET", "/openapi.json")
        described = json.loads(connection.getresponse().read())
        return "clocksvc" in str(described["info"]["title"]).lower()
    except (OSError, http.client.HTTPException, LookupError, TypeError, ValueError):
        return False
    finally:
        connection.close()
