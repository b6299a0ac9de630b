"""Too large bodies, unknown paths and wrong methods are rejected with problem details."""

import socket

import httpx2
import pytest
from fastapi.testclient import TestClient

from tests.unit.api.clock_fixture import ClockFixture
from tests.unit.api.openapi_contract import problem_name
from tests.unit.api.running_service import serving

MIB = 1024 * 1024
REPORTS = "/v1/clocks/checkins/reports"


def test_a_body_over_a_mebibyte_is_refused(clock_fixture: ClockFixture) -> None:
    """413 for a Content-Length above the limit, before the body is read."""
    with serving(clock_fixture) as served, socket.create_connection(("127.0.0.1", served.port), 10) as connection:
        head = (
            f"POST {REPORTS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {MIB + 1}\r\n\r\n"
        )
        connection.sendall(head.encode())
        answer = connection.recv(65_536)

    assert b" 413 " in answer.split(b"\r\n")[0]
    assert b"application/problem+json" in answer


def test_a_body_in_chunks_is_counted(clock_fixture: ClockFixture) -> None:
    """A body without Content-Length has the same limit."""
    chunks = (b" " * 65_536 for _ in range(17))
    with serving(clock_fixture) as served, httpx2.Client(timeout=30) as client:
        headers = {"Content-Type": "application/json"}
        response = client.post(served.url + REPORTS, content=chunks, headers=headers)

    assert problem_name(response) == "body-too-large"


def test_a_body_of_a_mebibyte_is_read(client: TestClient) -> None:
    """A body of exactly the limit is accepted."""
    body = b'{"group": "checkins-consumer", "reports": []}'
    response = client.post(
        REPORTS, content=body + b" " * (MIB - len(body)), headers={"Content-Type": "application/json"}
    )

    assert response.status_code == 200


@pytest.mark.parametrize("path", ["/v1", "/v1/clocks/", "/v1/clocks/checkins/tick", "/v2/clocks", "/docs/../x", "/%00"])
def test_an_unknown_address_is_a_problem(client: TestClient, path: str) -> None:
    """An unknown path is 404 as problem details, which name `/docs`."""
    response = client.get(path)

    assert problem_name(response) == "not-found"
    assert "/docs" in response.json()["detail"]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "POST", "TRACE"])
def test_another_method_is_a_problem(client: TestClient, method: str) -> None:
    """405 names the allowed methods."""
    response = client.request(method, "/v1/clocks/checkins")

    assert problem_name(response) == "method-not-allowed"
    assert response.headers["allow"] == "GET, HEAD"


def test_reports_can_only_be_posted(client: TestClient) -> None:
    """A route that has only POST or DELETE does not allow GET and HEAD."""
    assert client.get(REPORTS).headers["allow"] == "POST"
    assert client.head(REPORTS).status_code == 405


def test_answers_are_not_stored(client: TestClient) -> None:
    """Responses must not be cached: a cached clock would not move."""
    response = client.get("/v1/clocks/checkins")

    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"


def test_head_is_get_without_the_body(client: TestClient) -> None:
    """HEAD has the status and headers of GET, and does not wait."""
    got = client.get("/v1/clocks/checkins")
    head = client.head("/v1/clocks/checkins")

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]
    assert client.head("/v1/clocks/checkins/wait?until=2100-01-01T00:00:00Z&timeout=50").status_code == 409
