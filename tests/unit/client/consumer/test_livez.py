"""`GET /livez` of a consumer."""

import json
import socket

import pytest
import urllib3

from clocksvc.client.consumer.health import Health
from clocksvc.client.consumer.livez import LivezServer
from clocksvc.errors import InvalidValue

pytestmark = pytest.mark.core


def test_livez_answers_with_the_health() -> None:
    """200 or 503 with the problems. Other paths do not exist. An incomplete request delays no other one."""
    health = Health()
    server = LivezServer(("127.0.0.1", 0), lambda: health)
    try:
        with socket.create_connection(("127.0.0.1", server.port)) as incomplete:
            incomplete.send(b"GET /li")
            address = f"http://127.0.0.1:{server.port}"
            with urllib3.PoolManager(retries=False, timeout=5) as http:
                answer = http.request("GET", f"{address}/livez")
                assert (answer.status, json.loads(answer.data)) == (200, {"status": "ok"})
                health = Health(("a flush has run for 61 s",))
                answer = http.request("GET", f"{address}/livez")
                assert answer.status == 503
                assert json.loads(answer.data)["problems"] == ["a flush has run for 61 s"]
                assert http.request("GET", f"{address}/metrics").status == 404
    finally:
        server.close()


def test_an_address_in_use_is_refused() -> None:
    """The error names the argument."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = taken.getsockname()

        with pytest.raises(InvalidValue, match=r"livez: .* wanted a host and a free port .*in use"):
            LivezServer(address, Health)
