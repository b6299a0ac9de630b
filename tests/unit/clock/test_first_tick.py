"""The checks of `clocksvc init`."""

from typing import NamedTuple

import pytest

from clocksvc.clock.first_tick import begin_after, check_boundary, check_first_tick
from clocksvc.clock.log_record import Beginning, ClockState
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
    skip: bool = False


CASES = [
    Case("a clock without ticks", "12:00"),
    Case("the last boundary that both clocks have passed", "12:30"),
    Case("a time that is no boundary", "12:00:30", "multiple of the interval"),
    Case("a time in the future", "12:31", "not in the future, at most 2026-11-22T12:30:00Z"),
    Case(
        "a clock with ticks: the error says what would be skipped",
        "12:20",
        "--skip-ticks: the tick log of clock 'checkins' is complete up to its last tick, 2026-11-22T12:10:00Z. "
        "10 boundaries, from 2026-11-22T12:11:00Z to 2026-11-22T12:20:00Z, would never be emitted",
        log="12:10",
    ),
    Case("a clock with ticks whose next boundaries may be skipped", "12:20", log="12:10", skip=True),
    Case("the last tick of a clock", "12:10", "continues after its last tick", log="12:10", skip=True),
    Case("before the last tick of a clock", "12:09", "the tick log already has", log="12:10", skip=True),
    Case("a skip into the future", "12:31", "not in the future", log="12:10", skip=True),
    Case("a clock that lost ticks", "12:20", log="12:10", truncated=True),
    Case("a clock that lost ticks, before the log's end", "12:09", "already has tick", log="12:10", truncated=True),
    Case("exactly at the end of the log", "12:10", log="12:10", truncated=True),
    Case("before a tick that only the store has", "12:11", "the store already", "12:10", store="12:12", truncated=True),
    Case("at a tick that only the store has", "12:12", None, "12:10", store="12:12", truncated=True),
    Case("a later time than init set before", "12:20", log="12:10", ticked=False),
    Case("an earlier time than init set before", "12:05", log="12:10", ticked=False),
    Case("before a time that the store has without a record", "12:05", "the store already", store="12:10"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_where_a_clock_may_continue(case: Case) -> None:
    """The error names the field and valid values."""
    beginning = None if case.ticked else Beginning(None, at(case.log or ""))
    state = ClockState(maybe_at(case.log), maybe_at(case.log) if case.ticked else None, beginning=beginning)
    stored_ms, now_ms = maybe_at(case.store), at("12:30")
    if case.error is None:
        check_first_tick(
            SPEC, state, stored_ms, now_ms, at(case.last_tick), truncated=case.truncated, skip_ticks=case.skip
        )
        return

    with pytest.raises(InvalidValue) as rejected:
        check_first_tick(
            SPEC, state, stored_ms, now_ms, at(case.last_tick), truncated=case.truncated, skip_ticks=case.skip
        )

    assert rejected.value.field == "last_tick"
    assert case.error in str(rejected.value)


@pytest.mark.parametrize(
    ("last_tick", "error"),
    [("12:05", "already has"), ("12:10", None), ("12:15", "--skip-ticks"), ("12:25", "--skip-ticks")],
)
def test_a_skip_can_be_corrected(last_tick: str, error: str | None) -> None:
    """While no tick was emitted after it: back to the last tick without the option, and never before it."""
    state = begin_after(ClockState(at("12:10"), at("12:10")), at("12:10"), at("12:20"))
    assert (state.last_tick_ms, state.beginning) == (at("12:20"), Beginning(at("12:10"), at("12:20")))

    if error is not None:
        with pytest.raises(InvalidValue, match=error):
            check_first_tick(SPEC, state, None, at("12:30"), at(last_tick), truncated=False)
    check_first_tick(SPEC, state, None, at("12:30"), max(at(last_tick), at("12:10")), truncated=False, skip_ticks=True)

    corrected = begin_after(state, None, at("12:15"))
    assert (corrected.last_tick_ms, corrected.beginning) == (at("12:15"), Beginning(at("12:10"), at("12:20")))


def test_after_a_loss_the_limit_is_the_last_tick_of_log_and_store() -> None:
    """A correction can't go back before a tick that only the store had."""
    state = begin_after(ClockState(at("12:10"), at("12:10"), truncated=True), at("12:12"), at("12:20"))

    assert (state.truncated, state.beginning) == (False, Beginning(at("12:12"), at("12:20")))


def test_boundaries_beside_a_time() -> None:
    """The error names the boundary before and the one after."""
    check_boundary(SPEC, at("12:01"))
    with pytest.raises(InvalidValue, match="12:01:00Z or 2026-11-22T12:02:00Z"):
        check_boundary(SPEC, at("12:01:59.999"))
