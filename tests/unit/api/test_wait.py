"""`/v1/clocks/{clock}/wait`: 200 only once everything before the time has been processed."""

import time

import httpx2
import pytest
from fastapi.testclient import TestClient

from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.partition import Partition
from tests.unit.api.clock_fixture import NOON, TOPIC, ClockFixture, after, ticks
from tests.unit.api.conftest import ClientOf
from tests.unit.api.openapi_contract import problem_name
from tests.unit.api.running_service import serving

URL = "/v1/clocks/checkins/wait"
ELEVEN = NOON - 3_600


@pytest.mark.parametrize(
    ("until", "answers"),
    [
        ("2026-11-22T11:02:00Z", ELEVEN + 120),
        ("2026-11-22T11:01:00.001Z", ELEVEN + 120),
        ("2026-11-22T11:01:00.0001Z", ELEVEN + 120),
        (f"{ELEVEN + 60}.0001", ELEVEN + 120),
        ("2026-11-22T11:04:00Z", ELEVEN + 240),
        (str(ELEVEN), ELEVEN),
        ("0", ELEVEN),
    ],
)
def test_a_time_that_is_reached_is_answered_at_once(
    clock_fixture: ClockFixture, client: TestClient, until: str, answers: int
) -> None:
    """200 with the first tick at or after the time."""
    clock_fixture.publish(*ticks(5))
    clock_fixture.read()

    response = client.get(URL, params={"until": until})

    assert response.status_code == 200
    assert response.json()["timestamp_seconds"] == answers


def test_a_reached_time_needs_no_store(client_of: ClientOf) -> None:
    """200 for a time whose tick is no longer kept, with the oldest tick in memory."""
    clock_fixture = ClockFixture(keep=2)
    clock_fixture.publish(*ticks(10))
    clock_fixture.read()
    clock_fixture.server.broken = True

    response = client_of(clock_fixture).get(URL, params={"until": ELEVEN})

    assert (response.status_code, response.json()["timestamp_seconds"]) == (200, ELEVEN + 8 * 60)


def test_a_time_that_is_not_reached_is_never_a_success(clock_fixture: ClockFixture, client: TestClient) -> None:
    """409 with the state, and the partitions that have not reached the time."""
    clock_fixture.publish(*ticks(5))
    clock_fixture.report(NOON + 10, ELEVEN + 250)
    clock_fixture.publish_hold(Hold(Reason.PARTITION_BEHIND, (Partition(TOPIC, 1),), "slow"))
    clock_fixture.read()

    response = client.get(URL, params={"until": "2026-11-22T11:05:00Z", "timeout": 0})

    assert problem_name(response) == "clock-not-reached"
    body = response.json()
    assert body["until"] == "2026-11-22T11:05:00Z"
    assert body["state"] == client.get("/v1/clocks/checkins").json()
    assert body["state"]["hold"]["reason"] == "partition_behind"
    assert [(holder["topic"], holder["partition"]) for holder in body["holders"]] == [(TOPIC, 1)]
    assert "2026-11-22T11:04:00Z" in body["detail"]
    assert f"holding, partition_behind since 2026-11-22T11:04:02Z ({TOPIC}:1): slow" in body["detail"]


def test_only_partitions_that_hold_the_clock_are_named(clock_fixture: ClockFixture, client: TestClient) -> None:
    """The detail names only partitions of a hold; `holders` has the slowest in any case."""
    clock_fixture.publish(*ticks(5))
    clock_fixture.report(ELEVEN + 240, ELEVEN + 250)
    asked = {"until": "2026-11-22T11:05:00Z", "timeout": "0"}
    clock_fixture.read()
    at_large = client.get(URL, params=asked).json()
    clock_fixture.publish_hold(Hold(Reason.NO_LEADER, (), "no process leads"))
    clock_fixture.read()
    unled = client.get(URL, params=asked).json()

    assert [len(body["holders"]) for body in (at_large, unled)] == [2, 2]
    assert [TOPIC in body["detail"] for body in (at_large, unled)] == [False, False]


def test_between_two_boundaries_only_the_later_one_answers(clock_fixture: ClockFixture, client: TestClient) -> None:
    """A time 1 ms after the last tick is not reached."""
    clock_fixture.publish(*ticks(5))
    clock_fixture.read()

    response = client.get(URL, params={"until": "2026-11-22T11:04:00.001Z", "timeout": 0})

    assert response.status_code == 409


def test_it_waits_for_the_boundary_and_for_no_earlier_one() -> None:
    """The request is answered by the first tick at or after the time, not by earlier ones."""
    clock_fixture = ClockFixture()
    (first,) = ticks(1)
    clock_fixture.publish(first)
    with serving(clock_fixture) as served, httpx2.Client(base_url=served.url, timeout=30) as client:

        def publish() -> None:
            for tick in after(first, 3):
                clock_fixture.publish(tick)

        began = time.monotonic()
        with served.once_asked(publish):
            response = client.get(URL, params={"until": ELEVEN + 100, "timeout": 25})
        took = time.monotonic() - began

    assert (response.status_code, response.json()["timestamp_seconds"]) == (200, ELEVEN + 120)
    assert took < 20


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({}, "until"),
        ({"until": "tomorrow"}, "until"),
        ({"until": str(NOON * 1000)}, "until"),
        ({"until": "0", "timeout": "-1"}, "timeout"),
        ({"until": "0", "timeout": "inf"}, "timeout"),
        ({"untill": "0", "until": "0"}, "untill"),
    ],
)
def test_a_wrong_argument_is_named(client: TestClient, params: dict[str, str], field: str) -> None:
    """422 with the field for an invalid time."""
    response = client.get(URL, params=params)

    assert problem_name(response) == "invalid-request"
    assert response.json()["errors"][0]["field"] == field
