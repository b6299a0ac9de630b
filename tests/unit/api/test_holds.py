"""`GET /v1/clocks/{clock}/holds`: the history of holds, in pages."""

import pytest
from fastapi.testclient import TestClient

from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.partition import Partition
from clocksvc.service.hold_history import hold_history_from_wire
from tests.unit.api.clock_fixture import NOON, TOPIC, ClockFixture
from tests.unit.api.openapi_contract import problem_name

URL = "/v1/clocks/checkins/holds"
BEHIND = Hold(
    Reason.PARTITION_BEHIND, (Partition(TOPIC, 1),), "the slowest partition has not reached the next boundary"
)
PAUSED = Hold(Reason.PAUSED, detail="paused by ann: a migration")


def hold_twice(clock_fixture: ClockFixture) -> None:
    """From 12:00: no hold; from 12:01 a partition is behind, from 12:03 the clock is paused."""
    clock_fixture.time.set(NOON)
    clock_fixture.publish_hold(None)
    clock_fixture.time.advance(60)
    clock_fixture.publish_hold(BEHIND)
    clock_fixture.time.advance(120)
    clock_fixture.publish_hold(PAUSED)


def test_the_history_to_the_letter(clock_fixture: ClockFixture, client: TestClient) -> None:
    """The newest hold first; the one that lasts has no end. The history begins with the first status."""
    hold_twice(clock_fixture)

    assert client.get(URL).json() == {
        "holds": [
            {
                "reason": "paused",
                "began_at": "2026-11-22T12:03:00Z",
                "ended_at": None,
                "partitions": [],
                "detail": "paused by ann: a migration",
                "upstream": None,
            },
            {
                "reason": "partition_behind",
                "began_at": "2026-11-22T12:01:00Z",
                "ended_at": "2026-11-22T12:03:00Z",
                "partitions": [{"topic": TOPIC, "partition": 1}],
                "detail": "the slowest partition has not reached the next boundary",
                "upstream": None,
            },
        ],
        "next": None,
        "kept_since": "2026-11-22T12:00:00Z",
    }


def test_pages(clock_fixture: ClockFixture, client: TestClient) -> None:
    """`next` continues with older holds, and is null on the last page."""
    hold_twice(clock_fixture)
    first = client.get(URL, params={"limit": 1}).json()
    second = client.get(URL, params={"limit": 1, "after": first["next"]}).json()

    assert [hold["reason"] for hold in first["holds"]] == ["paused"]
    assert [hold["reason"] for hold in second["holds"]] == ["partition_behind"]
    assert (first["next"], second["next"]) == ("2026-11-22T12:03:00Z", None)


def test_a_clock_without_a_status_has_no_history(client: TestClient) -> None:
    """No leader has published anything yet."""
    assert client.get(URL).json() == {"holds": [], "next": None, "kept_since": None}


def test_a_store_that_does_not_answer(clock_fixture: ClockFixture, client: TestClient) -> None:
    """503: the history is in the store."""
    clock_fixture.server.broken = True

    assert problem_name(client.get(URL)) == "store-unavailable"


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "after=yesterday", "before=1", "after=1&after=2"])
def test_invalid_arguments_are_rejected(client: TestClient, query: str) -> None:
    """422, as on the other routes."""
    assert problem_name(client.get(f"{URL}?{query}")) == "invalid-request"


def test_a_client_decodes_what_the_service_sends(clock_fixture: ClockFixture, client: TestClient) -> None:
    """Unknown fields are ignored, and an unknown reason of a newer service is kept as text."""
    hold_twice(clock_fixture)
    body = client.get(URL).json()
    body["holds"][1] |= {"reason": "full_moon", "tide": "high"}

    decoded = hold_history_from_wire(body)

    assert [past.hold.reason for past in decoded.holds] == [Reason.PAUSED, "full_moon"]
    assert decoded.kept_since_ms == clock_fixture.time.now_ms() - 180_000
