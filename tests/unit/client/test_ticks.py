"""`ticks`: each tick once, in order, none missing, despite any failure; and `wait_until`. Over both drivers."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice

import pytest

from clocksvc.clock.tick import Tick
from clocksvc.errors import ChainBroken, CursorTooOld, InvalidValue, RequestRejected, ServiceUnavailable, UnknownClock
from tests.http_stub import Asked, HttpStub, Reply, problem
from tests.unit.client.drivers import Driver
from tests.waiting import eventually

pytestmark = pytest.mark.core

START = 1_795_348_800
"""2026-11-22T12:00:00Z, in seconds. The clock of these tests ticks every minute."""


def rfc3339(seconds: int) -> str:
    """A time as the service writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def wire_tick(minute: int, previous: int | None = -1) -> dict[str, object]:
    """The tick `minute` minutes after START; `previous` is in minutes, by default the minute before."""
    before = minute - 1 if previous == -1 else previous
    return {
        "clock": "checkins",
        "time": rfc3339(START + 60 * minute),
        "timestamp_seconds": START + 60 * minute,
        "previous": None if before is None else rfc3339(START + 60 * before),
        "interval_seconds": 60,
        "emitted_at": rfc3339(START + 60 * minute + 2),
        "excluded": [],
    }


def event(kind: str, at: int, data: object) -> bytes:
    """One server-sent event."""
    return f"event: {kind}\ndata: {json.dumps(data)}\nid: {at}\n\n".encode()


def tick_event(minute: int, previous: int | None = -1) -> bytes:
    """The event of a tick."""
    return event("tick", START + 60 * minute, wire_tick(minute, previous))


def state_event(at: int) -> bytes:
    """The first event of a stream that begins at a time."""
    return event("state", at, {"clock": "checkins"})


class Script:
    """Answers the first request with the first reply, and so on; repeats the last reply."""

    def __init__(self, *replies: Reply | list[bytes]) -> None:
        self._replies = [reply if isinstance(reply, Reply) else Reply(parts=reply) for reply in replies]

    def __call__(self, asked: Asked) -> Reply:
        return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]


def cursors(stub: HttpStub) -> list[str | None]:
    """The cursor of each connection."""
    return [asked.query.get("after") for asked in stub.asked]


def minutes(driver: Driver, stub: HttpStub, number: int, **arguments: object) -> list[int]:
    """The first ticks of a subscriber, in minutes after START."""
    found = islice(driver.ticks(stub.url, "checkins", **arguments), number)
    return [(tick.at_ms // 1000 - START) // 60 for tick in found]


def test_ticks_come_as_values(driver: Driver) -> None:
    """Times are in milliseconds."""
    with HttpStub(Script([state_event(START), tick_event(1)])) as stub:
        (tick,) = islice(driver.ticks(stub.url, "checkins"), 1)

    assert (tick.clock, tick.at_ms, tick.previous_ms) == ("checkins", (START + 60) * 1000, START * 1000)
    assert (tick.interval_ms, tick.emitted_at_ms, tick.excluded) == (60_000, (START + 62) * 1000, ())
    assert stub.asked[0].path == "/v1/clocks/checkins/ticks/stream"


def test_a_lost_connection_resumes_after_the_last_tick(driver: Driver) -> None:
    """Also after several losses, by an end or by an error; a tick that comes twice is yielded once."""
    with HttpStub(
        Script(
            [state_event(START), tick_event(1), tick_event(2)],
            problem(503, "rebuilding"),
            Reply(500, "oh"),
            Reply(parts=[state_event(START + 120), b"event: ti"], cut=True),
            [state_event(START + 120), tick_event(2), tick_event(3)],
            [state_event(START + 180), tick_event(4)],
        )
    ) as stub:
        assert minutes(driver, stub, 4, token="s3cret") == [1, 2, 3, 4]

    after_2, after_3 = rfc3339(START + 120), rfc3339(START + 180)

    assert cursors(stub) == [None, after_2, after_2, after_2, after_2, after_3]
    assert {asked.headers["authorization"] for asked in stub.asked} == {"Bearer s3cret"}


def test_a_live_stream_that_is_lost_before_its_first_tick_misses_none(driver: Driver) -> None:
    """It resumes from its start, also before a clock's first tick."""
    with HttpStub(Script([state_event(START)], [state_event(START), tick_event(1), tick_event(2)])) as stub:
        assert minutes(driver, stub, 2) == [1, 2]
        assert cursors(stub) == [None, rfc3339(START)]

    with HttpStub(Script([state_event(0)], [state_event(0), tick_event(1, None), tick_event(2)])) as stub:
        assert minutes(driver, stub, 2) == [1, 2]
        assert cursors(stub) == [None, rfc3339(0)]


def test_it_waits_for_a_service_that_is_not_up_yet(driver: Driver) -> None:
    """It retries with a back-off; the subscriber needs no loop."""
    with HttpStub(lambda asked: Reply()) as stub:
        port = stub.port
    found: list[int] = []
    later = HttpStub(Script([state_event(START), tick_event(1)]), port)
    reader = threading.Thread(target=lambda: found.extend(minutes(driver, later, 1)))
    reader.start()
    with later:
        eventually(lambda: found == [1])
    reader.join()


@pytest.mark.parametrize(
    ("after", "asked"),
    [
        (START, rfc3339(START)),
        (START + 0.25, "2026-11-22T12:00:00.250Z"),
        ("2026-11-22T13:00:00+01:00", rfc3339(START)),
        (str(START), rfc3339(START)),
        (datetime.fromtimestamp(START, timezone(timedelta(hours=2))), rfc3339(START)),
        (0, rfc3339(0)),
    ],
)
def test_after_takes_every_form_of_time(driver: Driver, after: object, asked: str) -> None:
    """Epoch seconds, RFC 3339 and datetimes with a zone."""
    with HttpStub(Script([state_event(START), tick_event(1, 0)])) as stub:
        assert minutes(driver, stub, 1, after=after) == [1]
    assert cursors(stub) == [asked]


def test_after_takes_a_tick(driver: Driver) -> None:
    """A tick of this clock; the stream resumes after it."""
    with HttpStub(Script([state_event(START + 60), tick_event(2)])) as stub:
        assert minutes(driver, stub, 1, after=Tick.from_wire(wire_tick(1))) == [2]
    assert cursors(stub) == [rfc3339(START + 60)]

    with pytest.raises(InvalidValue, match="wanted a tick of clock 'bills'"):
        driver.ticks(stub.url, "bills", after=Tick.from_wire(wire_tick(1)))


@pytest.mark.parametrize("after", [datetime(2026, 11, 22), "noon", START * 1000, -1, True, [START]])  # noqa: DTZ001
def test_an_invalid_time_raises_at_once(driver: Driver, after: object) -> None:
    """The call itself raises, with the name of the argument."""
    with pytest.raises(InvalidValue, match="after"):
        driver.ticks("http://127.0.0.1:1", "checkins", after=after)
    with pytest.raises(InvalidValue, match="clock"):
        driver.ticks("http://127.0.0.1:1", "No Clock")


def test_a_tick_that_does_not_follow_is_not_yielded(driver: Driver) -> None:
    """It reconnects and resumes after the last tick yielded."""
    with HttpStub(
        Script(
            [state_event(START), tick_event(1), tick_event(3)],
            [state_event(START + 60), tick_event(3)],
            [state_event(START + 60), tick_event(2), tick_event(3)],
        )
    ) as stub:
        assert minutes(driver, stub, 3) == [1, 2, 3]


@pytest.mark.parametrize("driver", ["sync"], indirect=True)  # two seconds of delays; the decision is shared
def test_a_chain_that_stays_broken_is_an_error(driver: Driver) -> None:
    """After a few attempts, because endless retries would hide the failure."""
    with HttpStub(Script([state_event(START), tick_event(1)], [state_event(START + 60), tick_event(3)])) as stub:
        stream = driver.ticks(stub.url, "checkins")
        next(stream)

        with pytest.raises(ChainBroken, match=r"12:03:00Z does not follow 2026-11-22T12:01:00Z"):
            next(stream)


def test_a_cursor_between_two_ticks_is_good(driver: Driver) -> None:
    """A time from another source need not be that of a tick; the first tick after it follows."""
    with HttpStub(Script([state_event(START + 90), tick_event(2), tick_event(3)])) as stub:
        assert minutes(driver, stub, 2, after=START + 90) == [2, 3]


@pytest.mark.parametrize("given", [0, 1])
def test_a_cursor_too_old_is_an_error(driver: Driver, given: int) -> None:
    """Ticks are never skipped silently: the error has the cursor to resume from, at the start of a stream and later."""
    reset = event("reset", START + 540, {"cursor": rfc3339(START), "oldest": wire_tick(10)})
    before = [state_event(START), *(tick_event(minute) for minute in range(1, given + 1))]
    with HttpStub(Script([*(before if given else []), reset, tick_event(10)])) as stub:
        stream = driver.ticks(stub.url, "checkins", after=START)
        for _ in range(given):
            next(stream)
        with pytest.raises(CursorTooOld) as raised:
            next(stream)

    error = raised.value

    assert error.cursor_ms == (START + 60 * given) * 1000
    assert (error.oldest_ms, error.oldest_previous_ms) == ((START + 600) * 1000, (START + 540) * 1000)
    assert str(error) == (
        f"ticks after {rfc3339(START + 60 * given)} are no longer kept; the oldest kept tick is {rfc3339(START + 600)}"
    )


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (problem(401, "unauthenticated"), RequestRejected),
        (problem(403, "forbidden"), RequestRejected),
        (problem(404, "unknown-clock"), UnknownClock),
    ],
)
def test_errors_that_a_retry_cannot_resolve_are_raised_at_once(
    driver: Driver, reply: Reply, error: type[Exception]
) -> None:
    """Credentials and unknown clocks: one request, no retries."""
    with HttpStub(lambda asked: reply) as stub:
        with pytest.raises(error):
            next(driver.ticks(stub.url, "checkins"))
        with pytest.raises(error):
            driver.wait_until(stub.url, "checkins", START)

        assert len(stub.asked) == 2


def test_after_an_invalid_event_it_reconnects(driver: Driver) -> None:
    """An event cut in half by a proxy, or an unknown kind of event."""
    with HttpStub(
        Script(
            [state_event(START), b'event: tick\ndata: {"clock\n\n'],
            [state_event(START), event("news", START, {}), tick_event(1)],
        )
    ) as stub:
        assert minutes(driver, stub, 1) == [1]


def test_a_subscriber_that_stops_hangs_up(driver: Driver) -> None:
    """Closing the iterator closes the connection."""
    hung_up = threading.Event()

    def forever() -> Iterator[bytes]:
        try:
            yield state_event(START) + tick_event(1)
            while True:
                yield b": ping\n\n" * 1_000
        finally:
            hung_up.set()

    with HttpStub(lambda asked: Reply(parts=forever())) as stub:
        stream = driver.ticks(stub.url, "checkins")
        next(stream)
        stream.close()

        assert hung_up.wait(10)


def reached_after(questions: int) -> Callable[[Asked], Reply]:
    """A service whose clock has reached the time at the n-th request; it answers earlier ones at once."""
    seen = iter(range(1, 1_000))
    return lambda asked: Reply(body=wire_tick(1)) if next(seen) >= questions else problem(409, "clock-not-reached")


def test_waiting_ends_when_the_time_is_reached(driver: Driver) -> None:
    """Also if it takes several requests."""
    with HttpStub(reached_after(3)) as stub:
        assert driver.wait_until(stub.url, "checkins", START + 60, token="s3cret")
    assert [asked.query["until"] for asked in stub.asked] == [rfc3339(START + 60)] * 3
    assert all(0 < float(asked.query["timeout"]) <= 25 for asked in stub.asked)
    assert stub.asked[0].headers["authorization"] == "Bearer s3cret"


def test_the_time_is_rounded_up_to_the_millisecond(driver: Driver) -> None:
    """Rounded down, it would be reached too early: a fraction of a millisecond asks for the next one."""
    moments = (datetime.fromtimestamp(START, UTC).replace(microsecond=1), START + 0.0001, f"{START}.0001")
    for moment in moments:
        with HttpStub(reached_after(1)) as stub:
            assert driver.wait_until(stub.url, "checkins", moment)
        assert [asked.query["until"] for asked in stub.asked] == [rfc3339(START).replace("Z", ".001Z")]


def test_waiting_ends_at_the_timeout(driver: Driver) -> None:
    """It returns False; with a timeout of 0 after one request."""
    with HttpStub(reached_after(10**6)) as stub:
        assert not driver.wait_until(stub.url, "checkins", START, timeout=0)
        assert [asked.query["timeout"] for asked in stub.asked] == ["0.0"]
        assert not driver.wait_until(stub.url, "checkins", START, timeout=0.3)


def test_waiting_retries_after_errors(driver: Driver) -> None:
    """An unavailable service is asked again; if the last request fails, the result is not known."""
    with HttpStub(Script(problem(503, "shutting-down"), Reply(500, "oh"), Reply(body=wire_tick(1)))) as stub:
        assert driver.wait_until(stub.url, "checkins", START, timeout=30)
    with HttpStub(Script(problem(503, "shutting-down"))) as stub, pytest.raises(ServiceUnavailable):
        driver.wait_until(stub.url, "checkins", START, timeout=0.2)


@pytest.mark.parametrize(
    ("page", "named"),
    [
        (Reply(parts=[b"<html>Please log in</html>"]), "no JSON object"),
        (Reply(204), "status 204"),
        (Reply(body=[]), "no JSON object"),
        (Reply(body={"login": "https://sso.example"}), "https://sso.example"),
        (Reply(body=wire_tick(0)), rfc3339(START)),
        (Reply(body=wire_tick(5) | {"clock": "bills"}), "bills"),
        (Reply(body=wire_tick(5) | {"timestamp_seconds": None}), '"timestamp_seconds": null'),
    ],
    ids=["a login page", "no content", "a list", "other JSON", "a tick before", "another clock's tick", "half a tick"],
)
def test_only_a_tick_of_the_clock_at_the_time_or_later_ends_waiting(driver: Driver, page: Reply, named: str) -> None:
    """A proxy's page with status 200 must not start a job; the error shows the response."""
    with HttpStub(Script(page)) as stub, pytest.raises(ServiceUnavailable, match="is not clocksvc") as raised:
        driver.wait_until(stub.url, "checkins", START + 60, timeout=0)

    assert f"at {rfc3339(START + 60)} or later" in str(raised.value)
    assert named in str(raised.value)

    with HttpStub(Script(page, Reply(body=wire_tick(1)))) as stub:
        assert driver.wait_until(stub.url, "checkins", START + 60, timeout=30)


def test_another_conflict_is_not_taken_for_a_clock_not_reached(driver: Driver) -> None:
    """Only the problem `clock-not-reached` means that."""
    with (
        HttpStub(lambda asked: problem(409, "something-else", "no way")) as stub,
        pytest.raises(RequestRejected, match="no way"),
    ):
        driver.wait_until(stub.url, "checkins", START, timeout=30)


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_an_invalid_timeout_raises(driver: Driver, timeout: float) -> None:
    """The error names the argument."""
    with pytest.raises(InvalidValue, match="timeout"):
        driver.wait_until("http://127.0.0.1:1", "checkins", START, timeout=timeout)
