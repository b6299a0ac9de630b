"""No partition is forgotten, whether metadata lag, a store is rolled back, or a replica has outdated metadata."""

from clocksvc.clock.holds import Reason
from clocksvc.clock.partition import Outcome, Partition
from clocksvc.leader.leader import Phase
from tests.faulty.clock import FaultyClock
from tests.unit.leader.clocks import clock_with_ticks, hold_of, minutes, pass_time, times


def test_a_roster_that_was_rolled_back_is_written_again() -> None:
    """A store that comes back with the roster of a second ago lacks a partition: no tick comes without it."""
    clock = clock_with_ticks()
    clock.topics.add_partitions("events", 1)
    old = clock.store_server.copy_state()
    assert clock.report(1, "2026-11-22T12:03:00Z") is Outcome.UNKNOWN
    clock.time.advance(1)
    clock.settle()
    assert hold_of(clock)[0] is Reason.PARTITION_UNREPORTED
    clock.store_server.restore(old)

    clock.report(0, "2026-11-22T12:09:00Z")

    assert times(clock) == minutes(1, 2, 3)
    assert hold_of(clock)[0] is Reason.PARTITION_UNREPORTED


def test_metadata_that_lag_in_the_next_term_retire_nothing() -> None:
    """The roster of the first term is in the log, and counts in the next term."""
    clock = FaultyClock(partitions=2, now="2026-11-22T12:30:00Z")
    clock.settle()
    clock.topics.hide("events", 1)
    clock.log.fence()
    clock.leader.start_over()
    pass_time(clock, 6, clock.leader)
    assert clock.leader.phase is Phase.LEADING

    clock.report(0, "2026-11-22T12:01:00Z")

    assert times(clock) == []
    assert hold_of(clock) == (Reason.PARTITION_UNREPORTED, (Partition("events", 1),))


def test_the_log_wins_over_outdated_metadata_of_a_replica() -> None:
    """A replica remembers a topic as it was before it was recreated with 6 partitions. The log has them, and metadata
    lag: there is no tick without all 6."""
    clock = FaultyClock(partitions=3, now="2026-11-22T12:30:00Z")
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
    clock.store_server.wipe()
    clock.leader = asleep
    pass_time(clock, 8, asleep)
    assert asleep.phase is Phase.LEADING
    for number in range(3):
        clock.report(number, "2026-11-22T12:03:00Z")

    assert times(clock) == minutes(1, 2)
