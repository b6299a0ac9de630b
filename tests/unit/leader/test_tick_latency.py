"""The latency of ticks, as `clocksvc_tick_latency_seconds` counts it, and when it starts."""

from collections.abc import Callable

import pytest

from clocksvc.clock.partition import Partition, PartitionTimestamp
from clocksvc.clock.request import RequestKind
from clocksvc.clock.time_format import parse_timestamp
from clocksvc.interfaces.leases import Announcement
from clocksvc.interfaces.progress import Report
from clocksvc.leader.context import NoObserver
from tests.faulty.clock import FaultyClock
from tests.preconditions import require
from tests.unit.leader.clocks import leases_of, minutes, pass_time, report_only, times
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


def test_the_latency_is_the_time_from_the_report_to_the_publication() -> None:
    """The commit takes 0.7 s, and the step begins 0.3 s after the report."""
    clock, latencies = FaultyClock(now="2026-11-22T12:10:00Z"), Latencies()
    clock.leader = clock.new_leader("leader", observer=latencies)
    clock.report(0, "2026-11-22T12:01:00Z")
    clock.log.at = lambda step: clock.time.advance(0.7) if step == "append.sent" else None

    report_only(clock, "2026-11-22T12:02:00Z")
    clock.time.advance(0.3)
    clock.settle()

    assert latencies.seen[-1] == pytest.approx(1.0)


def _conflict(clock: FaultyClock) -> Callable[[], object]:
    other = Announcement("other:1 x", {clock.spec.name: "another digest"}, None)
    leases_of(clock).announce(other, 600_000, {})
    return lambda: leases_of(clock).announce(other, 0, {})


def _missing_topic(clock: FaultyClock) -> Callable[[], object]:
    clock.topics.hide("events")
    return lambda: clock.topics.hide("events", None)


def _no_permission(clock: FaultyClock) -> Callable[[], object]:
    clock.topics.undescribed["events"] = "not authorized"
    return clock.topics.undescribed.clear


def _no_ids(clock: FaultyClock) -> Callable[[], object]:
    clock.topics.without_ids = True
    return lambda: setattr(clock.topics, "without_ids", False)


@pytest.mark.parametrize("begin", [_conflict, _missing_topic, _no_permission, _no_ids])
def test_a_hold_that_no_report_ends_is_no_latency(begin: Callable[[FaultyClock], Callable[[], object]]) -> None:
    """The boundary was complete a minute before the condition ended. The next tick after that has a latency again."""
    clock, latencies = FaultyClock(now="2026-11-22T12:10:00Z"), Latencies()
    clock.leader = clock.new_leader("leader", observer=latencies)
    clock.report(0, "2026-11-22T12:01:00Z")
    end = begin(clock)
    pass_time(clock, 4, clock.leader)
    clock.report(0, "2026-11-22T12:02:00Z")
    pass_time(clock, 60, clock.leader)
    assert times(clock) == minutes(1)
    end()
    pass_time(clock, 6, clock.leader)

    assert times(clock) == minutes(1, 2)
    assert (latencies.seen[-1] or 0) < 5
    clock.report(0, "2026-11-22T12:03:00Z")
    assert latencies.seen[-1] == 0


def test_a_record_from_the_future_is_no_latency() -> None:
    """Its boundary was complete 30 s before both clocks had passed it."""
    clock, latencies = FaultyClock(now="2026-11-22T12:01:30Z"), Latencies()
    clock.leader = clock.new_leader("leader", observer=latencies)
    clock.report(0, "2026-11-22T12:01:00Z")
    clock.report(0, "2026-11-22T12:02:10Z")
    pass_time(clock, 31, clock.leader)

    assert times(clock) == minutes(1, 2)
    assert (latencies.seen[-1] or 0) < 5
