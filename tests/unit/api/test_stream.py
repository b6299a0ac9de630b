"""`/v1/clocks/{clock}/ticks/stream`: each tick once, in order, live and resumed, for many clients."""

import asyncio
import socket
from contextlib import ExitStack
from itertools import islice

import pytest
from fastapi.testclient import TestClient

from clocksvc.api import live_streams
from clocksvc.api.server import BodyPart
from clocksvc.clock.tick import Tick
from tests.unit.api.clock_fixture import NOON, ClockFixture, after, ticks
from tests.unit.api.conftest import ClientOf
from tests.unit.api.events import streaming
from tests.unit.api.openapi_contract import problem_name
from tests.unit.api.raw_http import connected
from tests.unit.api.running_service import serving
from tests.waiting import eventually

PATH = "/v1/clocks/checkins/ticks/stream"
ELEVEN = NOON - 3_600


def test_a_live_stream_begins_with_the_state(clock_fixture: ClockFixture) -> None:
    """Live: the id of `state` is the last tick; later ticks follow, each with its own id."""
    chain = ticks(3)
    clock_fixture.publish(*chain)
    with serving(clock_fixture) as served, streaming(served.url + PATH) as events:
        state = next(events)
        clock_fixture.publish(*after(chain[2], 2))
        first, second = islice(events, 2)

    assert (state.kind, state.id) == ("state", str(ELEVEN + 120))
    assert state.data["clock"] == "checkins"
    assert state.data["last_tick"]["timestamp_seconds"] == ELEVEN + 120
    assert state.retry is not None
    assert (first.kind, first.id, first.data["timestamp_seconds"]) == ("tick", str(ELEVEN + 180), ELEVEN + 180)
    assert first.data["previous"] == "2026-11-22T11:02:00Z"
    assert (second.kind, second.id) == ("tick", str(ELEVEN + 240))


def test_before_the_first_tick_the_state_has_the_id_zero(clock_fixture: ClockFixture) -> None:
    """Before the first tick the id is 0; a client that resumes from it gets the first tick."""
    with serving(clock_fixture) as served:
        with streaming(served.url + PATH) as events:
            state = next(events)
            clock_fixture.publish(*ticks(1))
            tick = next(events)
        clock_fixture.publish(*after(ticks(1)[0]))
        with streaming(served.url + PATH, last_event_id=state.id) as events:
            resumed = list(islice(events, 3))

    assert (state.kind, state.id, state.data["time"]) == ("state", "0", None)
    assert (tick.id, tick.data["previous"]) == (str(ELEVEN), None)
    assert [event.id for event in resumed] == ["0", str(ELEVEN), str(ELEVEN + 60)]


@pytest.mark.parametrize("how", ["Last-Event-ID", "after", "both"])
def test_a_stream_resumes_behind_what_was_seen(clock_fixture: ClockFixture, how: str) -> None:
    """Resumed: the id of `state` is the cursor; exactly the ticks after it follow. The header takes precedence."""
    clock_fixture.publish(*ticks(5))
    header = ELEVEN + 120 if how != "after" else None
    query = {"after": ELEVEN + 120, "both": ELEVEN}.get(how)
    with serving(clock_fixture) as served, streaming(served.url + PATH, after=query, last_event_id=header) as events:
        seen = list(islice(events, 3))

    assert [(event.kind, event.id) for event in seen] == [
        ("state", str(ELEVEN + 120)),
        ("tick", str(ELEVEN + 180)),
        ("tick", str(ELEVEN + 240)),
    ]


def test_a_stream_resumes_through_memory_and_store() -> None:
    """A cursor older than the ticks in memory misses nothing."""
    clock_fixture = ClockFixture(keep=5)
    clock_fixture.publish(*ticks(700))
    with serving(clock_fixture) as served, streaming(served.url + PATH, after=ELEVEN) as events:
        seen = list(islice(events, 700))

    assert [int(event.id) for event in seen] == [ELEVEN + 60 * number for number in range(700)]


def test_a_cursor_too_old_is_reset_by_name() -> None:
    """A cursor that is too old gets `reset` instead of `state`: the cursor and the oldest kept tick, which follows."""
    clock_fixture = ClockFixture(keep=3)
    clock_fixture.have(ticks(10)[4:])
    with serving(clock_fixture) as served, streaming(served.url + PATH, last_event_id=ELEVEN) as events:
        reset, *kept = islice(events, 7)

    assert (reset.kind, reset.id) == ("reset", str(ELEVEN + 180))
    assert reset.data["cursor"] == "2026-11-22T11:00:00Z"
    assert reset.data["cursor_seconds"] == ELEVEN
    assert reset.data["oldest"]["timestamp_seconds"] == ELEVEN + 240
    assert reset.data["oldest"]["previous"] == "2026-11-22T11:03:00Z"
    assert [int(event.id) for event in kept] == [ELEVEN + 60 * number for number in range(4, 10)]
    assert {event.kind for event in kept} == {"tick"}


def test_a_gap_within_a_stream_is_a_reset_too(clock_fixture: ClockFixture) -> None:
    """If the store lost ticks that a client has not received, the client gets a `reset` and continues after the gap."""
    chain = ticks(30)
    clock_fixture.publish(*chain[:2])
    with serving(clock_fixture) as served, streaming(served.url + PATH) as events:
        next(events)
        clock_fixture.have(chain[20:])
        reset, *kept = islice(events, 11)

    assert (reset.kind, reset.id) == ("reset", str(chain[19].at_ms // 1000))
    assert [int(event.id) * 1000 for event in kept] == [tick.at_ms for tick in chain[20:]]


def test_no_tick_is_repeated_after_a_rebuilt_stream(clock_fixture: ClockFixture) -> None:
    """A flush and a rebuilt stream are invisible: the next event is the next tick."""
    chain = ticks(4)
    clock_fixture.publish(*chain[:3])
    with serving(clock_fixture) as served, streaming(served.url + PATH) as events:
        next(events)
        clock_fixture.server.wipe()
        eventually(lambda: clock_fixture.feed.rebuilding, what="the loss to be seen")
        clock_fixture.lead()
        clock_fixture.have(chain[:2])
        clock_fixture.have(chain)
        tick = next(events)

    assert (tick.kind, int(tick.id) * 1000) == ("tick", chain[3].at_ms)


def test_a_quiet_stream_has_a_comment_now_and_then(
    clock_fixture: ClockFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A comment every 15 s (here faster) keeps the connection alive."""
    assert live_streams.PING_EVERY_S == 15
    monkeypatch.setattr(live_streams, "PING_EVERY_S", 0.05)
    clock_fixture.publish(*ticks(1))
    with serving(clock_fixture) as served, streaming(served.url + PATH) as events:
        _, *quiet = islice(events, 3)
        clock_fixture.publish(*after(ticks(1)[0]))
        tick = next(event for event in events if event.comment is None)

    assert [event.comment for event in quiet] == ["ping", "ping"]
    assert tick.id == str(ELEVEN + 60)


def test_headers_keep_proxies_from_holding_events_back(clock_fixture: ClockFixture, client: TestClient) -> None:
    """The headers forbid caching and buffering; HEAD returns them without waiting."""
    response = client.head(PATH)

    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-accel-buffering"] == "no"
    assert response.content == b""


@pytest.mark.parametrize("given", ["abc", "-5", "1.5", "999999999999", " ", "١٢"])
def test_a_foreign_event_id_is_refused(client: TestClient, given: str) -> None:
    """422 for a `Last-Event-ID` that this stream can't have sent."""
    response = client.get(PATH, headers={b"Last-Event-ID": given.encode()})

    assert problem_name(response) == "invalid-request"
    assert response.json()["errors"][0]["field"] == "Last-Event-ID"


def test_a_stream_does_not_begin_while_its_cursor_is_unknown(client_of: ClientOf) -> None:
    """503 for a cursor that needs the store while it does not answer."""
    clock_fixture = ClockFixture(keep=2)
    clock_fixture.publish(*ticks(10))
    clock_fixture.read()
    client = client_of(clock_fixture)
    clock_fixture.server.broken = True

    response = client.get(PATH, params={"after": ELEVEN})

    assert problem_name(response) == "store-unavailable"


@pytest.mark.parametrize(("at_once", "in_a_write"), [(200, 100), (7, 3)])
def test_many_clients_all_get_each_tick_once(
    clock_fixture: ClockFixture, monkeypatch: pytest.MonkeyPatch, at_once: int, in_a_write: int
) -> None:
    """200 clients, 50 ticks: each client gets each, in order, also if ticks come faster than they are written."""
    monkeypatch.setattr(live_streams, "WRITES_AT_ONCE", at_once)
    monkeypatch.setattr(live_streams, "BATCH_SIZE", in_a_write)
    chain = ticks(51)
    clock_fixture.publish(chain[0])
    with serving(clock_fixture) as served:
        seen = asyncio.run(_follow_many(served.port, clock_fixture, chain[1:], clients=200))

    assert seen == [[tick.at_ms // 1000 for tick in chain[1:]]] * 200


def test_a_tick_is_encoded_once_for_all_clients(clock_fixture: ClockFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick and its frame of the chunked encoding are made once for all streams, and no task of a stream runs."""
    parts: list[bytes] = []

    class Counted(BodyPart):
        """A part that is noted."""

        __slots__ = ()

        def __init__(self, data: bytes) -> None:
            parts.append(data)
            super().__init__(data)

    monkeypatch.setattr(live_streams, "BodyPart", Counted)
    first, second = ticks(2)
    clock_fixture.publish(first)
    with serving(clock_fixture) as served, ExitStack() as opened:
        clients = [opened.enter_context(connected(served.port)) for _ in range(20)]
        for client in clients:
            client.sendall(f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        states = [read_event(client) for client in clients]
        clock_fixture.publish(second)
        seen = [read_event(client) for client in clients]

    assert all(b"event: state\n" in state for state in states)
    assert all(b"event: tick\n" in tick and b"id: %d\n" % (second.at_ms // 1000) in tick for tick in seen)
    assert len([data for data in parts if data]) == 1


def test_a_client_of_http_1_0(clock_fixture: ClockFixture) -> None:
    """It gets ticks without the frames of the chunked encoding."""
    first, second = ticks(2)
    clock_fixture.publish(first)
    with serving(clock_fixture) as served, connected(served.port) as old:
        old.sendall(f"GET {PATH} HTTP/1.0\r\n\r\n".encode())
        state = read_event(old)
        clock_fixture.publish(second)
        tick = read_event(old)

    assert state.partition(b"\r\n\r\n")[2].startswith(b"event: state\n")
    assert tick.startswith(b"event: tick\ndata: {")
    assert tick.endswith(b"\n\n")


def read_event(client: socket.socket) -> bytes:
    """All bytes up to the end of an event."""
    seen = b""
    while b"\n\n" not in seen:
        seen += client.recv(65_536)
    return seen


async def _follow_many(port: int, clock_fixture: ClockFixture, chain: list[Tick], clients: int) -> list[list[int]]:
    began = [asyncio.Event() for _ in range(clients)]
    following = [asyncio.ensure_future(_follow(port, len(chain), event)) for event in began]
    async with asyncio.timeout(60):
        for event in began:
            await event.wait()
        for tick in chain:
            clock_fixture.publish(tick)
            await asyncio.sleep(0)
        return await asyncio.gather(*following)


async def _follow(port: int, count: int, began: asyncio.Event) -> list[int]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    seen: list[int] = []
    ticks_begin = False
    while len(seen) < count:
        line = (await reader.readline()).decode().strip()
        if line == "event: state":
            began.set()
        elif line == "event: tick":
            ticks_begin = True
        elif ticks_begin and line.startswith("id: "):
            seen.append(int(line.removeprefix("id: ")))
    writer.close()
    await writer.wait_closed()
    return seen
