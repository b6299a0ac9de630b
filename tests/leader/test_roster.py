"""No partition is forgotten, whatever metadata hides, a store brings back or a replica remembers."""

from clocksvc.clock.hold import Reason
from clocksvc.clock.partition import Outcome, Partition
from clocksvc.leader.leader import Phase
from clocksvc.testing import InMemoryClock
from tests.leader.looks import a_clock_with_ticks, hold_of, minutes, pass_time, times


def test_a_roster_that_was_rolled_back_is_written_anew() -> None:
    """A store that comes back with the roster of a second ago lacks a partition: no tick comes without it."""
    clock = a_clock_with_ticks()
    clock.topics.add_partitions("events", 1)
    old = clock.store.copy_state()
    assert clock.report(1, "2026-11-22T12:03:00Z") is Outcome.UNKNOWN
    clock.time.advance(1)
    clock.settle()
    assert hold_of(clock)[0] is Reason.PARTITION_UNREPORTED
    clock.store.restore(old)

    clock.report(0, "2026-11-22T12:09:00Z")

    assert times(clock) == minutes(1, 2, 3)
    assert hold_of(clock)[0] is Reason.PARTITION_UNREPORTED


def test_metadata_that_lags_after_a_lost_commit_retires_nothing() -> None:
    """What this process has seen counts in its next term too, even where the log does not know it yet."""
    clock = InMemoryClock(partitions=2, now="2026-11-22T12:30:00Z")
    clock.settle()
    clock.topics.hide("events", 1)
    clock.log.fence()
    clock.leader.start_over()
    pass_time(clock, 6, clock.leader)
    assert clock.leader.phase is Phase.LEADING

    clock.report(0, "2026-11-22T12:01:00Z")

    assert times(clock) == []
    assert hold_of(clock) == (Reason.PARTITION_UNREPORTED, (Partition("events", 1),))


def test_an_outdated_memory_of_a_topic_does_not_outweigh_the_log() -> None:
    """A replica remembers a topic as it was before it was made anew, with 6 partitions; the log knows that, and
    metadata lags: there is no tick without all 6."""
    clock = InMemoryClock(partitions=3, now="2026-11-22T12:30:00Z")
    for number in range(3):
        clock.report(number, "2026-11-22T12:01:00Z")
    asleep, other = clock.leader, clock.new_leader("other")
    pass_time(clock, 4, other)
    clock.topics.create("events", 6)
    clock.leader = other
    pass_time(clock, 31, other)
    for number in range(6):
        clock.report(number, "2026-11-22T12:02:00Z")
    assert times(clock) == minutes(1, 2)

    clock.settle(asleep)
    clock.topics.hide("events", 3)
    other.leave()
    clock.store.wipe()
    clock.leader = asleep
    pass_time(clock, 8, asleep)
    assert asleep.phase is Phase.LEADING
    for number in range(3):
        clock.report(number, "2026-11-22T12:03:00Z")

    assert times(clock) == minutes(1, 2)
