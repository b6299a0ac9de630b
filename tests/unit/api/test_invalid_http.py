"""Requests that are not valid HTTP: answered or closed, counted, and logged in one line at a bounded rate."""

import logging
from collections.abc import Iterator

import pytest

from clocksvc.api import invalid_http
from tests.unit.api.clock_fixture import ClockFixture
from tests.unit.api.raw_http import livez_took_s, response_to
from tests.unit.api.running_service import RunningService, serving

MALFORMED = b"POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
OTHERS = [
    MALFORMED.replace(b"/livez", b"/v1/clocks/checkins/reports"),
    MALFORMED.replace(b"POST /livez", b"GET /v1/clocks"),
    MALFORMED.replace(b"zz", b"5\r\n12345\r\nzz"),
    b"GET /livez\r\n\r\n",
    b"GET /livez HTTP/1.1\r\n\r\n",
]


@pytest.fixture
def service() -> Iterator[RunningService]:
    """A service that has not logged yet."""
    with serving(ClockFixture()) as served:
        yield served


def test_a_flood_is_one_line(service: RunningService, caplog: pytest.LogCaptureFixture) -> None:
    """30 malformed requests: each gets a 400, all are counted, and the log has one short line without a traceback."""
    caplog.set_level(logging.DEBUG)
    answers = [response_to(service.port, MALFORMED) for _ in range(25)]
    answers += [response_to(service.port, other) for other in OTHERS]

    assert all(answer.startswith(b"HTTP/1.1 400 ") for answer in answers)
    assert service.app.state.invalid_http.count == 30
    lines = [record for record in caplog.records if record.name.startswith(("uvicorn", "clocksvc.api"))]
    assert [record.levelname for record in lines if record.levelno > logging.INFO] == ["WARNING"]
    assert "127.0.0.1" in caplog.text
    assert sum(len(record.getMessage()) for record in lines) < 500
    assert not any(record.exc_info for record in lines)
    assert livez_took_s(service.port) < 1.0


def test_the_next_line_has_the_number(service: RunningService, caplog: pytest.LogCaptureFixture) -> None:
    """A line is logged again after 30 s, with the number of requests since the last one."""
    assert invalid_http.LOG_EVERY_S == 30
    response_to(service.port, MALFORMED)
    response_to(service.port, MALFORMED)
    response_to(service.port, MALFORMED)
    service.app.state.invalid_http._log_at = 0.0
    response_to(service.port, MALFORMED)

    lines = [record.getMessage() for record in caplog.records if record.name == "clocksvc.api"]
    assert [line.partition(" requests")[0] for line in lines] == ["invalid HTTP: 1", "invalid HTTP: 3"]
