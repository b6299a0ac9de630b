"""Clients that stop reading, or send an incomplete request, lose their connections; other clients are not affected."""

import asyncio
import json
import logging
import socket
import threading
import time
from contextlib import ExitStack

import pytest

from clocksvc.api import server as connections
from clocksvc.api.async_clock import AsyncClock
from tests.unit.api.clock_fixture import NOON, ClockFixture, ticks
from tests.unit.api.events import streaming
from tests.unit.api.raw_http import connected, ended, livez_took_s
from tests.unit.api.running_service import RunningService, serving
from tests.waiting import eventually

STREAM = "/v1/clocks/checkins/ticks/stream"
REPORTS = "/v1/clocks/checkins/reports"
ELEVEN = NOON - 3_600
SMALL = 4_096
HELD_KIB = 512


def get(path: str) -> bytes:
    """A complete request."""
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def live(served: RunningService) -> AsyncClock:
    """The clock of the service."""
    clock: AsyncClock = served.app.state.clocks["checkins"]
    return clock


def test_a_stalled_stream_is_dropped_and_counted(clock_fixture: ClockFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream is closed if its client reads nothing for 30 s (here 0.5 s); other clients get every tick."""
    assert connections.WRITE_STALL_TIMEOUT_S == 30
    monkeypatch.setattr(connections, "WRITE_STALL_TIMEOUT_S", 0.5)
    chain = ticks(3_000)
    clock_fixture.publish(chain[0])
    with serving(clock_fixture) as served, connected(served.port, receive_buffer=SMALL) as deaf:
        deaf.sendall(get(STREAM))
        eventually(lambda: live(served).streams == 1, what="the stream to begin")
        with streaming(served.url + STREAM) as events:
            next(events)
            clock_fixture.publish(*chain[1:])
            seen = [int(next(events).id) * 1000 for _ in chain[1:]]
        eventually(lambda: live(served).streams_dropped == 1, what="the deaf client to be dropped")
        eventually(lambda: live(served).streams == 0, what="its stream to end")
        deaf.settimeout(20)
        taken = ended(deaf)

    assert seen == [tick.at_ms for tick in chain[1:]]
    assert len(taken) < HELD_KIB * 1024
    assert not taken.endswith(b"0\r\n\r\n")


def test_a_dropped_client_goes_on_behind_what_it_saw(
    clock_fixture: ClockFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dropped client resumes with its cursor: no tick is missing or repeated."""
    monkeypatch.setattr(connections, "WRITE_STALL_TIMEOUT_S", 0.2)
    chain = ticks(2_000)
    clock_fixture.publish(*chain)
    with serving(clock_fixture) as served:
        with connected(served.port, receive_buffer=SMALL) as deaf:
            deaf.sendall(get(f"{STREAM}?after={ELEVEN}"))
            eventually(lambda: live(served).streams_dropped == 1, what="the deaf client to be dropped")
            taken = ended(deaf)
        whole = taken[: taken.rindex(b"\n\n")].decode()
        seen = [int(line.removeprefix("id: ")) for line in whole.splitlines() if line.startswith("id: ")]
        with streaming(served.url + STREAM, last_event_id=seen[-1]) as events:
            next(events)
            rest = [int(next(events).id) for _ in range(len(chain) - len(seen))]

    assert [*seen, *rest] == [tick.at_ms // 1000 for tick in chain]


def test_a_slow_client_that_goes_on_reading_is_kept(
    clock_fixture: ClockFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that reads slowly gets all of a response."""
    monkeypatch.setattr(connections, "WRITE_STALL_TIMEOUT_S", 1.5)
    clock_fixture.publish(*ticks(1_000))
    pace = threading.Event()
    with serving(clock_fixture) as served, connected(served.port, receive_buffer=SMALL) as slow:
        slow.sendall(b"GET /v1/clocks/checkins/ticks?limit=1000 HTTP/1.0\r\n\r\n")
        seen = b""
        while chunk := slow.recv(4_096):
            seen += chunk
            pace.wait(0.1)

    assert len(json.loads(seen.partition(b"\r\n\r\n")[2])["ticks"]) == 1_000


def test_a_stalled_response_is_dropped(clock_fixture: ClockFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Responses of all sizes are dropped too if their client stops reading."""
    monkeypatch.setattr(connections, "WRITE_STALL_TIMEOUT_S", 0.3)
    clock_fixture.publish(*ticks(1_000))
    with serving(clock_fixture) as served, ExitStack() as clients:
        for limit in range(250, 1_001, 150):
            deaf = clients.enter_context(connected(served.port, receive_buffer=SMALL))
            deaf.sendall(f"GET /v1/clocks/checkins/ticks?limit={limit} HTTP/1.0\r\n\r\n".encode())
        eventually(lambda: served.server.server_state.total_requests == 6, what="all to be answered")
        eventually(lambda: not served.server.server_state.connections, within=3, what="all to be closed")

        assert live(served).streams_dropped == 0


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"G",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        get("/livez") + b"GET /livez HT",
    ],
)
def test_incomplete_headers_time_out(clock_fixture: ClockFixture, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """Incomplete headers: closed after 10 s (here 0.3 s), even if single bytes still arrive."""
    assert connections.HEADERS_TIMEOUT_S == 10
    monkeypatch.setattr(connections, "HEADERS_TIMEOUT_S", 0.3)
    with serving(clock_fixture) as served, connected(served.port) as slow:
        slow.sendall(sent)
        began = time.monotonic()
        _trickle(slow, b"x" if sent else b"")

    assert time.monotonic() - began < 4.5, "that was uvicorn's own deadline for quiet connections"


@pytest.mark.parametrize(
    "framing", ["Content-Length: 1000\r\n\r\n{", 'Transfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\n']
)
def test_an_incomplete_body_times_out(
    clock_fixture: ClockFixture, monkeypatch: pytest.MonkeyPatch, framing: str
) -> None:
    """Incomplete bodies, endless chunks included: closed 30 s (here 0.3 s) after the headers."""
    assert connections.BODY_TIMEOUT_S == 30
    monkeypatch.setattr(connections, "BODY_TIMEOUT_S", 0.3)
    head = f"POST {REPORTS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with serving(clock_fixture) as served, connected(served.port) as slow:
        slow.sendall((head + framing).encode())
        _trickle(slow, b"1\r\n \r\n" if "chunked" in framing else b" ")


def test_a_body_is_waited_for_no_longer_after_its_answer(
    clock_fixture: ClockFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that was rejected unread does not keep its connection open."""
    monkeypatch.setattr(connections, "BODY_TIMEOUT_S", 0.3)
    with serving(clock_fixture) as served, connected(served.port) as slow:
        slow.sendall(b"POST /v1/clocks HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        assert b" 405 " in slow.recv(65_536)
        _trickle(slow, b" ")


def _trickle(connection: socket.socket, byte: bytes) -> None:
    """Send a little repeatedly until the server closes the connection; TimeoutError if it doesn't."""
    deadline = time.monotonic() + 10
    connection.settimeout(0.05)
    while time.monotonic() < deadline:
        try:
            connection.sendall(byte)
            if not connection.recv(65_536):
                return
        except TimeoutError:
            continue
        except (ConnectionResetError, BrokenPipeError):
            return
    raise TimeoutError


def test_a_thousand_incomplete_requests_delay_no_other_client(
    clock_fixture: ClockFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Probes are answered at once while many such connections are open, and while they are closed."""
    monkeypatch.setattr(connections, "HEADERS_TIMEOUT_S", 2.0)
    clock_fixture.publish(*ticks(2))
    with serving(clock_fixture) as served:
        held = asyncio.run(_half_open(served, 1_000))

    assert max(held) < 2.0
    assert sorted(held)[len(held) // 2] < 0.2


async def _half_open(served: RunningService, count: int) -> list[float]:
    opened = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(count)]
    for _, writer in opened:
        writer.write(b"GET /v1/clocks HTTP/1.1\r\nHost: ")
    took = [await asyncio.to_thread(livez_took_s, served.port) for _ in range(20)]
    for reader, writer in opened:
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()
    took += [await asyncio.to_thread(livez_took_s, served.port)]
    return took


def test_the_end_waits_for_no_client_that_owes_something(
    clock_fixture: ClockFixture, caplog: pytest.LogCaptureFixture
) -> None:
    """At shutdown, stalled streams and incomplete requests delay the end by 1 s, not by the whole grace period."""
    caplog.set_level(logging.WARNING)
    clock_fixture.publish(*ticks(2_000))
    body = f"POST {REPORTS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{{"
    with (
        serving(clock_fixture) as served,
        connected(served.port, receive_buffer=SMALL) as deaf,
        connected(served.port) as half,
        connected(served.port) as less,
    ):
        deaf.sendall(get(f"{STREAM}?after={ELEVEN}"))
        half.sendall(body.encode())
        less.sendall(b"GET /li")
        eventually(lambda: live(served).streams == 1, what="the stream to begin")
        eventually(lambda: len(served.server.server_state.tasks) == 2, what="both requests to wait")
        livez_took_s(served.port)
        began = time.monotonic()
        served.stop()
        took = time.monotonic() - began

    assert took < 4
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_connection_that_opens_during_shutdown_is_closed(clock_fixture: ClockFixture) -> None:
    """The listener may accept a connection a moment before it is closed: the end does not wait for its request."""
    with serving(clock_fixture) as served:
        served.app.state.closing.set()
        with connected(served.port) as late:
            late.settimeout(5)
            late.sendall(b"POST /v1/clocks HT")
            assert _closed(late)


def _closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(65_536) == b""
    except ConnectionResetError:
        return True
