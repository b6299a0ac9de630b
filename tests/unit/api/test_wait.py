"""`/v1/clocks/{clock}/wait`: 200 only once everything before the time has been processed."""

import time

import httpx2
import pytest
from fastapi.testclient import TestClient

from clocksvc.clock.holds import (
    Hold,
    Reason,
)
from clocksvc.clock.partition import Partition
from tests.unit.api.bed import (
    NOON,
    TOPIC,
    Bed,
    after,
    ticks,
)
from tests.unit.api.conftest import ClientOf
from tests.unit.api.contract import problem_name
from tests.unit.api.served import serving

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
def test_a_time_that_is_reached_is_answered_at_once(bed: Bed, client: TestClient, until: str, answers: int) -> None:
    """With the first tick at or after it."""
    bed.publish(*ticks(5))
    bed.read()

    response = client.get(URL, params={"until": until})

    assert response.status_code == 200
    assert response.json()["timestamp_seconds"] == answers


def test_a_reached_time_needs_no_store(client_of: ClientOf) -> None:
    """Whether it is still kept or not, what is known is answered: with the oldest tick in memory."""
    bed = Bed(keep=2)
    bed.publish(*ticks(10))
    bed.read()
    bed.store.broken = True

    response = client_of(bed).get(URL, params={"until": ELEVEN})

    assert (response.status_code, response.json()["timestamp_seconds"]) == (200, ELEVEN + 8 * 60)


def test_a_time_that_is_not_reached_is_never_a_success(bed: Bed, client: TestClient) -> None:
    """409 with the state, and the partitions that are not there yet."""
    bed.publish(*ticks(5))
    bed.report(NOON + 10, ELEVEN + 250)
    bed.say(Hold(Reason.PARTITION_BEHIND, (Partition(TOPIC, 1),), "slow"))
    bed.read()

    response = client.get(URL, params={"until": "2026-11-22T11:05:00Z", "timeout": 0})

    assert problem_name(response) == "clock-not-reached"
    body = response.json()
    assert body["until"] == "2026-11-22T11:05:00Z"
    assert body["state"] == client.get("/v1/clocks/checkins").json()
    assert body["state"]["hold"]["reason"] == "partition_behind"
    assert [(holder["topic"], holder["partition"]) for holder in body["holders"]] == [(TOPIC, 1)]
    assert "2026-11-22T11:04:00Z" in body["detail"]
    assert f"{TOPIC}:1" in body["detail"]


def test_only_partitions_that_hold_the_clock_are_named(bed: Bed, client: TestClient) -> None:
    """The slowest of a clock that runs, or that holds for another reason, are in `holders`, not in the sentence."""
    bed.publish(*ticks(5))
    bed.report(ELEVEN + 240, ELEVEN + 250)
    asked = {"until": "2026-11-22T11:05:00Z", "timeout": "0"}
    bed.read()
    at_large = client.get(URL, params=asked).json()
    bed.say(Hold(Reason.NO_LEADER, (), "nobody leads"))
    bed.read()
    unled = client.get(URL, params=asked).json()

    assert [len(body["holders"]) for body in (at_large, unled)] == [2, 2]
    assert [TOPIC in body["detail"] for body in (at_large, unled)] == [False, False]


def test_between_two_boundaries_only_the_later_one_answers(bed: Bed, client: TestClient) -> None:
    """A millisecond behind the last tick is not reached."""
    bed.publish(*ticks(5))
    bed.read()

    response = client.get(URL, params={"until": "2026-11-22T11:04:00.001Z", "timeout": 0})

    assert response.status_code == 409


def test_it_waits_for_the_boundary_and_for_no_earlier_one() -> None:
    """Ticks before it do not answer; the first at or after it does, at once."""
    bed = Bed()
    (first,) = ticks(1)
    bed.publish(first)
    with serving(bed) as served, httpx2.Client(base_url=served.url, timeout=30) as client:

        def publish() -> None:
            for tick in after(first, 3):
                bed.publish(tick)

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
    """422 with the field."""
    response = client.get(URL, params=params)

    assert problem_name(response) == "invalid-request"
    assert response.json()["errors"][0]["field"] == field
