"""At shutdown long polls end, and streams end with a delay for the reconnect."""

import threading
import time

import httpx2
import pytest
from fastapi.testclient import TestClient

from tests.unit.api.clock_fixture import ClockFixture, ticks
from tests.unit.api.events import streaming
from tests.unit.api.openapi_contract import problem_name
from tests.unit.api.running_service import serving
from tests.waiting import eventually


def test_streams_and_polls_end_with_the_service(clock_fixture: ClockFixture) -> None:
    """The server does not wait for long polls and streams."""
    clock_fixture.publish(*ticks(1))
    answers: dict[str, httpx2.Response] = {}
    with serving(clock_fixture) as served:

        def ask(name: str, path: str) -> None:
            answers[name] = httpx2.get(f"{served.url}/v1/clocks/checkins/{path}", timeout=60)

        asking = [
            threading.Thread(target=ask, args=("poll", "ticks?after=1795345200&timeout=50")),
            threading.Thread(target=ask, args=("wait", "wait?until=2100-01-01T00:00:00Z&timeout=50")),
        ]
        with streaming(served.url + "/v1/clocks/checkins/ticks/stream") as events:
            next(events)
            for thread in asking:
                thread.start()
            eventually(lambda: len(served.server.server_state.tasks) == 3, what="three who wait")
            began = time.monotonic()
            served.stop()
            took = time.monotonic() - began
            last = list(events)
        for thread in asking:
            thread.join(10)

    assert took < 5
    assert len(last) == 1
    assert last[0].comment is not None
    assert last[0].retry is not None
    assert answers["poll"].json() == {"ticks": [], "next": "2026-11-22T11:00:00Z"}
    assert answers["wait"].status_code == 503
    assert answers["wait"].json()["type"] == "urn:clocksvc:problem:shutting-down"
    assert "retry-after" in answers["wait"].headers


@pytest.mark.parametrize("path", ["ticks?timeout=5", "ticks/stream", "wait?until=2100-01-01T00:00:00Z&timeout=5"])
def test_no_new_request_waits_at_shutdown(client: TestClient, path: str) -> None:
    """At shutdown: 503 with Retry-After for waiting requests and for `/readyz`; other requests are still answered."""
    client.app.state.closing.set()  # type: ignore[attr-defined]  # Starlette's type does not know FastAPI's

    refused = client.get(f"/v1/clocks/checkins/{path}")

    assert (refused.status_code, problem_name(refused)) == (503, "shutting-down")
    assert refused.headers["retry-after"] == "1"
    assert problem_name(client.get("/readyz")) == "not-ready"
    assert client.get("/v1/clocks/checkins").status_code == 200
    assert client.get("/v1/clocks/checkins/ticks").status_code == 200
