"""What a clock's state says of its heartbeats."""

from dataclasses import replace

from fastapi.testclient import TestClient

from clocksvc.clock.spec import HeartbeatSpec
from tests.unit.api.bed import Bed


def test_the_last_whole_round_and_the_counts(bed: Bed, client: TestClient) -> None:
    """Of all rounds together; a failed record makes no round whole."""
    bed.view.spec = replace(bed.spec, heartbeat=HeartbeatSpec(30_000))
    bed.store.count_heartbeats({"delivered": 2}, success=True)
    bed.time.advance(60)
    bed.store.count_heartbeats({"delivered": 1, "failed": 1}, success=False)
    bed.read()

    assert client.get("/v1/clocks/checkins").json()["heartbeats"] == {
        "every_seconds": 30.0,
        "last_success_at": "2026-11-22T12:00:01Z",
        "delivered": 3,
        "failed": 1,
        "expired": 0,
    }


def test_what_is_not_known_is_null(bed: Bed, client: TestClient) -> None:
    """While the store is out of reach: no zero, and nothing from before."""
    bed.store.count_heartbeats({"delivered": 2}, success=True)
    bed.read()
    bed.store.broken = True
    bed.read()

    assert client.get("/v1/clocks/checkins").json()["heartbeats"] == {
        "every_seconds": None,
        "last_success_at": None,
        "delivered": None,
        "failed": None,
        "expired": None,
    }
