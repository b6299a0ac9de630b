"""The latency of ticks, as `clocksvc_tick_latency_seconds` counts it, and when it starts."""

from clocksvc.clock.partition import Partition, PartitionTimestamp
from clocksvc.clock.request import RequestKind
from clocksvc.clock.time_format import parse_timestamp
from clocksvc.interfaces.progress import Report
from clocksvc.leader.context import NoObserver
from tests.faulty.clock import FaultyClock
from tests.preconditions import require
from tests.unit.leader.clocks import leases_of, minutes, pass_time, times
from tests.unit.leader.override_requests import Operator


class Latencies(NoObserver):
    """Keeps the latency of each step that emitted ticks."""

    def __init__(self) -> None:
        self.seen: list[float | None] = []

    def ticked(self, clock: str, count: int, latency_s: float | None) -> None:
        self.seen.append(latency_s)


def test_a_pause_is_no_latency() -> None:
    """The tick after a pause has the latency of its step, or none: the pause is not counted."""
    clock, latencies = FaultyClock(now="2026-11-22T12:10:00Z"), Latencies()
    clock.leader = clock.new_leader("leader", observer=latencies)
    operator = Operator(clock)
    clock.report(0, "2026-11-22T12:01:00Z")
    operator.ask(RequestKind.PAUSE)
    clock.report(0, "2026-11-22T12:02:00Z")
    pass_time(clock, 60, clock.leader)
    operator.ask(RequestKind.RESUME)
    clock.settle()

    require(times(clock) == minutes(1, 2), "the clock resumed")
    assert (latencies.seen[-1] or 0) < 5


def test_the_report_that_completes_a_boundary_notifies_the_leader() -> None:
    """Also if the boundary seemed complete before, and the roster grew: the latency starts with this report."""
    clock, latencies = FaultyClock(partitions=2, now="2026-11-22T12:10:00Z"), Latencies()
    clock.leader = clock.new_leader("leader", observer=latencies)
    for partition in range(2):
        clock.report(partition, "2026-11-22T12:01:00Z")
    clock.topics.add_partitions("events", 1)
    for partition in range(2):
        clock.report(partition, "2026-11-22T12:02:00Z")
    pass_time(clock, 40, clock.leader)
    leases_of(clock).wait_for_notification(0)
    require(times(clock) == minutes(1), "the clock waits for the new partition")

    reading = PartitionTimestamp(Partition("events", 2), parse_timestamp("timestamp", "2026-11-22T12:02:00Z"))
    clock.store.report(Report("group", (reading,)))

    assert leases_of(clock).wait_for_notification(0)
    clock.settle()
    assert times(clock) == minutes(1, 2)
    assert (latencies.seen[-1] or 0) < 5
