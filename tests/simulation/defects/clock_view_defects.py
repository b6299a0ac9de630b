"""Defects of what a replica says about a clock's state."""

from contextlib import AbstractContextManager
from unittest.mock import patch

from clocksvc.clock.holds import Hold
from clocksvc.clock.tick import Tick
from clocksvc.service.clock_view import ClockView, _Cached
from tests.simulation.defects.defect import Promise, defect

Patched = AbstractContextManager[object]


@defect(
    "without a leader no hold is shown",
    Promise.NEVER_SILENT,
    "silent",
    directed="unit/service/test_clock_view.py::test_a_store_that_takes_no_writes_is_a_hold",
)
def missing_leader_not_said() -> Patched:
    hold = ClockView._hold

    def look_away(view: ClockView, cached: _Cached, last: Tick | None, now_ms: int) -> Hold | None:
        return (
            hold(view, cached, last, now_ms) if cached.snapshot is None or cached.snapshot.leader is not None else None
        )

    return patch.object(ClockView, "_hold", look_away)


@defect("a hold begins when the first leader started", Promise.NEVER_SILENT, "silent")
def hold_since_the_start() -> Patched:
    return patch.object(ClockView, "_since_ms", lambda view, last: view._started_ms)
