"""A leader whose commits are never answered, beside a standby that could lead."""

from collections.abc import Sequence

from clocksvc.clock.log_record import Message
from clocksvc.errors import OutcomeUnknown
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.leader.leader import Phase
from clocksvc.testing import ManualTime
from tests.faulty.tick_log import FaultyLog, FaultyTickLog
from tests.preconditions import require
from tests.unit.leader.clocks import another_leader, clock_with_ticks, hold_of, minutes, report_only, times


class UnansweredTickLog(FaultyTickLog):
    """A tick log whose commits wait 6 s for an answer that does not come, once `unanswered` is true."""

    unanswered = False

    def __init__(self, log: FaultyLog, time: ManualTime) -> None:
        super().__init__(log)
        self._time = time

    def append(self, messages: Sequence[Message], end: int, keep_alive: KeepAlive) -> int:
        if not self.unanswered:
            return super().append(messages, end, keep_alive)
        for _ in range(6):
            self._time.advance(1)
            keep_alive()
        raise OutcomeUnknown


def test_a_leader_without_progress_publishes_a_hold_and_releases_its_lease() -> None:
    """The hold is published within 10 s; then the standby leads and emits the ticks."""
    clock = clock_with_ticks(1)
    clock.leader.leave()
    ticklog = UnansweredTickLog(clock.log, clock.time)
    stuck = another_leader(clock, "stuck", ticklog=ticklog)
    clock.settle(stuck)
    require(stuck.phase is Phase.LEADING, "the leader leads")
    ticklog.unanswered = True
    standby = clock.new_leader("standby")
    report_only(clock, "2026-11-22T12:05:00Z")

    began, held_after_s = clock.time.monotonic(), float("inf")
    while (passed_s := clock.time.monotonic() - began) < 60:
        wait_s = min(stuck.step(), standby.step())
        if hold_of(clock)[0] is not None:
            held_after_s = min(held_after_s, clock.time.monotonic() - began)
        clock.time.advance(max(wait_s, 0.05))

    assert held_after_s <= 10, f"no hold was published within {passed_s:.0f} s"
    assert times(clock) == minutes(1, 2, 3, 4, 5)
