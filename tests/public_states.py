"""A clock's public state for tests: nothing is known of it except what the test names."""

from typing import Any

from clocksvc.clock.holds import Status
from clocksvc.service.public_state import HeartbeatState, PublicState


def public_state(**fields: Any) -> PublicState:
    """The state of clock `checkins` with these fields."""
    unknown: dict[str, Any] = {
        "clock": "checkins",
        "last_tick": None,
        "interval_ms": 60_000,
        "hold_after_ms": 120_000,
        "max_out_of_orderness_ms": None,
        "behind_ms": None,
        "status": Status.STARTING,
        "hold": None,
        "hold_since_ms": None,
        "partitions": None,
        "exclusions": (),
        "pause": None,
        "slowest": (),
        "leader": None,
        "topics": ("ingest",),
        "group": "consumers",
        "heartbeats": HeartbeatState(None, None, None),
    }
    return PublicState(**(unknown | fields))
