"""A clock changes under its leader: interval, replicas that disagree, a recreated topic, dead consumers."""

from dataclasses import replace

import pytest

from clocksvc.clock.boundary import floor
from clocksvc.clock.holds import Reason
from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import ClockSpec
from clocksvc.leader.leader import Leader, Phase
from tests.faulty.clock import FaultyClock
from tests.unit.leader.clocks import another_leader, clock_with_ticks, detail_of, hold_of, minutes, pass_time, times


def handed_over(clock: FaultyClock, spec: ClockSpec) -> Leader:
    """The clock with another configuration, led by a process that started while the old one still led it."""
    before, after = clock.leader, another_leader(clock, "new:2", spec=spec)
    clock.settle(after)
    clock.settle(before)
    assert hold_of(clock)[0] is Reason.CONFIG_CONFLICT
    before.leave()
    clock.leader = after
    pass_time(clock, 1, after)
    assert after.phase is Phase.LEADING
    return after


def test_an_interval_of_one_minute_five_and_one_again() -> None:
    """The next tick is the smallest multiple of the new interval after the last one, in both directions; the chain is
    complete."""
    clock = clock_with_ticks(2)
    minute, five = clock.spec, replace(clock.spec, interval_ms=300_000)

    handed_over(clock, five)
    clock.report(0, "2026-11-22T12:04:59.999Z")
    assert times(clock) == minutes(1, 2)
    clock.report(0, "2026-11-22T12:11:00Z")
    assert times(clock) == minutes(1, 2, 5, 10)
    handed_over(clock, minute)
    clock.report(0, "2026-11-22T12:12:30Z")

    assert times(clock) == minutes(1, 2, 5, 10, 11, 12)
    ticks = clock.ticks()
    assert [tick.previous_ms for tick in ticks[1:]] == [tick.at_ms for tick in ticks[:-1]]
    assert [tick.interval_ms // 1000 for tick in ticks] == [60, 60, 300, 300, 60, 60]
    assert [tick.at_ms for tick in ticks] == [floor(tick.at_ms, tick.interval_ms) for tick in ticks]


def test_a_conflict_names_what_differs_and_who_has_it() -> None:
    """The hold's detail names the fields that differ and the replicas of either side, and nothing else of the
    configuration."""
    clock = clock_with_ticks()
    five = replace(clock.spec, interval_ms=300_000, max_future_ms=90_000)
    for holder in ("host-b:2", "host-c:3"):
        clock.settle(another_leader(clock, holder, spec=five))
    clock.report(0, "2026-11-22T12:09:00Z")

    assert times(clock) == minutes(1, 2, 3)
    assert hold_of(clock)[0] is Reason.CONFIG_CONFLICT
    assert "interval is 300s at host-b:2 and host-c:3, 60s at leader" in detail_of(clock)
    assert "max_future is 60s at leader, 90s at host-b:2 and host-c:3" in detail_of(clock)
    assert "group" not in detail_of(clock)


@pytest.mark.parametrize("silent_s", [0.0, 1.75])
def test_a_flush_hides_no_replica_that_disagrees(silent_s: float) -> None:
    """After FLUSHALL the other replica may announce itself only seconds later. Until then no tick comes, however far
    the consumers are, and then the conflict holds the clock. No hold shows meanwhile."""
    clock = clock_with_ticks()
    other = another_leader(clock, "host-b:2", spec=replace(clock.spec, interval_ms=300_000))
    pass_time(clock, 2, clock.leader, other)
    clock.store_server.wipe()

    pass_time(clock, silent_s, clock.leader)
    clock.report(0, "2026-11-22T12:11:00Z")
    assert times(clock) == minutes(1, 2, 3)
    assert hold_of(clock)[0] is None
    pass_time(clock, 4, clock.leader, other)

    assert times(clock) == minutes(1, 2, 3)
    assert hold_of(clock)[0] is Reason.CONFIG_CONFLICT
    other.leave()
    pass_time(clock, 1, clock.leader)
    assert times(clock) == minutes(*range(1, 12))


def test_announcements_that_never_stay_are_a_hold() -> None:
    """A store that loses them again and again prevents every tick: that shows after a while."""
    clock = clock_with_ticks()
    clock.report(0, "2026-11-22T12:03:30Z")
    clock.time.advance(60)
    for _ in range(120):
        clock.store_server.restore(clock.store_server.copy_state())
        clock.report(0, "2026-11-22T12:05:00Z")
        pass_time(clock, 1, clock.leader)

    assert times(clock) == minutes(1, 2, 3)
    assert hold_of(clock)[0] is Reason.CONFIG_CONFLICT
    assert "until each live replica has announced its configuration again" in detail_of(clock)
    pass_time(clock, 4, clock.leader)
    assert times(clock) == minutes(1, 2, 3, 4, 5)


def test_partitions_of_a_dead_consumer_are_named_apart_from_quiet_ones() -> None:
    """Among the partitions that hold the clock, those without a report for 30 s are named apart from those that are
    reported again and again and don't move."""
    clock = FaultyClock(partitions=3, now="2026-11-22T12:30:00Z")
    for number in range(3):
        clock.report(number, "2026-11-22T12:01:00Z")
    for _ in range(14):
        pass_time(clock, 10, clock.leader)
        clock.report(0, "2026-11-22T12:09:00Z")
        clock.report(1, "2026-11-22T12:01:30Z")

    assert hold_of(clock) == (Reason.PARTITION_BEHIND, (Partition("events", 2), Partition("events", 1)))
    dead, quiet = detail_of(clock).split("; ")[1:]
    assert dead == "not reported for more than 30 s (check that a consumer of group 'group' reads them): events:2"
    assert quiet == (
        "reported recently, but without newer records or not processed further (check the heartbeats and the "
        "consumer's lag): events:1"
    )


def test_a_topic_that_may_not_be_read_for_a_while() -> None:
    """Kafka refuses to describe the topic: a hold at once, no tick, nothing retired; after that every skipped tick
    comes."""
    clock = FaultyClock(partitions=2, now="2026-11-22T12:30:00Z")
    for number in range(2):
        clock.report(number, "2026-11-22T12:01:00Z")
    clock.topics.unavailable = True
    for number in range(2):
        clock.report(number, "2026-11-22T12:04:00Z")
    pass_time(clock, 3, clock.leader)

    assert times(clock) == minutes(1)
    assert hold_of(clock)[0] is Reason.METADATA_UNAVAILABLE
    clock.topics.unavailable = False
    pass_time(clock, 1, clock.leader)

    assert times(clock) == minutes(1, 2, 3, 4)
    assert hold_of(clock) == (None, ())


def test_a_repeated_report_of_a_deleted_topic_does_not_count() -> None:
    """A consumer that has not noticed the new topic repeats how far it was in the deleted one. That does not count for
    the new topic, however far ahead it was. What it processes in the new topic counts."""
    clock = FaultyClock(partitions=2, now="2026-11-22T12:30:00Z")
    clock.report(0, "2026-11-22T12:09:10Z")
    clock.report(1, "2026-11-22T12:01:00Z")
    clock.topics.create("events", 1)
    pass_time(clock, 31, clock.leader)

    clock.report(0, "2026-11-22T12:09:10Z")
    clock.report(0, "2026-11-22T12:09:50Z")

    assert times(clock) == minutes(1)
    assert hold_of(clock) == (Reason.PARTITION_UNREPORTED, (Partition("events", 0),))
    clock.report(0, "2026-11-22T12:10:00Z")
    assert times(clock) == minutes(*range(1, 11))


def test_a_store_that_went_back_hides_no_replica_that_disagrees() -> None:
    """The store fails over to a state from before the announcement of the other replica, and the leader had not read
    that announcement. No tick comes until the other one has announced itself again."""
    clock = clock_with_ticks()
    pass_time(clock, 10, clock.leader)
    older = clock.store_server.copy_state()
    clock.time.advance(0.1)
    clock.settle()
    another_leader(clock, "host-b:2", spec=replace(clock.spec, interval_ms=300_000)).step()
    clock.store_server.fail_over(older)

    clock.report(0, "2026-11-22T12:11:00Z")
    assert times(clock) == minutes(1, 2, 3)
    pass_time(clock, 4, clock.leader)

    assert times(clock) == minutes(*range(1, 12))
