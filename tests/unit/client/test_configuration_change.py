"""A second topic joins a clock whose consumers name no topic."""

from dataclasses import replace

import pytest

from clocksvc.client.reporter import Reporter
from clocksvc.errors import ReporterMisuse
from tests.faulty.clock import FaultyClock
from tests.unit.leader.clocks import pass_time


@pytest.mark.xfail(
    strict=True,
    raises=ReporterMisuse,
    reason="Consumers never crash because of our configuration: a restarted consumer raises in its loop.",
)
def test_a_restarted_consumer_never_crashes_because_the_clock_got_a_topic() -> None:
    """A change of the clock's configuration never raises in a consumer's loop after its first answer."""
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
