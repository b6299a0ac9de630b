"""Brokers that give no topic ids."""

from dataclasses import replace

from clocksvc.clock.holds import Reason
from tests.faulty.clock import FaultyClock
from tests.unit.leader.clocks import detail_of, hold_of, minutes, pass_time, times


def clock_without_ids(*, required: bool = True) -> FaultyClock:
    """A clock of two partitions whose topic has no id. The first partition is far ahead."""
    clock = FaultyClock(partitions=2, now="2026-11-22T12:10:00Z")
    clock.topics.without_ids = True
    clock.leader = clock.new_leader("leader", replace(clock.spec, require_topic_ids=required))
    clock.report(0, "2026-11-22T12:05:30Z")
    clock.report(1, "2026-11-22T12:01:00Z")
    return clock


def test_a_topic_without_an_id_is_a_hold() -> None:
    """Without an id a recreated topic cannot be recognised: the clock gives no tick, and its hold names the topic and
    the setting that accepts this."""
    clock = clock_without_ids()

    clock.topics.create("events", 2)
    pass_time(clock, 31, clock.leader)
    clock.report(1, "2026-11-22T12:05:10Z")

    assert times(clock) == []
    assert hold_of(clock)[0] is Reason.METADATA_UNAVAILABLE
    assert "events" in detail_of(clock)
    assert "kafka.topic_ids: off" in detail_of(clock)


def test_ids_end_the_hold() -> None:
    """After an upgrade of the brokers the topic has an id: the clock starts when both partitions are reported."""
    clock = clock_without_ids()

    clock.topics.without_ids = False
    pass_time(clock, 2, clock.leader)
    clock.report(0, "2026-11-22T12:05:30Z")
    clock.report(1, "2026-11-22T12:01:00Z")

    assert times(clock) == minutes(1)
    assert hold_of(clock) == (None, ())


def test_a_clock_that_had_ids_holds_when_they_are_gone() -> None:
    """A broker of an older version leads the cluster: no tick after the last one, and the roster keeps its ids."""
    clock = FaultyClock(now="2026-11-22T12:10:00Z")
    clock.report(0, "2026-11-22T12:01:00Z")
    clock.topics.without_ids = True

    clock.report(0, "2026-11-22T12:05:00Z")
    pass_time(clock, 2, clock.leader)
    assert times(clock) == minutes(1)
    assert hold_of(clock)[0] is Reason.METADATA_UNAVAILABLE
    clock.topics.without_ids = False
    pass_time(clock, 2, clock.leader)

    assert times(clock) == minutes(1, 2, 3, 4, 5)


def test_topics_without_ids_can_be_accepted() -> None:
    """With `kafka.topic_ids: off` the clock ticks, and a recreated topic keeps its progress: this guarantee is lost."""
    clock = clock_without_ids(required=False)
    assert times(clock) == minutes(1)

    clock.topics.create("events", 2)
    pass_time(clock, 31, clock.leader)
    clock.report(1, "2026-11-22T12:05:10Z")

    assert times(clock) == minutes(1, 2, 3, 4, 5)
