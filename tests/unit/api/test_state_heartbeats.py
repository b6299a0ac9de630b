"""The heartbeats in a clock's state."""

from dataclasses import replace

from fastapi.testclient import TestClient

from clocksvc.clock.spec import HeartbeatSpec
from tests.unit.api.clock_fixture import ClockFixture


def test_the_last_complete_round_and_the_counts(clock_fixture: ClockFixture, client: TestClient) -> None:
    """Counts are of all rounds; a round with a failed record is not complete."""
    clock_fixture.view.spec = replace(clock_fixture.spec, heartbeat=HeartbeatSpec(30_000))
    clock_fixture.store.count_heartbeats({"delivered": 2}, success=True)
    clock_fixture.time.advance(60)
    clock_fixture.store.count_heartbeats({"delivered": 1, "failed": 1}, success=False)
    clock_fixture.read()

    assert client.get("/v1/clocks/checkins").json()["heartbeats"] == {
        "every_seconds": 30.0,
        "last_success_at": "2026-11-22T12:00:01Z",
        "delivered": 3,
        "failed": 1,
        "expired": 0,
    }


def test_what_is_not_known_is_null(clock_fixture: ClockFixture, client: TestClient) -> None:
    """While the store does not answer, counts are null: neither zero nor the last values."""
    clock_fixture.store.count_heartbeats({"delivered": 2}, success=True)
    clock_fixture.read()
    clock_fixture.server.broken = True
    clock_fixture.read()

    assert client.get("/v1/clocks/checkins").json()["heartbeats"] == {
        "every_seconds": None,
        "last_success_at": None,
        "delivered": None,
        "failed": None,
        "expired": None,
    }
