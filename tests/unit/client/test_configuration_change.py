"""A second topic joins a clock whose consumers name no topic."""

from dataclasses import replace

from clocksvc.client.reporter import Reporter
from clocksvc.clock.holds import Reason
from clocksvc.clock.partition import Partition
from tests.faulty.clock import FaultyClock
from tests.unit.leader.clocks import hold_of, pass_time


def test_a_restarted_consumer_never_crashes_because_the_clock_got_a_topic() -> None:
    """A change of the clock's configuration never raises in a consumer's loop, and its timestamps count for nothing."""
    clock = FaultyClock(now="2026-11-22T12:00:00Z")
    clock.settle()
    clock.leader.leave()
    clock.topics.create("more", 1)
    clock.leader = clock.new_leader("next", replace(clock.spec, topics=("events", "more")))
    pass_time(clock, 10, clock.leader)

    restarted = Reporter("memory://", "clock", group="group", sink=clock.store, time=clock.time, start=False)
    restarted.observe(0, clock.time.now_ms())
    restarted.step()
    restarted.observe(0, clock.time.now_ms() + 1)
    restarted.step()

    assert clock.store.snapshot().known == 0

    pass_time(clock, 20, clock.leader)
    restarted.step()
    pass_time(clock, 5, clock.leader)

    assert clock.store.counters().reports == {"foreign_topic": 2}
    assert clock.store.snapshot().known == 0
    assert hold_of(clock) == (Reason.REPORTS_REJECTED, (Partition("events", 0), Partition("more", 0)))
