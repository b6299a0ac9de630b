"""The checks of `clocksvc init`."""

from typing import NamedTuple

import pytest

from clocksvc.clock.first_tick import check_boundary, check_first_tick
from clocksvc.clock.log_record import ClockState
from clocksvc.clock.spec import ClockSpec
from clocksvc.errors import InvalidValue
from tests.unit.clock.times import at, maybe_at

pytestmark = pytest.mark.core

SPEC = ClockSpec("checkins", ("orders",), "orders-consumer")


class Case(NamedTuple):
    """A clock at 12:30, a time for init, and the error; None if the clock may continue there."""

    why: str
    last_tick: str
    error: str | None = None
    log: str | None = None
    ticked: bool = True
    store: str | None = None
    truncated: bool = False


CASES = [
    Case("a clock without ticks", "12:00"),
    Case("the last boundary that both clocks have passed", "12:30"),
    Case("a time that is no boundary", "12:00:30", "multiple of the interval"),
    Case("a time in the future", "12:31", "not in the future, at most 2026-11-22T12:30:00Z"),
    Case("a clock with ticks", "12:20", "complete up to its last tick, 2026-11-22T12:10:00Z", log="12:10"),
    Case("a clock that lost ticks", "12:20", log="12:10", truncated=True),
    Case("a clock that lost ticks, before the log's end", "12:09", "already has tick", log="12:10", truncated=True),
    Case("exactly at the end of the log", "12:10", log="12:10", truncated=True),
    Case("before a tick that only the store has", "12:11", "the store already", "12:10", store="12:12", truncated=True),
    Case("at a tick that only the store has", "12:12", None, "12:10", store="12:12", truncated=True),
    Case("a later time than init set before", "12:20", log="12:10", ticked=False),
    Case("an earlier time than init set before", "12:05", "the tick log already has", log="12:10", ticked=False),
    Case("before a time that the store has without a record", "12:05", "the store already", store="12:10"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_where_a_clock_may_continue(case: Case) -> None:
    """The error names the field and valid values."""
    state = ClockState(maybe_at(case.log), maybe_at(case.log) if case.ticked else None)
    stored_ms, now_ms = maybe_at(case.store), at("12:30")
    if case.error is None:
        check_first_tick(SPEC, state, stored_ms, now_ms, at(case.last_tick), truncated=case.truncated)
        return

    with pytest.raises(InvalidValue, match=case.error) as rejected:
        check_first_tick(SPEC, state, stored_ms, now_ms, at(case.last_tick), truncated=case.truncated)

    assert rejected.value.field == "last_tick"


def test_boundaries_beside_a_time() -> None:
    """The error names the boundary before and the one after."""
    check_boundary(SPEC, at("12:01"))
    with pytest.raises(InvalidValue, match="12:01:00Z or 2026-11-22T12:02:00Z"):
        check_boundary(SPEC, at("12:01:59.999"))
