"""Malformed bodies of a mebibyte with very many errors: few errors are listed, and other requests do not wait."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from tests.unit.api.clock_fixture import GROUP, TOPIC, ClockFixture
from tests.unit.api.raw_http import livez_took_s, response_to
from tests.unit.api.running_service import RunningService, serving

MIB = 1024 * 1024
CONNECTIONS = 8
UNKNOWN: dict[str, object] = {f"{number:x}": 1 for number in range(96_000)}
ITEM: dict[str, object] = {"topic": TOPIC, "partition": 0, "timestamp_ms": 1}
WRONG = {"topic": 7, "partition": "x", "timestamp_ms": None, "a": 1, "b": 2}
REPORT: dict[str, object] = {"group": GROUP, "reports": []}
FLOODS: dict[str, dict[str, object]] = {
    "unknown fields": REPORT | UNKNOWN,
    "unknown fields of an item": REPORT | {"reports": [ITEM | UNKNOWN]},
    "unknown fields instead of the known": {"reports": [UNKNOWN]},
    "unknown fields of all items": REPORT | {"reports": [{f"{n:x}": 1 for n in range(19)} for _ in range(5_000)]},
    "wrong items": REPORT | {"reports": [WRONG] * 5_000, "refusals": [WRONG] * 5_000},
    "numbers instead of items": REPORT | {"reports": [7] * 300_000},
    "numbers instead of topics": REPORT | {"reports": [], "create_time_topics": [7] * 1_000},
    "large values": REPORT | {"reports": [{"topic": [[0] * 450_000]}]},
}
OTHERS: dict[str, dict[str, object]] = {
    "exclusions": {"topic": TOPIC, "partition": 0, "reason": "why"} | UNKNOWN,
    "pause": {"reason": "why"} | UNKNOWN,
    "resume": UNKNOWN,
}
FLOODED = [("reports", body) for body in FLOODS.values()] + list(OTHERS.items())


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    """One service for all tests of this module."""
    with serving(ClockFixture()) as served:
        yield served


def request(path: str, body: object) -> bytes:
    """A complete POST request."""
    content = json.dumps(body, separators=(",", ":")).encode()
    assert len(content) <= MIB
    head = f"POST /v1/clocks/checkins/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content


@pytest.mark.parametrize(("path", "body"), FLOODED, ids=[*FLOODS, *OTHERS])
def test_other_requests_do_not_wait(service: RunningService, path: str, body: object) -> None:
    """`/livez` answers within a second while 8 connections send the body; each gets at most 20 errors."""
    sent = request(path, body)
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        answers = [pool.submit(response_to, service.port, sent) for _ in range(CONNECTIONS)]
        longest_s = livez_took_s(service.port)
        while wait(answers, 0).not_done:
            longest_s = max(longest_s, livez_took_s(service.port))

    assert longest_s < 1.0
    for answer in answers:
        head, _, content = answer.result().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 422 ")
        assert 1 <= len(json.loads(content)["errors"]) <= 20
        assert len(content) < 10_000


def test_the_answer_tells_that_there_are_more_errors(service: RunningService) -> None:
    """The detail has the number of the errors that it leaves out."""
    content = response_to(service.port, request("pause", UNKNOWN)).partition(b"\r\n\r\n")[2]
    problem = json.loads(content)

    assert [error["field"] for error in problem["errors"][:2]] == ["reason", "0"]
    assert "more" in problem["detail"]
