"""The tick log loses its last records while a leader runs: an unclean election, or a wiped disk."""

from clocksvc.clock.holds import Reason
from tests.preconditions import require
from tests.unit.leader.clocks import clock_with_ticks, hold_of, logged, minutes, pass_time, times


def test_a_running_leader_never_writes_after_a_gap() -> None:
    """The leader recognises the new end by its offset: it commits and publishes nothing, and the clock holds."""
    clock = clock_with_ticks(5)
    require(logged(clock) == minutes(1, 2, 3, 4, 5), "five ticks were committed")
    clock.log.lose_tail(4)  # two ticks, each with its marker
    clock.report(0, "2026-11-22T12:06:00Z")
    pass_time(clock, 10, clock.leader)

    assert logged(clock) == minutes(1, 2, 3)
    assert times(clock) == minutes(1, 2, 3, 4, 5)
    assert hold_of(clock)[0] is Reason.TICKLOG_TRUNCATED
