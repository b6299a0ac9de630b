"""The last record of the tick log was written by a newer version, and the service was rolled back."""

import json
from typing import Any

import pytest

from clocksvc.clock.holds import Reason
from clocksvc.clock.log_record import FORMAT, Message
from tests.faulty.clock import FaultyClock
from tests.unit.leader.clocks import clock_with_ticks, detail_of, hold_of, minutes, pass_time, times

pytestmark = pytest.mark.core


def write_newer(clock: FaultyClock, **fields: Any) -> None:
    """A leader of another version writes the last record, and leaves."""
    clock.leader.leave()
    body = json.loads(clock.log.committed()[-1].message.value or b"") | fields
    clock.log.write_foreign(Message(clock.spec.name.encode(), json.dumps(body).encode(), "tick"))


def test_unknown_fields_are_ignored() -> None:
    """The same format can have more fields."""
    clock = clock_with_ticks()
    state = json.loads(clock.log.committed()[-1].message.value or b"")["state"]
    write_newer(clock, colour="green", state=state | {"mood": "calm"})

    clock.settle()
    clock.report(0, "2026-11-22T12:04:00Z")

    assert times(clock) == minutes(1, 2, 3, 4)


def test_a_newer_format_is_a_hold() -> None:
    """It names both formats, and no tick is emitted."""
    clock = clock_with_ticks()
    write_newer(clock, format=FORMAT + 1)

    pass_time(clock, 1, clock.leader)
    clock.report(0, "2026-11-22T12:04:00Z")

    assert times(clock) == minutes(1, 2, 3)
    assert hold_of(clock)[0] is Reason.TICKLOG_UNAVAILABLE
    assert f"format {FORMAT + 1}" in detail_of(clock)
    assert f"up to format {FORMAT}: run a newer version" in detail_of(clock)
