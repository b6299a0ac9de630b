"""A clock's public state as JSON: the fields and values of `GET /v1/clocks/{clock}`, and what decoding them gives."""

from dataclasses import replace
from typing import Any

import pytest

from clocksvc.api import models
from clocksvc.clock.holds import Hold, Reason, Status
from clocksvc.clock.overrides import Exclusion, Pause
from clocksvc.clock.partition import Outcome, Partition
from clocksvc.clock.tick import Tick
from clocksvc.interfaces.observations import PartitionObservation, UpstreamObservation
from clocksvc.service.public_state import (
    HeartbeatState,
    ObserverState,
    PartitionCounts,
    PublicPartition,
    PublicState,
    state_from_wire,
    state_to_wire,
)
from clocksvc.service.schedules_state import SchedulesState
from tests.public_states import public_state

pytestmark = pytest.mark.core

NOON_MS = 1_795_348_800_000


def holding_state() -> PublicState:
    """A state in which every field has a value."""
    return PublicState(
        clock="checkins",
        last_tick=Tick("checkins", NOON_MS, NOON_MS - 60_000, 60_000, NOON_MS + 2_000, (Partition("events", 1),)),
        interval_ms=60_000,
        hold_after_ms=120_500,
        max_out_of_orderness_ms=2_000,
        behind_ms=125_007,
        due_ticks=1_440,
        status=Status.HOLDING,
        hold=Hold(Reason.PARTITION_BEHIND, (Partition("events", 0),), "the slowest partition is behind"),
        hold_since_ms=NOON_MS + 2_000,
        partitions=PartitionCounts(known=1, unknown=2, excluded=1, rejected=1),
        exclusions=(Exclusion(Partition("events", 1), "ops", NOON_MS - 1_000, "disk died"),),
        pause=Pause("ops", NOON_MS + 3_000, "maintenance"),
        slowest=(
            PublicPartition(Partition("events", 2), None, None, None, None, excluded=False, rejected=None),
            PublicPartition(
                Partition("events", 0),
                clock_ms=NOON_MS + 123,
                behind_ms=124_884,
                reported_at_ms=NOON_MS + 3_000,
                reported_timestamp_ms=NOON_MS + 2_123,
                excluded=False,
                rejected=Outcome.TOO_FAR_AHEAD,
                observed=PartitionObservation(10, 12, "not_processed"),
            ),
        ),
        leader="host-1:4711",
        topics=("events",),
        group="consumers",
        source="committed",
        after=(
            UpstreamObservation(
                "raw",
                "https://other",
                NOON_MS,
                "holding",
                {"reason": "paused", "since": "2026-11-22T12:00:02Z", "partitions": [], "detail": "paused by ops"},
            ),
            UpstreamObservation("new", "", None, problem="no answer"),
        ),
        observer=ObserverState(NOON_MS + 125_000, "the group is a share group", {"not_processed": 2}, 7, 0),
        heartbeats=HeartbeatState(30_000, NOON_MS, {"delivered": 3, "failed": 1, "expired": 0}),
        schedules=SchedulesState(8, 7, 2, 1, 0.25, 1_000, 1, 16.5, 3, NOON_MS - 60_000, ("partition 3: no answer",)),
    )


HOLDING_JSON: dict[str, Any] = {
    "clock": "checkins",
    "time": "2026-11-22T12:00:00Z",
    "timestamp_seconds": 1_795_348_800,
    "interval_seconds": 60,
    "hold_after_seconds": 120.5,
    "max_out_of_orderness_seconds": 2.0,
    "behind_seconds": 125.007,
    "due_ticks": 1_440,
    "status": "holding",
    "hold": {
        "reason": "partition_behind",
        "partitions": [{"topic": "events", "partition": 0}],
        "detail": "the slowest partition is behind",
        "upstream": None,
        "since": "2026-11-22T12:00:02Z",
    },
    "partitions": {"known": 1, "unknown": 2, "excluded": 1, "rejected": 1},
    "exclusions": [
        {"topic": "events", "partition": 1, "by": "ops", "at": "2026-11-22T11:59:59Z", "reason": "disk died"}
    ],
    "pause": {"by": "ops", "at": "2026-11-22T12:00:03Z", "reason": "maintenance"},
    "slowest": [
        {
            "topic": "events",
            "partition": 2,
            "time": None,
            "timestamp_ms": None,
            "behind_seconds": None,
            "reported_at": None,
            "reported_timestamp_ms": None,
            "excluded": False,
            "refused": None,
            "committed_offset": None,
            "end_offset": None,
            "waits_for": None,
        },
        {
            "topic": "events",
            "partition": 0,
            "time": "2026-11-22T12:00:00.123Z",
            "timestamp_ms": NOON_MS + 123,
            "behind_seconds": 124.884,
            "reported_at": "2026-11-22T12:00:03Z",
            "reported_timestamp_ms": NOON_MS + 2_123,
            "excluded": False,
            "refused": "too_far_ahead",
            "committed_offset": 10,
            "end_offset": 12,
            "waits_for": "not_processed",
        },
    ],
    "leader": "host-1:4711",
    "topics": ["events"],
    "group": "consumers",
    "source": "committed",
    "after": [
        {
            "clock": "raw",
            "url": "https://other",
            "time": "2026-11-22T12:00:00Z",
            "timestamp_seconds": 1_795_348_800,
            "status": "holding",
            "hold": {"reason": "paused", "since": "2026-11-22T12:00:02Z", "partitions": [], "detail": "paused by ops"},
            "problem": "",
        },
        {
            "clock": "new",
            "url": "",
            "time": None,
            "timestamp_seconds": None,
            "status": None,
            "hold": None,
            "problem": "no answer",
        },
    ],
    "observer": {
        "observed_at": "2026-11-22T12:02:05Z",
        "problem": "the group is a share group",
        "waiting": {"not_processed": 2},
        "skipped_records": 7,
        "committed_partitions": 0,
    },
    "heartbeats": {
        "every_seconds": 30.0,
        "last_success_at": "2026-11-22T12:00:00Z",
        "delivered": 3,
        "failed": 1,
        "expired": 0,
    },
    "schedules": {
        "partitions": 8,
        "owned": 7,
        "replicas": 2,
        "loading": 1,
        "loaded_ratio": 0.25,
        "count": 1_000,
        "unreadable": 1,
        "due_per_minute": 16.5,
        "missed": 3,
        "position": "2026-11-22T11:59:00Z",
        "problems": ["partition 3: no answer"],
    },
    "last_tick": {
        "clock": "checkins",
        "time": "2026-11-22T12:00:00Z",
        "timestamp_seconds": 1_795_348_800,
        "previous": "2026-11-22T11:59:00Z",
        "interval_seconds": 60,
        "emitted_at": "2026-11-22T12:00:02Z",
        "excluded": [{"topic": "events", "partition": 1}],
    },
}


def test_the_json_of_the_contract() -> None:
    """Fields, their order and their values, to the letter."""
    assert state_to_wire(holding_state()) == HOLDING_JSON
    assert list(state_to_wire(holding_state())) == list(HOLDING_JSON)


def test_what_is_unknown_is_null() -> None:
    """While the store does not answer, counts are null, and lists are empty."""
    wire = state_to_wire(public_state())

    assert wire["partitions"] == dict.fromkeys(("known", "unknown", "excluded", "rejected"))
    assert wire["heartbeats"] == dict.fromkeys(("every_seconds", "last_success_at", "delivered", "failed", "expired"))
    assert (wire["exclusions"], wire["slowest"]) == ([], [])
    times = ("time", "timestamp_seconds", "behind_seconds", "due_ticks", "last_tick")
    unknown = (*times, "hold", "pause", "leader", "schedules")
    assert [wire[field] for field in unknown] == [None] * len(unknown)


@pytest.mark.parametrize("state", [holding_state(), public_state()], ids=["every field", "nothing known"])
def test_decoding_gives_the_same_state(state: PublicState) -> None:
    """The decoder is the reverse of the encoder; it ignores fields that it does not know."""
    assert state_from_wire(state_to_wire(state) | {"mood": "good"}) == state


def test_values_of_a_newer_service_stay_as_they_came() -> None:
    """An older `clocksvc status` shows a status, a reason and an outcome that it does not know."""
    newer = replace(
        holding_state(),
        status="meditating",
        hold=Hold("moon_phase"),
        slowest=(replace(holding_state().slowest[1], rejected="too_round"),),
    )

    assert state_from_wire(state_to_wire(newer)) == newer


@pytest.mark.parametrize(
    "wire",
    [{}, HOLDING_JSON | {"hold": "yes"}, HOLDING_JSON | {"last_tick": {}}, HOLDING_JSON | {"behind_seconds": "soon"}],
)
def test_other_json_is_an_error(wire: dict[str, Any]) -> None:
    """JSON that is not a clock's state raises one of the documented exceptions."""
    with pytest.raises((AttributeError, LookupError, TypeError, ValueError)):
        state_from_wire(wire)


def test_the_openapi_documents_exactly_these_fields() -> None:
    """The models of the OpenAPI have the encoder's fields, in its order, at every level."""
    documented = models.ClockStateResponse.model_validate(HOLDING_JSON).model_dump(mode="json")

    assert documented == HOLDING_JSON
    assert list(documented) == list(HOLDING_JSON)
    assert list(documented["slowest"][0]) == list(HOLDING_JSON["slowest"][0])
