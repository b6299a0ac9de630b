"""`/v1/clocks/{clock}/ticks`: each tick once, in order, from any cursor; held until there is one."""

import time
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from tests.unit.api.bed import (
    NOON,
    Bed,
    after,
    ticks,
)
from tests.unit.api.conftest import ClientOf
from tests.unit.api.contract import problem_name
from tests.unit.api.served import serving

URL = "/v1/clocks/checkins/ticks"
ELEVEN = NOON - 3_600


def seconds(body: dict[str, Any]) -> list[int]:
    """The timestamps of a page."""
    return [tick["timestamp_seconds"] for tick in body["ticks"]]


def test_a_tick_to_the_letter(bed: Bed, client: TestClient) -> None:
    """Every field of the contract; `next` is the last time given."""
    bed.publish(*ticks(2))
    bed.read()

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


def test_without_a_cursor_the_newest_hundred(bed: Bed, client: TestClient) -> None:
    """Ascending, and as many as asked for, up to a thousand."""
    bed.publish(*ticks(1_200, first_s=NOON - 86_400))
    bed.read()
    last = NOON - 86_400 + 1_199 * 60

    assert seconds(client.get(URL).json()) == list(range(last - 99 * 60, last + 1, 60))
    assert seconds(client.get(URL, params={"limit": 1_000}).json()) == list(range(last - 999 * 60, last + 1, 60))
    assert problem_name(client.get(URL, params={"limit": 1_001})) == "invalid-request"


@pytest.mark.parametrize(
    "cursor", ["2026-11-22T11:02:00Z", str(ELEVEN + 120), "2026-11-22T12:02:00+01:00", "2026-11-22T11:02:59.999Z"]
)
def test_after_a_cursor_come_those_that_follow(bed: Bed, client: TestClient, cursor: str) -> None:
    """A cursor is any time, as RFC 3339 or epoch seconds; it need not be a tick's."""
    bed.publish(*ticks(5))
    bed.read()

    page = client.get(URL, params={"after": cursor}).json()

    assert seconds(page) == [ELEVEN + 180, ELEVEN + 240]
    assert page["next"] == "2026-11-22T11:04:00Z"


def test_pages_follow_each_other_through_memory_and_store(client_of: ClientOf) -> None:
    """With `after=next` every tick is given once, whether it is still in memory or not."""
    bed = Bed(keep=10)
    bed.publish(*ticks(95))
    bed.read()
    client, cursor, seen = client_of(bed), "0", list[int]()

    while True:
        page = client.get(URL, params={"after": cursor, "limit": 7}).json()
        if not page["ticks"]:
            break
        seen += seconds(page)
        cursor = page["next"]

    assert seen == [ELEVEN + 60 * number for number in range(95)]


def test_next_is_the_cursor_where_nothing_follows(bed: Bed, client: TestClient) -> None:
    """So that asking again with it misses nothing; null only where there is neither tick nor cursor."""
    assert client.get(URL).json() == {"ticks": [], "next": None}
    assert client.get(URL, params={"after": 5}).json() == {"ticks": [], "next": "1970-01-01T00:00:05Z"}

    bed.publish(*ticks(1))
    bed.read()
    assert client.get(URL, params={"after": ELEVEN}).json() == {"ticks": [], "next": "2026-11-22T11:00:00Z"}


def test_a_cursor_too_old_is_refused_with_the_oldest_kept(client_of: ClientOf) -> None:
    """410, never a page with a gap; the oldest kept tick's `previous` is a good cursor."""
    bed = Bed(keep=2)
    bed.have(ticks(10)[4:])
    bed.read()
    client = client_of(bed)

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
    """What is in memory is given; for the rest 503 `rebuilding` with when to come back."""
    bed = Bed(keep=2)
    bed.publish(*ticks(10))
    bed.read()
    bed.have([])
    bed.read()
    client = client_of(bed)

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
    """422 with the field, the value and what would be right; an unknown parameter is never passed over."""
    response = client.get(URL, params=params)

    assert problem_name(response) == "invalid-request"
    (error,) = response.json()["errors"]
    assert (error["field"], error["value"]) == (field, params[field])
    assert says in error["wanted"]


def test_a_parameter_given_twice_is_refused(client: TestClient) -> None:
    """Which one counts is not for the service to guess."""
    response = client.get(URL, params=[("after", "1"), ("after", "2")])
    assert problem_name(response) == "invalid-request"


def test_a_long_poll_ends_with_the_tick() -> None:
    """The request is held, and answered as soon as there is a tick after its cursor."""
    bed = Bed()
    (first,) = ticks(1)
    bed.publish(first)
    with serving(bed) as served, httpx2.Client(base_url=served.url, timeout=30) as client:
        began = time.monotonic()
        with served.once_asked(lambda: bed.publish(*after(first))):
            page = client.get(URL, params={"after": ELEVEN, "timeout": 25}).json()
        took = time.monotonic() - began

    assert seconds(page) == [ELEVEN + 60]
    assert took < 20


def test_a_long_poll_waits_for_a_clocks_first_tick() -> None:
    """Without a cursor, too, the request is held while there is nothing to give."""
    bed = Bed()
    with (
        serving(bed) as served,
        httpx2.Client(base_url=served.url, timeout=30) as client,
        served.once_asked(lambda: bed.publish(*ticks(1))),
    ):
        page = client.get(URL, params={"timeout": 25}).json()

    assert seconds(page) == [ELEVEN]


def test_a_long_poll_ends_with_its_time(bed: Bed, client: TestClient) -> None:
    """When no tick came the page is empty and the cursor stays."""
    bed.publish(*ticks(1))
    bed.read()
    began = time.monotonic()
    page = client.get(URL, params={"after": ELEVEN, "timeout": 0.3}).json()

    assert page == {"ticks": [], "next": "2026-11-22T11:00:00Z"}
    assert time.monotonic() - began >= 0.3
