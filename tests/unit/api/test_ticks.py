"""`/v1/clocks/{clock}/ticks`: each tick once, in order, from any cursor; waits for the next one."""

import time
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from tests.unit.api.clock_fixture import NOON, TOKEN, ClockFixture, after, ticks
from tests.unit.api.conftest import ClientOf
from tests.unit.api.openapi_contract import problem_name
from tests.unit.api.running_service import serving

URL = "/v1/clocks/checkins/ticks"
ELEVEN = NOON - 3_600


def seconds(body: dict[str, Any]) -> list[int]:
    """The timestamps of a page."""
    return [tick["timestamp_seconds"] for tick in body["ticks"]]


def test_a_tick_to_the_letter(clock_fixture: ClockFixture, client: TestClient) -> None:
    """A tick has every field of the contract; `next` is the last tick's time."""
    clock_fixture.publish(*ticks(2))
    clock_fixture.read()

    assert client.get(URL, params={"limit": 1}).json() == {
        "ticks": [
            {
                "clock": "checkins",
                "time": "2026-11-22T11:01:00Z",
                "timestamp_seconds": ELEVEN + 60,
                "previous": "2026-11-22T11:00:00Z",
                "interval_seconds": 60,
                "emitted_at": "2026-11-22T11:01:02Z",
                "excluded": [],
            }
        ],
        "next": "2026-11-22T11:01:00Z",
    }
    assert client.get(URL).json()["ticks"][0]["previous"] is None


def test_without_a_cursor_the_newest_hundred(clock_fixture: ClockFixture, client: TestClient) -> None:
    """Ticks are ascending, and at most `limit`, which is at most 1,000."""
    clock_fixture.publish(*ticks(1_200, first_s=NOON - 86_400))
    clock_fixture.read()
    last = NOON - 86_400 + 1_199 * 60

    assert seconds(client.get(URL).json()) == list(range(last - 99 * 60, last + 1, 60))
    assert seconds(client.get(URL, params={"limit": 1_000}).json()) == list(range(last - 999 * 60, last + 1, 60))
    assert problem_name(client.get(URL, params={"limit": 1_001})) == "invalid-request"


@pytest.mark.parametrize(
    "cursor", ["2026-11-22T11:02:00Z", str(ELEVEN + 120), "2026-11-22T12:02:00+01:00", "2026-11-22T11:02:59.999Z"]
)
def test_after_a_cursor_come_those_that_follow(clock_fixture: ClockFixture, client: TestClient, cursor: str) -> None:
    """A cursor is any time, as RFC 3339 or epoch seconds; it need not be a tick's."""
    clock_fixture.publish(*ticks(5))
    clock_fixture.read()

    page = client.get(URL, params={"after": cursor}).json()

    assert seconds(page) == [ELEVEN + 180, ELEVEN + 240]
    assert page["next"] == "2026-11-22T11:04:00Z"


def test_pages_follow_each_other_through_memory_and_store(client_of: ClientOf) -> None:
    """Paging with `after=next` gives every tick once, whether it is in memory or not."""
    clock_fixture = ClockFixture(keep=10)
    clock_fixture.publish(*ticks(95))
    clock_fixture.read()
    client, cursor, seen = client_of(clock_fixture), "0", list[int]()

    while True:
        page = client.get(URL, params={"after": cursor, "limit": 7}).json()
        if not page["ticks"]:
            break
        seen += seconds(page)
        cursor = page["next"]

    assert seen == [ELEVEN + 60 * number for number in range(95)]


def test_next_is_the_cursor_where_nothing_follows(clock_fixture: ClockFixture, client: TestClient) -> None:
    """`next` of an empty page is the cursor; null only without tick and cursor."""
    assert client.get(URL).json() == {"ticks": [], "next": None}
    assert client.get(URL, params={"after": 5}).json() == {"ticks": [], "next": "1970-01-01T00:00:05Z"}

    clock_fixture.publish(*ticks(1))
    clock_fixture.read()
    assert client.get(URL, params={"after": ELEVEN}).json() == {"ticks": [], "next": "2026-11-22T11:00:00Z"}


def test_next_before_the_first_tick_is_the_beginning_that_init_set(client_of: ClientOf) -> None:
    """A client that continues there gets the first tick, also if many ticks follow before its next request."""
    clock_fixture = ClockFixture(led=False)
    clock_fixture.lead((ELEVEN - 60) * 1000)
    clock_fixture.read()
    client = client_of(clock_fixture)
    first = client.get(URL).json()
    clock_fixture.publish(*ticks(3, previous_s=ELEVEN - 60))
    clock_fixture.read()
    following = client.get(URL, params={"after": first["next"], "limit": 1}).json()

    assert first == {"ticks": [], "next": "2026-11-22T10:59:00Z"}
    assert seconds(following) == [ELEVEN]


def test_a_cursor_too_old_is_refused_with_the_oldest_kept(client_of: ClientOf) -> None:
    """410 rather than a page with a gap; the oldest kept tick's `previous` is a valid cursor."""
    clock_fixture = ClockFixture(keep=2)
    clock_fixture.have(ticks(10)[4:])
    clock_fixture.read()
    client = client_of(clock_fixture)

    response = client.get(URL, params={"after": ELEVEN + 60})

    assert problem_name(response) == "cursor-too-old"
    body = response.json()
    assert body["cursor"] == "2026-11-22T11:01:00Z"
    assert body["oldest"] == {
        "time": "2026-11-22T11:04:00Z",
        "timestamp_seconds": ELEVEN + 240,
        "previous": "2026-11-22T11:03:00Z",
    }
    good = client.get(URL, params={"after": body["oldest"]["previous"]}).json()
    assert seconds(good)[0] == ELEVEN + 240


def test_a_lost_stream_gives_no_old_ticks(client_of: ClientOf) -> None:
    """While the stream is rebuilt: ticks in memory are given; for older ones 503 with Retry-After."""
    clock_fixture = ClockFixture(keep=2)
    clock_fixture.publish(*ticks(10))
    clock_fixture.read()
    clock_fixture.have([])
    clock_fixture.read()
    client = client_of(clock_fixture)

    assert seconds(client.get(URL, params={"after": ELEVEN + 8 * 60}).json()) == [ELEVEN + 9 * 60]
    response = client.get(URL, params={"after": ELEVEN})
    assert problem_name(response) == "rebuilding"
    assert response.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("params", "field", "says"),
    [
        ({"after": "yesterday"}, "after", "RFC 3339"),
        ({"after": "2026-11-22T12:00:00"}, "after", "offset"),
        ({"after": str(NOON * 1000)}, "after", "milliseconds"),
        ({"after": "-1"}, "after", "zero or more"),
        ({"after": ""}, "after", "RFC 3339"),
        ({"limit": "0"}, "limit", "greater than or equal to 1"),
        ({"timeout": "56"}, "timeout", "less than or equal to 55"),
        ({"timeout": "nan"}, "timeout", "finite"),
        ({"untill": "5"}, "untill", "after, limit, timeout"),
    ],
)
def test_a_wrong_argument_is_named(client: TestClient, params: dict[str, str], field: str, says: str) -> None:
    """422 with the field, its value and what is wanted, also for unknown parameters."""
    response = client.get(URL, params=params)

    assert problem_name(response) == "invalid-request"
    (error,) = response.json()["errors"]
    assert (error["field"], error["value"]) == (field, params[field])
    assert says in error["wanted"]


def test_a_parameter_given_twice_is_refused(client: TestClient) -> None:
    """422 for a parameter that occurs twice."""
    response = client.get(URL, params=[("after", "1"), ("after", "2")])
    assert problem_name(response) == "invalid-request"


def test_a_long_poll_ends_with_the_tick() -> None:
    """The request waits, and is answered as soon as there is a tick after its cursor."""
    clock_fixture = ClockFixture()
    (first,) = ticks(1)
    clock_fixture.publish(first)
    with serving(clock_fixture) as served, httpx2.Client(base_url=served.url, timeout=30) as client:
        began = time.monotonic()
        with served.once_asked(lambda: clock_fixture.publish(*after(first))):
            page = client.get(URL, params={"after": ELEVEN, "timeout": 25}).json()
        took = time.monotonic() - began

    assert seconds(page) == [ELEVEN + 60]
    assert took < 20


def test_a_long_poll_waits_for_a_clocks_first_tick() -> None:
    """Without a cursor the request waits for the first tick."""
    clock_fixture = ClockFixture()
    with (
        serving(clock_fixture) as served,
        httpx2.Client(base_url=served.url, timeout=30) as client,
        served.once_asked(lambda: clock_fixture.publish(*ticks(1))),
    ):
        page = client.get(URL, params={"timeout": 25}).json()

    assert seconds(page) == [ELEVEN]


def test_a_long_poll_ends_with_its_time(clock_fixture: ClockFixture, client: TestClient) -> None:
    """After the timeout the page is empty, and `next` is the cursor."""
    clock_fixture.publish(*ticks(1))
    clock_fixture.read()
    began = time.monotonic()
    page = client.get(URL, params={"after": ELEVEN, "timeout": 0.3}).json()

    assert page == {"ticks": [], "next": "2026-11-22T11:00:00Z"}
    assert time.monotonic() - began >= 0.3


def test_a_cursor_into_ticks_that_are_restored_is_no_cursor_too_old(client_of: ClientOf) -> None:
    """503 until the ticks are there, then the ticks; live ones are given meanwhile."""
    clock_fixture, chain = ClockFixture(led=False), ticks(6)
    clock_fixture.lead(chain[3].at_ms, restoring=True)
    clock_fixture.publish(*chain[4:])
    clock_fixture.read()
    client, old = client_of(clock_fixture), {"after": chain[1].at_ms // 1000}

    assert problem_name(client.get(URL, params=old)) == "rebuilding"
    assert seconds(client.get(URL).json()) == [tick.at_ms // 1000 for tick in chain[4:]]
    assert client.get("/v1/clocks/checkins").json()["status"] != "rebuilding"

    clock_fixture.store.stage(TOKEN, chain, first=True)
    assert clock_fixture.store.finish_restoring(TOKEN)
    assert seconds(client.get(URL, params=old).json()) == [tick.at_ms // 1000 for tick in chain[2:]]
