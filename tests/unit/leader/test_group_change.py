"""A clock's `group` is changed in the configuration."""

from dataclasses import replace

from clocksvc.clock.partition import Partition, PartitionTimestamp
from clocksvc.clock.time_format import parse_timestamp
from clocksvc.interfaces.progress import Report
from tests.faulty.clock import FaultyClock
from tests.preconditions import require
from tests.unit.leader.clocks import minutes, pass_time, times


def test_only_the_present_group_counts() -> None:
    """There is no tick before the present group has reported every partition, however far another group was."""
    clock = FaultyClock(partitions=3, now="2026-11-22T12:30:00Z")
    clock.report(0, "2026-11-22T12:20:00Z")
    clock.report(1, "2026-11-22T12:20:00Z")
    clock.report(2, "2026-11-22T12:01:00Z")
    require(times(clock) == minutes(1), "the first tick was given")
    clock.leader.leave()
    clock.leader = clock.new_leader("next", replace(clock.spec, group="rewrite"))
    pass_time(clock, 10, clock.leader)

    def report_as_the_new_group(partition: int) -> None:
        timestamp_ms = parse_timestamp("timestamp", "2026-11-22T12:05:00Z")
        clock.store.report(Report("rewrite", (PartitionTimestamp(Partition("events", partition), timestamp_ms),)))
        clock.settle()

    report_as_the_new_group(2)
    assert times(clock) == minutes(1)
    report_as_the_new_group(0)
    report_as_the_new_group(1)
    assert times(clock) == minutes(1, 2, 3, 4, 5)
